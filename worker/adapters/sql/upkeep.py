"""The statements that nobody waits for: who has a duty, what lives where, and what may be forgotten.

Promises: a duty is one worker's until it lets it run out; counts are of one moment; purging is done in steps of a few
hundred rows, so that a command between two of them feels nothing. The two databases take the same text.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from worker.adapters.sql.codecs import moment_of, moment_us
from worker.adapters.sql.transaction import SqlTransaction
from worker.application.ports import SessionCounts
from worker.domain.model import RoomSid

_INBOX_KEPT = timedelta(hours=48)
"""Longer than any copy of a message can be on its way, dead letters that are replayed early included."""
_ANSWERS_KEPT = timedelta(hours=24)
_RESERVED_KEPT = timedelta(hours=24)

_TAKE = """
INSERT INTO claims (name, holder, until) VALUES (:name, :holder, :until)
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until WHERE claims.until <= :now
RETURNING rounds
"""

_HOLD = """
UPDATE claims SET until = :until, rounds = rounds + :done WHERE name = :name AND holder = :holder
"""

_COUNTS = """
SELECT s.session_id, s.room_name, s.room_sid, s.created_at, s.missing_since,
       coalesce(people.n, 0), coalesce(speakers.n, 0)
FROM sessions s
LEFT JOIN (
    SELECT room_sid, count(*) AS n FROM participants
    WHERE NOT gone AND kind NOT IN ('agent', 'egress') GROUP BY room_sid
) people ON people.room_sid = s.room_sid
LEFT JOIN (
    SELECT p.room_sid, count(*) AS n FROM participants p
    WHERE NOT p.gone AND EXISTS (
        SELECT 1 FROM tracks t WHERE t.room_sid = p.room_sid AND t.participant_sid = p.sid
    ) GROUP BY p.room_sid
) speakers ON speakers.room_sid = s.room_sid
WHERE s.live_name IS NOT NULL AND s.state <> 'reserved' AND s.room_sid IS NOT NULL
"""

_OLD_SESSIONS = """
SELECT session_id FROM sessions
WHERE (state = 'ended' AND ended_at <= :ended) OR (state = 'reserved' AND created_at <= :reserved) LIMIT :at_most
"""

_OF_THE_SESSION = "session_id = :this"
_OF_ITS_JOBS = "job_id IN (SELECT job_id FROM jobs WHERE session_id = :this LIMIT :at_most)"
_WITHOUT_WORDS = (
    "session_id = :this AND NOT EXISTS (SELECT 1 FROM utterances WHERE utterances.job_id = jobs.job_id)"
)

_OF_A_SESSION = tuple(
    f"DELETE FROM {table} WHERE ({key}) IN"  # noqa: S608 - the names stand below
    f" (SELECT {key} FROM {table} WHERE {its} LIMIT :at_most) RETURNING 1"
    for table, key, its in (
        ("utterances", "job_id, utterance_id", _OF_ITS_JOBS),
        ("jobs", "job_id", _WITHOUT_WORDS),
        ("tracks", "room_sid, sid", _OF_THE_SESSION),
        ("participants", "room_sid, sid", _OF_THE_SESSION),
        ("conversations", "session_id", _OF_THE_SESSION),
        ("turns", "turn_id", _OF_THE_SESSION),
        ("removals", "session_id, identity", _OF_THE_SESSION),
        ("timers", "session_id, key", _OF_THE_SESSION),
        ("rooms", "room_sid", _OF_THE_SESSION),
        ("sessions", "session_id", _OF_THE_SESSION),
    )
)
"""The session itself goes last, when nothing else of it is there."""

_OLD_ROOMS = """
DELETE FROM rooms WHERE room_sid IN
    (SELECT room_sid FROM rooms WHERE session_id IS NULL AND created_at <= :before LIMIT :at_most) RETURNING room_sid
"""
_OLD_INBOX = """
DELETE FROM inbox WHERE message_id IN
    (SELECT message_id FROM inbox WHERE seen_at <= :before LIMIT :at_most) RETURNING message_id
"""
_OLD_ANSWERS = """
DELETE FROM answers WHERE key IN
    (SELECT key FROM answers WHERE answered_at <= :before LIMIT :at_most) RETURNING key
"""


def claim(tx: SqlTransaction, name: str, holder: str, *, now: datetime, until: datetime) -> int:
    """See the port."""
    row = tx.row(
        tx.statements.words(_TAKE), name=name, holder=holder, now=moment_us(now), until=moment_us(until)
    )
    return 0 if row is None else int(row[0]) + 1


def hold(tx: SqlTransaction, name: str, holder: str, *, until: datetime, done: bool) -> None:
    """See the port."""
    tx.run(tx.statements.words(_HOLD), name=name, holder=holder, until=moment_us(until), done=int(done))


def live_counts(tx: SqlTransaction) -> Sequence[SessionCounts]:
    """See the port."""
    return [
        SessionCounts(
            session_id=session_id,
            room_name=room_name,
            room_sid=RoomSid(room_sid),
            created_at=moment_of(created_at),
            missing_since=None if missing is None else moment_of(missing),
            participants=people,
            publishers=speakers,
        )
        for session_id, room_name, room_sid, created_at, missing, people, speakers in tx.rows(
            tx.statements.words(_COUNTS)
        )
    ]


def purge(tx: SqlTransaction, now: datetime, *, retention: timedelta, limit: int) -> int:
    """See the port."""
    purged = 0
    old = tx.rows(
        tx.statements.words(_OLD_SESSIONS),
        ended=moment_us(now - retention),
        reserved=moment_us(now - _RESERVED_KEPT),
        at_most=max(1, limit // 20),
    )
    room_left = limit
    for (session_id,) in old:
        if room_left <= 0:
            break
        room_left -= _purge_session(tx, session_id, at_most=room_left)
        tx.purged_session(session_id)
        purged += 1
    for statement, kept in (
        (_OLD_ROOMS, _INBOX_KEPT),
        (_OLD_INBOX, _INBOX_KEPT),
        (_OLD_ANSWERS, _ANSWERS_KEPT),
    ):
        gone: Sequence[Any] = tx.rows(
            tx.statements.words(statement), before=moment_us(now - kept), at_most=limit
        )
        purged += len(gone)
    return purged


def _purge_session(tx: SqlTransaction, session_id: str, *, at_most: int) -> int:
    """Up to so many of its rows; what is left of one that has more goes in the next steps."""
    gone = 0
    for statement in _OF_A_SESSION:
        gone += len(tx.rows(tx.statements.words(statement), this=session_id, at_most=at_most - gone))
        if gone >= at_most:
            break
    return gone
