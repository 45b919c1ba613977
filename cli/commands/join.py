"""`june join`: a participant from the terminal, who speaks and says who is there.

The participant itself is that of the samples: it needs the source tree and the `rtc` extra.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App
from rich.text import Text

from cli.asking import DEFAULT_TIMEOUT_S, asking, ended
from cli.extras import check_extra
from cli.failures import CommandFailed, ExitCode
from cli.help import CONVERSATIONS
from cli.output import Output, clean
from cli.world import Json, Positive, TimeoutS, World, flag
from schemas.commands import GuestTokenCreate, SessionGet

if TYPE_CHECKING:
    from examples.participant import HeadlessParticipant

LOOK_EVERY_S = 0.2
STYLES = {"you": "bold green", "there": "magenta", "came": "magenta", "left": "dim"}


def register(app: App, world: World) -> None:
    """Add `june join`."""

    @app.command(group=CONVERSATIONS)
    def join(
        session_id: str,
        /,
        *,
        name: str = "guest",
        identity: str | None = None,
        wav: Path | None = None,
        mute: Annotated[bool, flag()] = False,
        for_s: Annotated[float | None, Positive] = None,
        as_json: Json = False,
        timeout_s: TimeoutS = DEFAULT_TIMEOUT_S,
    ) -> int:
        """Join a session's room, speak, and print who comes and goes, until Ctrl-C or the room's end.

        Needs the source tree of June and its `rtc` extra.

        **Examples**

            june join s-1
            june join s-1 --identity ann --wav hello.wav
            june join s-1 --mute --for-s 30

        Parameters
        ----------
        session_id
            Whose room.
        name
            Join as a guest of this name.
        identity
            Join as this participant instead, for example as the session's user.
        wav
            A WAV file to speak, over and over, 16 bit. Without one: a signal like a voice's.
        mute
            Say nothing.
        for_s
            Leave after so many seconds.
        """
        check_extra("june join")
        output = world.output(as_json=as_json)
        way_in = _way_in(session_id, name=name, identity=identity)
        staying = _join(world, output, way_in, wav=wav, mute=mute, for_s=for_s, timeout_s=timeout_s)
        with contextlib.suppress(KeyboardInterrupt):  # that is how it ends
            world.run(staying)
        return ExitCode.OK


def _way_in(session_id: str, *, name: str, identity: str | None) -> tuple[str, dict[str, Any]]:
    """The command that gives a token, and its data."""
    if identity is None:
        return GuestTokenCreate.TYPE, {"session_id": session_id, "guest_name": name}
    return SessionGet.TYPE, {"session_id": session_id, "identity": identity}


async def _join(
    world: World,
    output: Output,
    way_in: tuple[str, dict[str, Any]],
    *,
    wav: Path | None,
    mute: bool,
    for_s: float | None,
    timeout_s: float,
) -> None:
    from livekit import rtc  # noqa: PLC0415 - an extra

    from cli.sound import read_wav  # noqa: PLC0415 - an extra
    from examples.participant import joined  # noqa: PLC0415 - an extra

    signal = None if wav is None else read_wav(wav)
    token = await asking(world, *way_in, timeout_s=timeout_s)
    if token["access_token"] is None:
        raise CommandFailed(
            ExitCode.REFUSED, "failed_precondition", "there is no token: the session has ended", hint=ended()
        )
    try:
        async with joined(token["livekit_url"], token["access_token"]) as person:
            _tell(output, "you", person.identity)
            if not mute:
                await person.speak(signal=signal)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(for_s):
                    await _tell_who_is_there(output, person)
    except rtc.ConnectError as error:
        raise CommandFailed(
            ExitCode.UNAVAILABLE,
            "unavailable",
            f"cannot join at {token['livekit_url']}: {error}",
            hint="is JUNE_LIVEKIT_PUBLIC_URL an address that this machine reaches?",
        ) from error


async def _tell_who_is_there(output: Output, person: "HeadlessParticipant") -> None:
    """Until the room ends."""
    known = person.others()
    for identity in sorted(known):
        _tell(output, "there", identity)
    while person.connected:
        now = person.others()
        for identity in sorted(now - known):
            _tell(output, "came", identity)
        for identity in sorted(known - now):
            _tell(output, "left", identity)
        known = now
        await asyncio.sleep(LOOK_EVERY_S)
    _tell(output, "ended", person.identity)


def _tell(output: Output, what: str, identity: str) -> None:
    thing: Mapping[str, str] = {"what": what, "identity": identity}
    if output.is_json:
        output.json(thing)
    elif output.is_terminal:
        output.line(Text.assemble((f"{what:<6} ", STYLES.get(what, "bold")), clean(identity)))
    else:
        output.line(f"{what}\t{clean(identity)}")
