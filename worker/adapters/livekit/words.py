"""LiveKit's enums and strings in the contract's words.

Promises: never raises on a value that a later LiveKit may bring. A kind that is not known is told as `bridge`
and a track type that is not known as `data`: neither is taken for a human voice. Refuses nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from schemas.participants import ParticipantKind, ParticipantState, TrackSource, TrackType

Named = int | str
"""An enum as protobuf's JSON has it: by number or by name."""

_KINDS: Mapping[Named, ParticipantKind] = MappingProxyType(
    {
        0: ParticipantKind.STANDARD,
        1: ParticipantKind.INGRESS,
        2: ParticipantKind.EGRESS,
        3: ParticipantKind.SIP,
        4: ParticipantKind.AGENT,
        7: ParticipantKind.CONNECTOR,
        8: ParticipantKind.BRIDGE,
        **{kind.name: kind for kind in ParticipantKind},
    }
)
_STATES: Mapping[Named, ParticipantState] = MappingProxyType(
    {
        0: ParticipantState.JOINING,
        1: ParticipantState.JOINED,
        2: ParticipantState.ACTIVE,
        3: ParticipantState.DISCONNECTED,
    }
)
_TYPES: Mapping[Named, TrackType] = MappingProxyType(
    {
        0: TrackType.AUDIO,
        1: TrackType.VIDEO,
        2: TrackType.DATA,
        **{track_type.name: track_type for track_type in TrackType},
    }
)
_SOURCES: Mapping[Named, TrackSource] = MappingProxyType(
    {
        0: TrackSource.UNKNOWN,
        1: TrackSource.CAMERA,
        2: TrackSource.MICROPHONE,
        3: TrackSource.SCREEN_SHARE,
        4: TrackSource.SCREEN_SHARE_AUDIO,
        **{source.name: source for source in TrackSource},
    }
)

# PostgreSQL stores no NUL, and a lone surrogate is no UTF-8.
_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")


def kind_word(kind: Named) -> ParticipantKind:
    """What takes part. One that is not known is no voice."""
    return _KINDS.get(kind, ParticipantKind.BRIDGE)


def state_word(state: Named) -> ParticipantState:
    """How far the connection is. One that is not known is told as `joining`: nothing may be relied on yet."""
    return _STATES.get(state, ParticipantState.JOINING)


def type_word(track_type: Named) -> TrackType:
    """What a track carries. One that is not known is no audio."""
    return _TYPES.get(track_type, TrackType.DATA)


def source_word(source: Named) -> TrackSource:
    """Where a track comes from."""
    return _SOURCES.get(source, TrackSource.UNKNOWN)


def storable(text: str) -> str:
    """The text with what no database can hold replaced by U+FFFD."""
    # What can be printed can be stored, and is told apart in a fraction of the time.
    return text if text.isprintable() else _NOT_STORABLE.sub("\ufffd", text)
