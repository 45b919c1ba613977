"""The first tables.

Revision: 0001
"""

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, PrimaryKeyConstraint, Text, text

revision = "0001"
down_revision = None

KEY = Text().with_variant(Text(collation="C"), "postgresql")
SERIAL = BigInteger().with_variant(Integer(), "sqlite")


def upgrade() -> None:
    """Make everything."""
    _sessions()
    _rooms()
    _participants()
    _tracks()
    _jobs()
    _conversations()
    _turns()
    _utterances()
    _removals()
    _inbox()
    _outbox()
    _timers()
    _errands()
    _answers()


def _sessions() -> None:
    op.create_table(
        "sessions",
        Column("session_id", KEY, nullable=False),
        Column("user_id", KEY, nullable=True),
        Column("display_name", Text(), nullable=True),
        Column("room_name", KEY, nullable=False),
        Column("room_sid", KEY, nullable=True),
        Column("state", KEY, nullable=False),
        Column("origin", KEY, nullable=False),
        Column("created_at", BigInteger(), nullable=False),
        Column("started_at", BigInteger(), nullable=True),
        Column("ended_at", BigInteger(), nullable=True),
        Column("end_reason", KEY, nullable=True),
        Column("metadata", Text(), nullable=True),
        Column("stt_enabled", Boolean(), nullable=False),
        Column("stt_language", Text(), nullable=False),
        Column("ai_enabled", Boolean(), nullable=False),
        Column("ai_speak", Boolean(), nullable=False),
        Column("empty_timeout_s", BigInteger(), nullable=True),
        Column("departure_timeout_s", BigInteger(), nullable=True),
        Column("max_participants", BigInteger(), nullable=True),
        Column("token_ttl_s", BigInteger(), nullable=True),
        Column("agents", Text(), nullable=False),
        Column("reserved_by", Text(), nullable=True),
        Column("reserved_at", BigInteger(), nullable=True),
        Column("missing_since", BigInteger(), nullable=True),
        Column("tokens_until", BigInteger(), nullable=True),
        Column("version", BigInteger(), nullable=False),
        Column("sequence", BigInteger(), nullable=False),
        Column("live_name", KEY, nullable=True),
        PrimaryKeyConstraint("session_id"),
    )
    op.create_index("sessions_in_state", "sessions", ["state", "created_at", "session_id"])
    op.create_index("sessions_live_name", "sessions", ["live_name"], unique=True)
    op.create_index("sessions_newest", "sessions", ["created_at", "session_id"])
    op.create_index("sessions_of_room", "sessions", ["room_name", "created_at", "session_id"])
    op.create_index("sessions_of_user", "sessions", ["user_id", "created_at", "session_id"])
    op.create_index(
        "sessions_shut",
        "sessions",
        ["room_name", "tokens_until"],
        sqlite_where=text("end_reason = 'deleted'"),
        postgresql_where=text("end_reason = 'deleted'"),
    )


def _rooms() -> None:
    op.create_table(
        "rooms",
        Column("room_sid", KEY, nullable=False),
        Column("room_name", KEY, nullable=False),
        Column("session_id", KEY, nullable=True),
        Column("gone", Boolean(), nullable=False),
        PrimaryKeyConstraint("room_sid"),
    )
    op.create_index("rooms_of_session", "rooms", ["session_id"])


def _participants() -> None:
    op.create_table(
        "participants",
        Column("room_sid", KEY, nullable=False),
        Column("sid", KEY, nullable=False),
        Column("session_id", KEY, nullable=False),
        Column("identity", Text(), nullable=False),
        Column("name", Text(), nullable=False),
        Column("kind", KEY, nullable=False),
        Column("metadata", Text(), nullable=False),
        Column("joined_at", BigInteger(), nullable=False),
        Column("bot", Boolean(), nullable=False),
        Column("gone", Boolean(), nullable=False),
        PrimaryKeyConstraint("room_sid", "sid"),
    )
    op.create_index(
        "participants_live",
        "participants",
        ["room_sid"],
        sqlite_where=text("NOT gone"),
        postgresql_where=text("NOT gone"),
    )
    op.create_index("participants_of_session", "participants", ["session_id"])


def _tracks() -> None:
    op.create_table(
        "tracks",
        Column("room_sid", KEY, nullable=False),
        Column("sid", KEY, nullable=False),
        Column("session_id", KEY, nullable=False),
        Column("participant_sid", KEY, nullable=False),
        Column("identity", Text(), nullable=False),
        Column("type", KEY, nullable=False),
        Column("source", KEY, nullable=False),
        Column("name", Text(), nullable=False),
        Column("mime_type", Text(), nullable=False),
        Column("announced", Boolean(), nullable=False),
        Column("gone", Boolean(), nullable=False),
        PrimaryKeyConstraint("room_sid", "sid"),
    )
    op.create_index(
        "tracks_live",
        "tracks",
        ["room_sid", "participant_sid"],
        sqlite_where=text("NOT gone"),
        postgresql_where=text("NOT gone"),
    )
    op.create_index("tracks_of_session", "tracks", ["session_id"])


