"""The tables, as they are after the last migration: names, types, keys and the indexes that keep work flat.

Promises: each column that stands for a field has the field's name; its codec is in `Column.info`. A query of the hot
path finds what lives by an index over the living alone, so that tombstones cost nothing.
Refuses: foreign keys: rows of a session are written together and purged together, and late events need rows
whose session is unknown.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, MetaData, Table, Text, text
from sqlalchemy.types import TypeEngine

from schemas.participants import ParticipantKind, TrackSource, TrackType
from schemas.pipeline import StopReason
from schemas.sessions import EndReason, SessionOrigin
from worker.adapters.sql.codecs import AGENTS, DURATION, FLAG, JSON, MOMENT, Codec, words
from worker.application.ports import ErrandKind
from worker.domain.model import JobState, SessionState

metadata = MetaData()

# Keys are compared byte by byte in both databases: an operating system's new collation cannot break an index.
KEY = Text().with_variant(Text(collation="C"), "postgresql")
# SQLite makes a row number of an INTEGER key only.
SERIAL = BigInteger().with_variant(Integer(), "sqlite")

NOT_RESERVED = text("state <> 'reserved'")
NOT_GONE = text("NOT gone")
JOB_LIVES = text("state <> 'ended'")
WAS_DELETED = text("end_reason = 'deleted'")
OF_NOBODY = text("session_id IS NULL")


def _column(
    name: str, kind: TypeEngine[Any], *, optional: bool, codec: Codec | None, primary_key: bool = False
) -> Column[Any]:
    return Column(name, kind, nullable=optional, primary_key=primary_key, info={"codec": codec})


def _id(name: str) -> Column[Any]:
    return _column(name, KEY, optional=False, codec=None, primary_key=True)


def _key(name: str, *, optional: bool = False) -> Column[Any]:
    return _column(name, KEY, optional=optional, codec=None)


def _text(name: str, *, optional: bool = False) -> Column[Any]:
    return _column(name, Text(), optional=optional, codec=None)


def _number(name: str, *, optional: bool = False) -> Column[Any]:
    return _column(name, BigInteger(), optional=optional, codec=None)


def _flag(name: str) -> Column[Any]:
    return _column(name, Boolean(), optional=False, codec=FLAG)


def _moment(name: str, *, optional: bool = False) -> Column[Any]:
    return _column(name, BigInteger(), optional=optional, codec=MOMENT)


def _words(name: str, kind: type[StrEnum], *, optional: bool = False) -> Column[Any]:
    return _column(name, KEY, optional=optional, codec=words(kind))


def _serial(name: str) -> Column[Any]:
    return Column(name, SERIAL, primary_key=True, autoincrement=True, info={"codec": None})


def _only(name: str, table_column: str, *more: Any, where: Any) -> Index:
    """An index over the rows for which `where` holds."""
    return Index(name, table_column, *more, sqlite_where=where, postgresql_where=where)


sessions = Table(
    "sessions",
    metadata,
    _id("session_id"),
    _key("user_id", optional=True),
    _text("display_name", optional=True),
    _key("room_name"),
    _key("room_sid", optional=True),
    _words("state", SessionState),
    _words("origin", SessionOrigin),
    _moment("created_at"),
    _moment("started_at", optional=True),
    _moment("ended_at", optional=True),
    _words("end_reason", EndReason, optional=True),
    _text("metadata", optional=True),
    _flag("stt_enabled"),
    _text("stt_language"),
    _flag("ai_enabled"),
    _flag("ai_speak"),
    _number("empty_timeout_s", optional=True),
    _number("departure_timeout_s", optional=True),
    _number("max_participants", optional=True),
    _number("token_ttl_s", optional=True),
    _column("agents", Text(), optional=False, codec=AGENTS),
    _text("reserved_by", optional=True),
    _moment("reserved_at", optional=True),
    _moment("missing_since", optional=True),
    _moment("tokens_until", optional=True),
    _number("version"),
    _number("sequence"),
    # The room name while the session lives, else NULL: at most one live session holds a name.
    _key("live_name", optional=True),
    Index("sessions_live_name", "live_name", unique=True),
    Index("sessions_newest", "created_at", "session_id"),
    Index("sessions_of_user", "user_id", "created_at", "session_id"),
    Index("sessions_in_state", "state", "created_at", "session_id"),
    Index("sessions_of_room", "room_name", "created_at", "session_id"),
    _only("sessions_shut", "room_name", "tokens_until", where=WAS_DELETED),
)

rooms = Table(
    "rooms",
    metadata,
    _id("room_sid"),
    _key("room_name"),
    _key("session_id", optional=True),
    _flag("gone"),
    _moment("created_at", optional=True),
    Index("rooms_of_session", "session_id"),
    _only("rooms_of_nobody", "created_at", where=OF_NOBODY),
)

participants = Table(
    "participants",
    metadata,
    _id("room_sid"),
    _id("sid"),
    _key("session_id"),
    _text("identity"),
    _text("name"),
    _words("kind", ParticipantKind),
    _text("metadata"),
    _moment("joined_at"),
    _flag("bot"),
    _flag("gone"),
    _only("participants_live", "room_sid", where=NOT_GONE),
    Index("participants_of_session", "session_id"),
)

tracks = Table(
    "tracks",
    metadata,
    _id("room_sid"),
    _id("sid"),
    _key("session_id"),
    _key("participant_sid"),
    _text("identity"),
    _words("type", TrackType),
    _words("source", TrackSource),
    _text("name"),
    _text("mime_type"),
    _flag("announced"),
    _flag("gone"),
    _only("tracks_live", "room_sid", "participant_sid", where=NOT_GONE),
    Index("tracks_of_session", "session_id"),
)

jobs = Table(
    "jobs",
    metadata,
    _id("job_id"),
    _key("session_id"),
    _key("room_sid"),
    _key("room_name"),
    _key("track_sid"),
    _key("participant_sid"),
    _text("identity"),
    _text("participant_name"),
    _words("kind", ParticipantKind),
    _words("source", TrackSource),
    _text("mime_type"),
    _text("language"),
    _words("state", JobState),
    _number("attempt"),
    _text("holder", optional=True),
    _moment("deadline", optional=True),
    _moment("retry_at", optional=True),
    _moment("running_since", optional=True),
    _number("failures"),
    _moment("ended_at", optional=True),
    _words("reason", StopReason, optional=True),
    _flag("completed"),
    _only("jobs_live", "room_sid", "participant_sid", where=JOB_LIVES),
    Index("jobs_of_session", "session_id"),
)

conversations = Table("conversations", metadata, _id("session_id"), _text("document"))

turns = Table(
    "turns",
    metadata,
    _id("turn_id"),
    _key("session_id"),
    _key("room_name"),
    Index("turns_of_session", "session_id"),
)

utterances = Table("utterances", metadata, _id("job_id"), _id("utterance_id"), sqlite_with_rowid=False)

removals = Table("removals", metadata, _id("session_id"), _id("identity"), _moment("until"))

inbox = Table(
    "inbox",
    metadata,
    _id("message_id"),
    _moment("seen_at"),
    Index("inbox_seen_at", "seen_at"),
    sqlite_with_rowid=False,
)

outbox = Table(
    "outbox",
    metadata,
    _serial("position"),
    _key("message_id"),
    _key("session_id", optional=True),
    _key("cause"),
    _text("correlation_id"),
    _text("exchange"),
    _text("routing_key"),
    _text("type"),
    _column("body", LargeBinary(), optional=False, codec=None),
    _moment("created_at"),
    _column("expires_after", BigInteger(), optional=True, codec=DURATION),
    # Since when a sweep may take it: `created_at`, and later when one has claimed it.
    _moment("ready_at"),
    Index("outbox_of_cause", "cause"),
    # A position is never used again, so that forgetting one late cannot forget another message.
    sqlite_autoincrement=True,
)

timers = Table(
    "timers",
    metadata,
    _id("session_id"),
    _id("key"),
    _key("room_name"),
    _moment("due_at"),
    # When it is given out next: `due_at`, and later when it has been claimed.
    _moment("ready_at"),
    Index("timers_ready", "ready_at"),
)

errands = Table(
    "errands",
    metadata,
    _serial("errand_id"),
    _words("kind", ErrandKind),
    _key("room_name"),
    _text("identity", optional=True),
    _key("session_id", optional=True),
    _moment("due_at"),
    _number("attempts"),
    _moment("ready_at"),
    Index("errands_ready", "ready_at"),
    Index("errands_of_room", "room_name"),
    sqlite_autoincrement=True,
)

claims = Table(
    "claims",
    metadata,
    _id("name"),
    _text("holder"),
    _moment("until"),
    # How many rounds of the duty are done.
    Column("rounds", BigInteger(), nullable=False, server_default="0"),
)

answers = Table(
    "answers",
    metadata,
    _id("key"),
    _text("digest"),
    _column("outcome", Text(), optional=False, codec=JSON),
    _moment("answered_at"),
    Index("answers_answered_at", "answered_at"),
)
