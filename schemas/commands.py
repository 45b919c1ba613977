"""What others may ask June for.

A field that a command does not have is refused, so that a typo gets a clear error.
Defaults that the contract fixes are filled in here; those that an installation sets (whether STT is on, its
language) stay None for whoever carries the command out.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import ConfigDict

from schemas.envelope import Envelope
from schemas.errors import TypeUnknown
from schemas.limits import (
    DEFAULT_DEPARTURE_TIMEOUT_S,
    DEFAULT_PAGE_LIMIT,
    DEFAULT_TOKEN_TTL_S,
    AgentMetadata,
    AtMostSomeAgents,
    Cursor,
    DisplayName,
    Flag,
    Language,
    MaxParticipants,
    Metadata,
    Name,
    PageLimit,
    Reason,
    Rule,
    SessionId,
    TimeoutS,
    TtlS,
)
from schemas.model import Incoming, read_data
from schemas.sessions import SessionStatus


class Request(Incoming):
    """A piece of a command: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class Command(Request):
    """The data of a command."""

    TYPE: ClassVar[str]


class SttWish(Request):
    """What the session asks of speech-to-text; None is the installation's default."""

    enabled: Flag | None = None
    language: Language | None = None


class AiWish(Request):
    """What the session asks of the AI; None is the installation's default."""

    enabled: Flag | None = None
    speak: Flag | None = None


class AgentWish(Request):
    """A LiveKit agent to be dispatched into the room."""

    agent_name: Name
    metadata: AgentMetadata | None = None


class SessionCreate(Command):
    """Make a session, its room, and a token for `user_id`. June names the session and room left out."""

    TYPE: ClassVar[str] = "june.session.create.v1"

    user_id: Name
    session_id: SessionId | None = None
    room_name: Name | None = None
    display_name: DisplayName | None = None
    metadata: Metadata | None = None
    token_ttl_s: TtlS = DEFAULT_TOKEN_TTL_S
    empty_timeout_s: TimeoutS | None = None
    departure_timeout_s: TimeoutS = DEFAULT_DEPARTURE_TIMEOUT_S
    max_participants: MaxParticipants | None = None
    stt: SttWish = SttWish()
    ai: AiWish = AiWish()
    agents: Annotated[tuple[AgentWish, ...], AtMostSomeAgents] = ()

    @property
    def room_empty_timeout_s(self) -> int:
        """How long the room waits for its first participant: as long as the token works, by default."""
        return self.token_ttl_s if self.empty_timeout_s is None else self.empty_timeout_s


class SessionGet(Command):
    """The session, and a new token for `identity` (None: the session's user)."""

    TYPE: ClassVar[str] = "june.session.get.v1"

    session_id: SessionId
    identity: Name | None = None


class SessionList(Command):
    """Sessions that match all that is given, newest first, a page at a time."""

    TYPE: ClassVar[str] = "june.session.list.v1"

    user_id: Name | None = None
    status: Annotated[SessionStatus, Rule(f"must be one of {', '.join(SessionStatus)}")] | None = None
    room_name: Name | None = None
    limit: PageLimit = DEFAULT_PAGE_LIMIT
    cursor: Cursor | None = None


class SessionDelete(Command):
    """End the session and close its room. Twice is as good as once."""

    TYPE: ClassVar[str] = "june.session.delete.v1"

    session_id: SessionId
    reason: Reason | None = None


class RoomGet(Command):
    """The session's room, as LiveKit has it now."""

    TYPE: ClassVar[str] = "june.room.get.v1"

    session_id: SessionId


class ParticipantList(Command):
    """Who is in the session's room now, without June's bots."""

    TYPE: ClassVar[str] = "june.participant.list.v1"

    session_id: SessionId


class ParticipantRemove(Command):
    """Put a participant out, and keep it out until a new token is made for it."""

    TYPE: ClassVar[str] = "june.participant.remove.v1"

    session_id: SessionId
    identity: Name


class GuestTokenCreate(Command):
    """A token for somebody who is not the session's user, with an identity of its own."""

    TYPE: ClassVar[str] = "june.guest_token.create.v1"

    session_id: SessionId
    guest_name: Name
    ttl_s: TtlS = DEFAULT_TOKEN_TTL_S
    can_publish: Flag = True
    can_subscribe: Flag = True
    can_publish_data: Flag = True


COMMANDS: Mapping[str, type[Command]] = {
    command.TYPE: command
    for command in (
        SessionCreate,
        SessionGet,
        SessionList,
        SessionDelete,
        RoomGet,
        ParticipantList,
        ParticipantRemove,
        GuestTokenCreate,
    )
}


def parse_command(envelope: Envelope) -> Command:
    """The command in an envelope. Raises TypeUnknown, or MessageInvalid that names each field of the data."""
    model = COMMANDS.get(envelope.type)
    if model is None:
        raise TypeUnknown(envelope.type)
    return read_data(model, envelope.type, envelope.data)
