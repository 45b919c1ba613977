"""`june session`: create, get, list, delete. Each is one command of June's; list follows the pages."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from cli.asking import DEFAULT_TIMEOUT_S, Result, ask
from cli.failures import usage
from cli.help import CONVERSATIONS
from cli.output import Column, Thing, moment
from cli.world import Json, Positive, TimeoutS, Wish, World, flag
from schemas.commands import SessionCreate, SessionDelete, SessionGet, SessionList

HELP = """\
Create, look at and end sessions.

**Examples**

    june session create ann
    june session list --status active
"""
PAGE = 200
TOKEN_FIELDS = ("access_token", "identity", "livekit_url", "token_expires_at")

COLUMNS = (
    Column(title="session", of=lambda session: session["session_id"], style="bold"),
    Column(title="status", of=lambda session: session["status"]),
    Column(title="user", of=lambda session: session["user_id"]),
    Column(title="room", of=lambda session: session["room_name"], spare=2),
    Column(title="origin", of=lambda session: session["origin"], style="dim", spare=1),
    Column(title="created", of=lambda session: session["created_at"], style="dim", short=moment, spare=3),
    Column(title="ended", of=lambda session: session["end_reason"]),
)

IdempotencyKey = Annotated[
    str | None,
    Parameter(help="Makes it safe to repeat: the same key again gives the same answer, for 24 h."),
]


def register(app: App, world: World) -> None:
    """Add `june session`."""
    session = App(name="session", help=HELP, group=CONVERSATIONS, group_commands="Commands")
    app.command(session)
    _create(session, world)
    _get(session, world)
    _list(session, world)
    _delete(session, world)


def _create(app: App, world: World) -> None:
    @app.command
    def create(
        user_id: str,
        /,
        *,
        session_id: str | None = None,
        room_name: str | None = None,
        display_name: str | None = None,
        metadata: Annotated[str | None, Parameter(help="A JSON object.")] = None,
        token_ttl_s: int | None = None,
        empty_timeout_s: int | None = None,
        departure_timeout_s: int | None = None,
        max_participants: int | None = None,
        stt: Wish = None,
        language: str | None = None,
        ai: Wish = None,
        speak: Wish = None,
        agent: Annotated[list[str] | None, Parameter(negative="")] = None,
        idempotency_key: IdempotencyKey = None,
        as_json: Json = False,
        timeout_s: TimeoutS = DEFAULT_TIMEOUT_S,
    ) -> None:
        """Make a session with its LiveKit room, and print it with a token for its user.

        **Examples**

            june session create ann
            june session create ann --display-name Ann --language de --no-speak
            june session create ann --json | python -m examples.participant

        Parameters
        ----------
        user_id
            Whose session it is; the identity in the room.
        session_id
            Made by June when left out.
        room_name
            Made by June when left out.
        display_name
            What others in the room see.
        token_ttl_s
            Seconds for which the token lets in: 60 to 86400, 900 by default.
        empty_timeout_s
            Seconds that the room waits for its first participant; by default as long as the token works.
        departure_timeout_s
            Seconds that the room waits after the last one left, 20 by default.
        max_participants
            As LiveKit counts them.
        stt
            Whether voices are transcribed.
        language
            Which language is spoken.
        ai
            Whether an AI answers.
        speak
            Whether its answers are spoken.
        agent
            A LiveKit agent to dispatch into the room; may be repeated.
        """
        data = {
            "user_id": user_id,
            "session_id": session_id,
            "room_name": room_name,
            "display_name": display_name,
            "metadata": _object(metadata),
            "token_ttl_s": token_ttl_s,
            "empty_timeout_s": empty_timeout_s,
            "departure_timeout_s": departure_timeout_s,
            "max_participants": max_participants,
            "stt": _given(enabled=stt, language=language),
            "ai": _given(enabled=ai, speak=speak),
            "agents": [{"agent_name": name} for name in agent] if agent else None,
        }
        result = ask(world, SessionCreate.TYPE, data, timeout_s=timeout_s, id_=idempotency_key)
        _show(world, result, as_json=as_json, token=True)


def _get(app: App, world: World) -> None:
    @app.command
    def get(
        session_id: str,
        /,
        *,
        token: Annotated[bool, flag()] = False,
        identity: str | None = None,
        as_json: Json = False,
        timeout_s: TimeoutS = DEFAULT_TIMEOUT_S,
    ) -> None:
        """Print a session.

        **Examples**

            june session get s-1
            june session get s-1 --token --json
            june session get s-1 --token --identity ann

        Parameters
        ----------
        session_id
            Which one.
        token
            Print the new token, too. It is a secret: whoever has it can join.
        identity
            Whose token; by default that of the session's user. Naming one that was removed lets it in again.
        """
        data = {"session_id": session_id, "identity": identity}
        result = ask(world, SessionGet.TYPE, data, timeout_s=timeout_s)
        _show(world, result, as_json=as_json, token=token or identity is not None)


def _list(app: App, world: World) -> None:
    @app.command(name="list")
    def list_(
        *,
        user_id: str | None = None,
        status: Literal["created", "active", "ended"] | None = None,
        room_name: str | None = None,
        limit: Annotated[int, Positive] = 50,
        as_json: Json = False,
        timeout_s: TimeoutS = DEFAULT_TIMEOUT_S,
    ) -> None:
        """Print sessions, the newest first.

        **Examples**

            june session list --status active
            june session list --user-id ann --limit 500 --json

        Parameters
        ----------
        user_id
            Only those of this user.
        status
            Only those that are in this state.
        room_name
            Only those of this room.
        limit
            At most so many.
        """
        wanted = {"user_id": user_id, "status": status, "room_name": room_name}
        sessions, more = _pages(world, wanted, limit=limit, timeout_s=timeout_s)
        world.output(as_json=as_json).things(sessions, COLUMNS, none="No sessions.")
        if more:
            world.say(f"There are more: --limit {limit * 2}")


def _delete(app: App, world: World) -> None:
    @app.command
    def delete(
        session_id: str,
        /,
        *,
        reason: str | None = None,
        as_json: Json = False,
        timeout_s: TimeoutS = DEFAULT_TIMEOUT_S,
    ) -> None:
        """End a session and close its room. Twice is as good as once.

        **Examples**

            june session delete s-1
            june session delete s-1 --reason "asked for by the user"

        Parameters
        ----------
        session_id
            Which one.
        reason
            Why, for June's log.
        """
        data = {"session_id": session_id, "reason": reason}
        result = ask(world, SessionDelete.TYPE, data, timeout_s=timeout_s)
        world.output(as_json=as_json).thing(result["session"])


def _pages(
    world: World, wanted: Mapping[str, Any], *, limit: int, timeout_s: float
) -> tuple[list[Thing], bool]:
    """The sessions, and whether there are more."""
    sessions: list[Thing] = []
    cursor: str | None = None
    while True:
        page = {**wanted, "limit": min(PAGE, limit - len(sessions)), "cursor": cursor}
        result = ask(world, SessionList.TYPE, page, timeout_s=timeout_s)
        sessions += result["sessions"]
        cursor = result["next_cursor"]
        if cursor is None or len(sessions) >= limit:
            return sessions, cursor is not None


def _show(world: World, result: Result, *, as_json: bool, token: bool) -> None:
    """As June gave it; without what lets in, unless that was asked for."""
    output = world.output(as_json=as_json)
    shown = result if token else {name: value for name, value in result.items() if name not in TOKEN_FIELDS}
    output.thing(shown if output.is_json else {**shown["session"], **_without_session(shown)})


def _without_session(result: Result) -> Result:
    return {name: value for name, value in result.items() if name != "session"}


def _given(**wishes: bool | str | None) -> dict[str, Any] | None:
    """What was said of a part of the session; None when nothing was."""
    return {name: value for name, value in wishes.items() if value is not None} or None


def _object(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        raise usage("--metadata is not JSON", hint="""for example --metadata '{"plan": "gold"}'""") from None
