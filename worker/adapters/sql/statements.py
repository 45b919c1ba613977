"""Every statement that the store uses, written once with SQLAlchemy Core and compiled once for each database.

Promises: text and the order of its parameters, ready for the driver's own cursor. Running Core itself for each
statement costs five times as much (measured: 78 against 17 µs for a select by key), and a unit of work is about five
statements. Parameters go by place: bound by name, each costs the driver half a microsecond more.
Refuses: to run anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple, cast

from sqlalchemy import (
    ClauseElement,
    Column,
    Dialect,
    Select,
    Table,
    bindparam,
    delete,
    func,
    literal_column,
    null,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.sql.compiler import SQLCompiler

from worker.adapters.sql import rows, tables
from worker.adapters.sql.rows import Shape

AT_ONCE = 16
"""How many messages of the outbox one statement puts or forgets at most."""


class Statement(NamedTuple):
    """A statement as the driver's cursor takes it."""

    sql: str
    places: Callable[[Mapping[str, Any]], tuple[Any, ...]]
    """Parameters by name → in the order of their places in the text. `KeyError` for one that is missing."""


def is_(column: Column[Any], parameter: str | None = None) -> Any:
    """The column equals the parameter, which is named after it unless said otherwise."""
    return column == bindparam(parameter or column.name, type_=column.type)


_FENCED = (is_(tables.sessions.c.session_id, "this"), is_(tables.sessions.c.version, "fence"))
"""The session `this`, if it is at the version `fence`."""