def _jobs() -> None:
    op.create_table(
        "jobs",
        Column("job_id", KEY, nullable=False),
        Column("session_id", KEY, nullable=False),
        Column("room_sid", KEY, nullable=False),
        Column("room_name", KEY, nullable=False),
        Column("track_sid", KEY, nullable=False),
        Column("participant_sid", KEY, nullable=False),
        Column("identity", Text(), nullable=False),
        Column("participant_name", Text(), nullable=False),
        Column("kind", KEY, nullable=False),
        Column("source", KEY, nullable=False),
        Column("mime_type", Text(), nullable=False),
        Column("language", Text(), nullable=False),
        Column("state", KEY, nullable=False),
        Column("attempt", BigInteger(), nullable=False),
        Column("holder", Text(), nullable=True),
        Column("deadline", BigInteger(), nullable=True),
        Column("retry_at", BigInteger(), nullable=True),
        Column("running_since", BigInteger(), nullable=True),
        Column("failures", BigInteger(), nullable=False),
        Column("ended_at", BigInteger(), nullable=True),
        Column("reason", KEY, nullable=True),
        Column("completed", Boolean(), nullable=False),
        PrimaryKeyConstraint("job_id"),
    )
    op.create_index(
        "jobs_live",
        "jobs",
        ["room_sid", "participant_sid"],
        sqlite_where=text("state <> 'ended'"),
        postgresql_where=text("state <> 'ended'"),
    )
    op.create_index("jobs_of_session", "jobs", ["session_id"])


def _conversations() -> None:
    op.create_table(
        "conversations",
        Column("session_id", KEY, nullable=False),
        Column("document", Text(), nullable=False),
        PrimaryKeyConstraint("session_id"),
    )


def _turns() -> None:
    op.create_table(
        "turns",
        Column("turn_id", KEY, nullable=False),
        Column("session_id", KEY, nullable=False),
        Column("room_name", KEY, nullable=False),
        PrimaryKeyConstraint("turn_id"),
    )
    op.create_index("turns_of_session", "turns", ["session_id"])


def _utterances() -> None:
    op.create_table(
        "utterances",
        Column("job_id", KEY, nullable=False),
        Column("utterance_id", KEY, nullable=False),
        PrimaryKeyConstraint("job_id", "utterance_id"),
        sqlite_with_rowid=False,
    )


def _removals() -> None:
    op.create_table(
        "removals",
        Column("session_id", KEY, nullable=False),
        Column("identity", KEY, nullable=False),
        Column("until", BigInteger(), nullable=False),
        PrimaryKeyConstraint("session_id", "identity"),
    )


def _inbox() -> None:
    op.create_table(
        "inbox",
        Column("message_id", KEY, nullable=False),
        Column("seen_at", BigInteger(), nullable=False),
        PrimaryKeyConstraint("message_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("inbox_seen_at", "inbox", ["seen_at"])


def _outbox() -> None:
    op.create_table(
        "outbox",
        Column("position", SERIAL, autoincrement=True, nullable=False),
        Column("message_id", KEY, nullable=False),
        Column("session_id", KEY, nullable=True),
        Column("cause", KEY, nullable=False),
        Column("correlation_id", Text(), nullable=False),
        Column("exchange", Text(), nullable=False),
        Column("routing_key", Text(), nullable=False),
        Column("type", Text(), nullable=False),
        Column("body", LargeBinary(), nullable=False),
        Column("created_at", BigInteger(), nullable=False),
        Column("expires_after", BigInteger(), nullable=True),
        Column("ready_at", BigInteger(), nullable=False),
        PrimaryKeyConstraint("position"),
        sqlite_autoincrement=True,
    )
    op.create_index("outbox_of_cause", "outbox", ["cause"])


def _timers() -> None:
    op.create_table(
        "timers",
        Column("session_id", KEY, nullable=False),
        Column("key", KEY, nullable=False),
        Column("room_name", KEY, nullable=False),
        Column("due_at", BigInteger(), nullable=False),
        Column("ready_at", BigInteger(), nullable=False),
        PrimaryKeyConstraint("session_id", "key"),
    )
    op.create_index("timers_ready", "timers", ["ready_at"])


def _errands() -> None:
    op.create_table(
        "errands",
        Column("errand_id", SERIAL, autoincrement=True, nullable=False),
        Column("kind", KEY, nullable=False),
        Column("room_name", KEY, nullable=False),
        Column("identity", Text(), nullable=True),
        Column("session_id", KEY, nullable=True),
        Column("due_at", BigInteger(), nullable=False),
        Column("attempts", BigInteger(), nullable=False),
        Column("ready_at", BigInteger(), nullable=False),
        PrimaryKeyConstraint("errand_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("errands_of_room", "errands", ["room_name"])
    op.create_index("errands_ready", "errands", ["ready_at"])


def _answers() -> None:
    op.create_table(
        "answers",
        Column("key", KEY, nullable=False),
        Column("digest", Text(), nullable=False),
        Column("outcome", Text(), nullable=False),
        Column("answered_at", BigInteger(), nullable=False),
        PrimaryKeyConstraint("key"),
    )
    op.create_index("answers_answered_at", "answers", ["answered_at"])
