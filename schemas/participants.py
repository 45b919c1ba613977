"""People and machines in a room, and their tracks, in the words that the wire uses for them.

A participant and a track live once, by `sid`; an identity may come back under a new one.
Strings that LiveKit owns (names, metadata, MIME types) are as it has them: empty where it has nothing.
"""

from enum import StrEnum

from schemas.model import Wire
from schemas.times import WireTime


class ParticipantKind(StrEnum):
    """What takes part. The voices of standard, sip and connector participants are human."""

    STANDARD = "standard"
    SIP = "sip"
    INGRESS = "ingress"
    EGRESS = "egress"
    AGENT = "agent"
    CONNECTOR = "connector"
    BRIDGE = "bridge"


class ParticipantState(StrEnum):
    """How far a participant's connection is."""

    JOINING = "joining"
    JOINED = "joined"
    ACTIVE = "active"
    DISCONNECTED = "disconnected"


class TrackType(StrEnum):
    """What a track carries."""

    AUDIO = "audio"
    VIDEO = "video"
    DATA = "data"


class TrackSource(StrEnum):
    """Where a track comes from, as its publisher says."""

    UNKNOWN = "unknown"
    CAMERA = "camera"
    MICROPHONE = "microphone"
    SCREEN_SHARE = "screen_share"
    SCREEN_SHARE_AUDIO = "screen_share_audio"


class ParticipantRef(Wire):
    """Who is meant."""

    sid: str
    identity: str


class Speaker(Wire):
    """Who said something."""

    sid: str
    identity: str
    name: str


class VoiceOwner(Wire):
    """Whose voice an STT job is about."""

    sid: str
    identity: str
    name: str
    kind: ParticipantKind


class Participant(Wire):
    """A participant as its joining and leaving are told."""

    sid: str
    identity: str
    name: str
    kind: ParticipantKind
    metadata: str


class VoiceTrack(Wire):
    """The audio track that an STT job is about."""

    sid: str
    source: TrackSource
    mime_type: str


class Track(Wire):
    """A track as its publishing and unpublishing are told."""

    sid: str
    type: TrackType
    source: TrackSource
    name: str
    mime_type: str


class TrackView(Wire):
    """A track as LiveKit has it now."""

    sid: str
    type: TrackType
    source: TrackSource
    name: str
    muted: bool
    mime_type: str


class ParticipantView(Wire):
    """A participant as LiveKit has it now."""

    sid: str
    identity: str
    name: str
    kind: ParticipantKind
    state: ParticipantState
    joined_at: WireTime
    metadata: str
    tracks: tuple[TrackView, ...]