class Statements:
    """The statements in one database's words."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._insert = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
        self._sessions()
        self._entities()
        self._messages()
        self._clockwork()

    def _sessions(self) -> None:
        t = tables.sessions
        self.session = self._get(rows.SESSION, t.c.session_id)
        self.lock_session = self._text(select(t.c.session_id).where(is_(t.c.session_id)).with_for_update())
        self.live_session = self._get(rows.SESSION, t.c.live_name)
        self.insert_session = self._text(self._values(t).on_conflict_do_nothing())
        self.delete_session = self._text(delete(t).where(*_FENCED))
        rooms = tables.rooms
        self.release_rooms = self._text(
            update(rooms)
            .where(is_(rooms.c.session_id, "this"))
            .values(
                session_id=null(),
                created_at=func.coalesce(
                    rooms.c.created_at, bindparam("reserved_at", type_=rooms.c.created_at.type)
                ),
            )
        )
        self.shut_until = self._text(
            select(func.max(t.c.tokens_until)).where(
                is_(t.c.room_name),
                tables.WAS_DELETED,
                t.c.tokens_until > bindparam("now", type_=t.c.tokens_until.type),
            )
        )

    def _entities(self) -> None:
        people, tracks, jobs = tables.participants, tables.tracks, tables.jobs
        self.room = self._get(rows.ROOM, tables.rooms.c.room_sid)
        both = select(*rows.ROOM.columns, *rows.SESSION.columns).select_from(
            tables.rooms.outerjoin(tables.sessions, tables.sessions.c.session_id == tables.rooms.c.session_id)
        )
        self.room_and_session = self._text(both.where(is_(tables.rooms.c.room_sid)))
        self.inhabited = self._text(
            select(people.c.sid)
            .where(is_(people.c.room_sid))
            .union_all(select(tracks.c.sid).where(is_(tracks.c.room_sid)))
        )
        self.participant = self._get(rows.PARTICIPANT, people.c.room_sid, people.c.sid)
        self.live_participants = self._living(rows.PARTICIPANT, tables.NOT_GONE, people.c.room_sid)
        self.track = self._get(rows.TRACK, tracks.c.room_sid, tracks.c.sid)
        self.live_tracks = self._living(rows.TRACK, tables.NOT_GONE, tracks.c.room_sid)
        self.live_tracks_of = self._living(
            rows.TRACK, tables.NOT_GONE, tracks.c.room_sid, tracks.c.participant_sid
        )
        self.job = self._get(rows.JOB, jobs.c.job_id)
        self.live_jobs = self._living(rows.JOB, tables.JOB_LIVES, jobs.c.room_sid)
        self.live_jobs_of = self._living(rows.JOB, tables.JOB_LIVES, jobs.c.room_sid, jobs.c.participant_sid)
        self.turn = self._get(rows.TURN, tables.turns.c.turn_id)
        self.removal = self._get(rows.REMOVAL, tables.removals.c.session_id, tables.removals.c.identity)
        self.delete_removal = self._delete(tables.removals.c.session_id, tables.removals.c.identity)
        talk = tables.conversations
        self.conversation = self._text(select(talk.c.document).where(is_(talk.c.session_id)))
        said = tables.utterances
        self.utterance = self._text(select(said.c.job_id).where(is_(said.c.job_id), is_(said.c.utterance_id)))
        self.insert_utterance = self._text(self._values(said).on_conflict_do_nothing())

    def _messages(self) -> None:
        inbox, outbox, answers = tables.inbox, tables.outbox, tables.answers
        self.seen = self._text(select(inbox.c.message_id).where(is_(inbox.c.message_id)))
        self.mark_seen = self._text(self._values(inbox).on_conflict_do_nothing())
        self.outbox_of = self._text(
            select(*rows.OUTBOX.columns).where(is_(outbox.c.cause)).order_by(outbox.c.position)
        )
        some = [bindparam(f"position_{number}", type_=outbox.c.position.type) for number in range(AT_ONCE)]
        self.forget_outbox = self._text(delete(outbox).where(outbox.c.position.in_(some)))
        self.unsent = self._ready(rows.OUTBOX, outbox.c.position)
        self.claim_outbox = self._claim(outbox.c.position)
        self.answer = self._get(rows.ANSWER, answers.c.key)

    def _clockwork(self) -> None:
        timers, errands = tables.timers, tables.errands
        self.due_timers = self._ready(rows.TIMER, timers.c.ready_at)
        self.claim_timer = self._claim(timers.c.session_id, timers.c.key)
        self.done_timer = self._delete(timers.c.session_id, timers.c.key, timers.c.due_at)
        self.put_errand = self._numbered(
            self._values(errands, without=errands.c.errand_id), errands.c.errand_id
        )
        of_room = select(*rows.ERRAND.columns).where(is_(errands.c.room_name))
        self.errands_of_room = self._text(of_room.order_by(errands.c.errand_id))
        self.due_errands = self._ready(rows.ERRAND, errands.c.ready_at)
        self.claim_errand = self._claim(errands.c.errand_id)
        self.done_errand = self._delete(errands.c.errand_id)
        later = bindparam("later", type_=errands.c.due_at.type)
        again = update(errands).where(is_(errands.c.errand_id, "this"))
        self.retry_errand = self._text(
            again.values(due_at=later, ready_at=later, attempts=errands.c.attempts + literal_column("1"))
        )

    @cache  # noqa: B019 - one object for each database, for as long as the process lives
    def put(self, table: Table) -> Statement:
        """Insert a row, or replace what is there under its key."""
        put = self._values(table)
        key = list(table.primary_key)
        rest = {c.name: put.excluded[c.name] for c in table.c if not c.primary_key}
        return self._text(put.on_conflict_do_update(index_elements=key, set_=rest))

    @cache  # noqa: B019 - as many texts as things that change together
    def update(self, table: Table, *columns: str) -> Statement:
        """Change these columns of the row whose key is `this_<column>`: no index of another one is touched."""
        mine = (is_(key, f"this_{key.name}") for key in table.primary_key)
        return self._update(table, columns, *mine)

    @cache  # noqa: B019 - as many texts as things that change together
    def update_session(self, *columns: str) -> Statement:
        """The same for the session `this`, if it is at the version `fence`."""
        return self._update(tables.sessions, columns, *_FENCED)

    def _update(self, table: Table, columns: Sequence[str], *where: Any) -> Statement:
        values = {name: bindparam(name, type_=table.c[name].type) for name in columns}
        return self._text(update(table).where(*where).values(values))

    @cache  # noqa: B019 - as many texts as rows that go at once
    def put_outbox(self, count: int) -> Statement:
        """Insert so many messages, whose parameters are those of one after those of another."""
        outbox = tables.outbox
        columns = [column for column in outbox.c if column is not outbox.c.position]
        each = [
            {c.name: bindparam(f"{c.name}_{number}", type_=c.type) for c in columns}
            for number in range(count)
        ]
        return self._numbered(self._insert(outbox).values(each), outbox.c.position)

    @cache  # noqa: B019 - at most sixteen texts
    def list_sessions(self, *filters: str, further: bool) -> Statement:
        """A page of sessions by equality of `filters`; `further` continues after (`at`, `after`)."""
        t = tables.sessions
        page = select(*rows.SESSION.columns).where(tables.NOT_RESERVED, *(is_(t.c[name]) for name in filters))
        if further:
            place = tuple_(
                bindparam("at", type_=t.c.created_at.type), bindparam("after", type_=t.c.session_id.type)
            )
            page = page.where(tuple_(t.c.created_at, t.c.session_id) < place)
        return self._text(_at_most(page.order_by(t.c.created_at.desc(), t.c.session_id.desc())))

    @cache  # noqa: B019 - as many texts as are written in the code
    def words(self, sql: str) -> Statement:
        """SQL that both databases know, with `:named` parameters, in this driver's words."""
        return self._text(text(sql))

    def _get(self, shape: Shape[Any], *keys: Column[Any]) -> Statement:
        return self._text(select(*shape.columns).where(*(is_(key) for key in keys)))

    def _living(self, shape: Shape[Any], lives: Any, *keys: Column[Any]) -> Statement:
        """In no order: one that the table's key has would tempt SQLite to walk along the key, past every tombstone."""
        return self._text(select(*shape.columns).where(lives, *(is_(key) for key in keys)))

    def _ready(self, shape: Shape[Any], order: Column[Any]) -> Statement:
        """What nobody has claimed at `now`; rows that another worker is just taking are left to it."""
        ready_at = shape.table.c.ready_at
        ready = (
            select(*shape.columns).where(ready_at <= bindparam("now", type_=ready_at.type)).order_by(order)
        )
        return self._text(_at_most(ready).with_for_update(skip_locked=True))

    def _claim(self, *keys: Column[Any]) -> Statement:
        table = keys[0].table
        until = bindparam("until", type_=table.c.ready_at.type)
        claim = update(table).where(*(is_(key, f"this_{key.name}") for key in keys))
        return self._text(claim.values(ready_at=until))

    def _delete(self, *keys: Column[Any]) -> Statement:
        return self._text(delete(keys[0].table).where(*(is_(key) for key in keys)))

    def _values(
        self, table: Table, *, without: Column[Any] | None = None
    ) -> postgresql.Insert | sqlite.Insert:
        columns = [column for column in table.c if column is not without]
        return self._insert(table).values({c.name: bindparam(c.name, type_=c.type) for c in columns})

    def _numbered(self, insert: postgresql.Insert | sqlite.Insert, serial: Column[Any]) -> Statement:
        """An insert whose rows get numbers, which the driver tells: see `Driver.new_numbers`."""
        return self._text(insert.returning(serial) if self._dialect.name == "postgresql" else insert)

    def _text(self, statement: ClauseElement) -> Statement:
        compiled = cast("SQLCompiler", statement.compile(dialect=self._dialect))
        return Statement(str(compiled), _places(compiled.positiontup or ()))


def _places(names: Sequence[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    if len(names) == 1:
        (name,) = names
        return lambda parameters: (parameters[name],)
    return itemgetter(*names) if names else lambda _: ()


def _at_most(page: Select[Any]) -> Select[Any]:
    # SQLAlchemy adds "OFFSET ?" for SQLite with a parameter of its own unless there is an offset.
    return page.limit(bindparam("at_most")).offset(literal_column("0"))


@cache
def sqlite_statements() -> Statements:
    """For the `sqlite3` module."""
    return Statements(sqlite.dialect(paramstyle="qmark"))


@cache
def postgres_statements() -> Statements:
    """For psycopg."""
    return Statements(PGDialect_psycopg(paramstyle="format"))  # type: ignore[no-untyped-call]
