"""The shapes that HTTP adds to those of the commands: what is asked for where there is no command, and what an answer
has where it is not the command's own result."""

from pydantic import Field

from schemas.commands import Request
from schemas.limits import Id, Name, SessionId
from schemas.model import Wire
from schemas.replies import SessionResult
from schemas.sessions import SessionView
from schemas.times import WireTime

TOKEN_FIELDS = tuple(name for name in SessionResult.model_fields if name != "session")
"""The fields beside a session's own. They are null together."""


class EventsQuery(Request):
    """Which events a listener wants: all that is given must hold."""

    session_id: SessionId | None = None
    user_id: Name | None = None
    type: tuple[Id, ...] = ()
    """One of them. A type that June does not know is one that does not happen."""


class SessionAnswer(SessionView):
    """A session, and the way into its room. The last four fields are null together."""

    access_token: str | None = Field(repr=False)
    identity: str | None
    livekit_url: str | None
    token_expires_at: WireTime | None


class QueueView(Wire):
    """A queue of the broker. `waiting`: messages that nobody has taken; None when the queue is not there."""

    name: str
    waiting: int | None
    consumers: int | None


class BrokerView(Wire):
    """The broker. `blocked` says why it takes no messages, in its own words."""

    server: str
    blocked: str | None


class SystemView(Wire):
    """June at a glance. `workers` answer commands; three services take jobs; `dead_letters` wait to be looked at."""

    version: str
    at: WireTime
    broker: BrokerView
    workers: int
    commands: QueueView
    stt: QueueView
    ai: QueueView
    tts: QueueView
    dead_letters: QueueView
    job_lease_s: int
    """For how long a job is given, each time."""
    event_streams: int
    """Readers of `GET /api/events` at this process."""


class PartitionView(Wire):
    """One of the queues that rooms are spread over. One of its consumers is active, the others stand by."""

    partition: str
    queue: str
    waiting: int | None
    consumers: int | None
    holder: str | None
    """The name of the worker that is active; null when nobody is, or when only RabbitMQ's management API could tell."""


class PartitionsView(Wire):
    """All of them, in order."""

    partitions: tuple[PartitionView, ...]


class DeadLetterView(Wire):
    """A message that was set aside, without its body: it may hold a token. Texts are empty where there is nothing."""

    message_id: str
    type: str
    reason: str
    error: str
    origin_exchange: str
    origin_routing_key: str
    attempts: int
    failed_at: WireTime | None
    size_bytes: int


class DeadLettersView(Wire):
    """The oldest of them first. `waiting` counts all of them."""

    waiting: int
    dead_letters: tuple[DeadLetterView, ...]
