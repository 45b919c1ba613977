"""`june room`, `participants`, `kick` and `guest-token`: who is in a session's room, and who may be."""

from typing import Any

from cyclopts import App

from cli.asking import DEFAULT_TIMEOUT_S, ask
from cli.commands.session import IdempotencyKey
from cli.help import CONVERSATIONS
from cli.output import Column, Thing, moment
from cli.world import Json, TimeoutS, World
from schemas.commands import GuestTokenCreate, ParticipantList, ParticipantRemove, RoomGet


def _tracks(participant: Thing) -> str:
    return ", ".join(_track(track) for track in participant["tracks"])


def _track(track: Thing) -> str:
    muted = " (muted)" if track["muted"] else ""
    return f"{track['source']}{muted}"


COLUMNS = (
    Column(title="identity", of=lambda person: person["identity"], style="bold"),
    Column(title="name", of=lambda person: person["name"]),
    Column(title="kind", of=lambda person: person["kind"], spare=4),
    Column(title="state", of=lambda person: person["state"], spare=3),
    Column(title="joined", of=lambda person: person["joined_at"], style="dim", short=moment, spare=2),
    Column(title="tracks", of=_tracks),
    Column(title="sid", of=lambda person: person["sid"], style="dim", spare=1),
)


def register(app: App, world: World) -> None:
    """Add the commands."""
    _room(app, world)
    _participants(app, world)
    _kick(app, world)
    _guest_token(app, world)


def _room(app: App, world: World) -> None:
    @app.command(group=CONVERSATIONS)
    def room(session_id: str, /, *, as_json: Json = False, timeout_s: TimeoutS = DEFAULT_TIMEOUT_S) -> None:
        """Print a session's room as LiveKit has it now.

        **Examples**

            june room s-1

        Parameters
        ----------
        session_id
            Whose room.
        """
        result = ask(world, RoomGet.TYPE, {"session_id": session_id}, timeout_s=timeout_s)
        output = world.output(as_json=as_json)
        if output.is_json:
            output.json(result)
        elif result["room"] is None:
            world.say("LiveKit has no room for this session.")
        else:
            output.thing(result["room"])


def _participants(app: App, world: World) -> None:
    @app.command(group=CONVERSATIONS)
    def participants(
        session_id: str, /, *, as_json: Json = False, timeout_s: TimeoutS = DEFAULT_TIMEOUT_S
    ) -> None:
        """Print who is in a session's room now, without June's bots.

        **Examples**

            june participants s-1
            june participants s-1 --json | jq -r .identity

        Parameters
        ----------
        session_id
            Whose room.
        """
        result = ask(world, ParticipantList.TYPE, {"session_id": session_id}, timeout_s=timeout_s)
        world.output(as_json=as_json).things(result["participants"], COLUMNS, none="Nobody is there.")


def _kick(app: App, world: World) -> None:
    @app.command(group=CONVERSATIONS)
    def kick(
        session_id: str,
        identity: str,
        /,
        *,
        as_json: Json = False,
        timeout_s: TimeoutS = DEFAULT_TIMEOUT_S,
    ) -> None:
        """Put somebody out of a session's room, and keep them out.

        `june session get SESSION_ID --token --identity IDENTITY` lets them in again.

        **Examples**

            june kick s-1 bob

        Parameters
        ----------
        session_id
            Out of whose room.
        identity
            Who; `june participants` shows the identities.
        """
        data = {"session_id": session_id, "identity": identity}
        result = ask(world, ParticipantRemove.TYPE, data, timeout_s=timeout_s)
        world.output(as_json=as_json).thing(result)


def _guest_token(app: App, world: World) -> None:
    @app.command(group=CONVERSATIONS)
    def guest_token(
        session_id: str,
        guest_name: str,
        /,
        *,
        ttl_s: int | None = None,
        publish: bool = True,
        subscribe: bool = True,
        data: bool = True,
        idempotency_key: IdempotencyKey = None,
        as_json: Json = False,
        timeout_s: TimeoutS = DEFAULT_TIMEOUT_S,
    ) -> None:
        """Print a token that lets a guest into a session's room, under an identity of its own.

        **Examples**

            june guest-token s-1 "Bob the builder"
            june guest-token s-1 Listener --no-publish --no-data --ttl-s 3600

        Parameters
        ----------
        session_id
            Into whose room.
        guest_name
            What others in the room see.
        ttl_s
            Seconds for which the token lets in: 60 to 86400, 900 by default.
        publish
            Whether the guest may speak and be seen.
        subscribe
            Whether the guest may hear and see.
        data
            Whether the guest may send data messages.
        """
        wish: dict[str, Any] = {
            "session_id": session_id,
            "guest_name": guest_name,
            "ttl_s": ttl_s,
            "can_publish": publish,
            "can_subscribe": subscribe,
            "can_publish_data": data,
        }
        result = ask(world, GuestTokenCreate.TYPE, wish, timeout_s=timeout_s, id_=idempotency_key)
        world.output(as_json=as_json).thing(result)
