"""One conversation on real servers, told as it happens: `python -m examples.conversation [--once]`.

A backend asks for a session; a person joins, speaks, hears an answer and leaves. Then everything stays up, to be tried,
until Ctrl-C; with `--once` it ends. The exit code is 0, or 1 with the reason when a step did not happen by its
deadline, or when something ended that should stay up. No process is left behind, however this one ends.

Servers that the environment names are used, and left as they were: JUNE_AMQP_URL, JUNE_DATABASE_URL (PostgreSQL), and
LIVEKIT_WS_URL with its key and secret, which must post its webhooks to where JUNE_INGRESS_HOST and _PORT say.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import shutil
import signal
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from aio_pika.exceptions import AMQPError
from livekit import rtc
from rich.console import Console

from deploy.servers import InstallError, ServerError
from deploy.servers.processes import new_directory
from deploy.servers.rabbitmq_management import ManagementError
from examples.backend import Backend, Missing, Refused, Seen, connected
from examples.leaving import leave
from examples.participant import HeadlessParticipant, ParticipantError
from examples.place import database, livekit_given, vhost
from examples.stage import PartFailed, Stage, set_up
from examples.timeline import Timeline

PERSON = "ann"
SESSION = {"user_id": PERSON, "display_name": "Ann", "departure_timeout_s": 1}
STEP_WITHIN = timedelta(seconds=10)
SPOKEN_WITHIN = timedelta(seconds=20)
AUDIBLE_RMS = 0.01
LOOK_AFTER_PARTS_EVERY_S = 1.0

STEP_FAILED = (Missing, Refused, ParticipantError, rtc.ConnectError, AMQPError, ConnectionError)
WENT_WRONG = (*STEP_FAILED, PartFailed, ServerError, InstallError, ManagementError)


async def converse(backend: Backend, timeline: Timeline) -> dict[str, timedelta]:
    """Play it. What took how long, by name. Raises `Missing` and the like for the first step that did not happen."""
    timeline.begin()
    timeline.say("backend", f"asks for a session for {PERSON}", "june.session.create.v1")
    asked = time.monotonic()
    made = await backend.ask("june.session.create.v1", SESSION)
    answered = time.monotonic()
    timeline.say("backend", f"has room {made['session']['room_name']} and a token", "june.reply.v1")

    person = await HeadlessParticipant.join(made["livekit_url"], made["access_token"])
    try:
        timeline.say(PERSON, "has joined with the token")
        await backend.until("june.participant.joined.v1", within=STEP_WITHIN)
        unmuted = time.monotonic()
        await person.speak()
        timeline.say(PERSON, "speaks: a signal like a voice's, as a microphone")
        job = await backend.until("june.stt.start.v1", within=STEP_WITHIN)
        await _answered(backend, person, timeline)
    finally:
        left = time.monotonic()
        await person.leave()
    timeline.say(PERSON, "has left")
    stopped = await backend.until("june.stt.stop.v1", within=STEP_WITHIN)
    ended = await backend.until("june.session.ended.v1", within=STEP_WITHIN)
    return {
        "create → answer": _between(asked, answered),
        "microphone on → job in a consumer's hands": _between(unmuted, job.at),
        "  of it June's: webhook received → job in a consumer's hands": _since_webhook(backend, job),
        "transcript reported → turn in a consumer's hands": _between(
            _first(backend, "june.stt.transcript.v1").at, _first(backend, "june.ai.turn.v1").at
        ),
        "leave → stop": _between(left, stopped.at),
        "leave → session ended (LiveKit waits 1 s for a return)": _between(left, ended.at),
    }


async def _answered(backend: Backend, person: HeadlessParticipant, timeline: Timeline) -> None:
    """From the transcript to the spoken answer, which the person hears."""
    await backend.until("june.stt.transcript.v1", within=STEP_WITHIN)
    await backend.until("june.transcript.added.v1", within=STEP_WITHIN)
    await backend.until("june.ai.turn.v1", within=STEP_WITHIN)
    await backend.until("june.tts.speak.v1", within=STEP_WITHIN)
    loudness = await person.hear(await person.other_voice(), listen=timedelta(seconds=0.3))
    if loudness < AUDIBLE_RMS:
        raise Missing(f"{PERSON} heard no answer: its loudness was {loudness:.3f}")
    timeline.say(PERSON, f"hears the answer (RMS {loudness:.3f})")
    completed = await backend.until("june.turn.completed.v1", within=SPOKEN_WITHIN)
    if not completed.data["spoken"]:
        raise Missing("the answer was not spoken to its end")


def _first(backend: Backend, type_: str) -> Seen:
    return next(one for one in backend.seen if one.type == type_)


def _between(start: float, end: float) -> timedelta:
    return timedelta(seconds=end - start)


def _since_webhook(backend: Backend, job: Seen) -> timedelta:
    """The ingress writes down when a webhook came, by the machine's clock."""
    track_sid = job.data["track"]["sid"]
    webhook = next(
        one
        for one in backend.seen
        if one.type == "livekit.track_published" and one.body["track"]["sid"] == track_sid
    )
    received_ms = webhook.properties.headers["received_at"]
    assert isinstance(received_ms, int)
    monotonic_of_wall = time.monotonic() - time.time()
    return _between(received_ms / 1000 + monotonic_of_wall, job.at)


async def play(stage: Stage, timeline: Timeline, *, check: Callable[[], None], once: bool) -> None:
    """The conversation, then what may be tried. `check` raises for what should run and does not: where that is so, it
    is why a step did not happen."""
    async with connected(stage.amqp_url, timeline.seen) as backend:
        try:
            timeline.figures(await converse(backend, timeline))
        except STEP_FAILED as error:
            check()
            if isinstance(error, Missing) and stage.livekit.origin == "given":
                raise Missing(f"{error}. Does LiveKit post its webhooks to {stage.webhook_url}?") from error
            raise
        if not once:
            _invite(stage, timeline)
            await _stay(check)
            timeline.note("\nStopping everything.")


async def _stay(check: Callable[[], None]) -> None:
    """Until Ctrl-C, as long as everything runs."""
    enough = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, enough.set)
    while not enough.is_set():
        check()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_AFTER_PARTS_EVERY_S):
                await enough.wait()


def _invite(stage: Stage, timeline: Timeline) -> None:
    python = Path(sys.executable)
    here = python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python
    ask = json.dumps({"user_id": "bob"})
    for line in (
        "",
        "Everything stays up, and what happens is told here, until Ctrl-C.",
        f"  RabbitMQ   {stage.amqp_url}",
        f"  LiveKit    {stage.livekit.ws_url}",
        f"  webhooks   {stage.webhook_url}",
        *(f"  {part:<10} {url}/metrics" for part, url in stage.admin_urls.items()),
        f"  logs       {stage.folder}",
        "",
        "A next step, in another terminal: bob asks for a session, joins it, and speaks until Ctrl-C.",
        f"  export JUNE_AMQP_URL={stage.amqp_url}",
        f"  {here} -m examples.backend june.session.create.v1 '{ask}' | {here} -m examples.participant",
        "",
    ):
        timeline.note(line)


def _run(timeline: Timeline, *, once: bool) -> int:
    folder = new_directory("conversation")
    try:
        with (
            vhost(timeline.note) as place,
            database(timeline.note) as database_url,
            set_up(
                place.amqp_url,
                folder,
                database_url=database_url,
                given=livekit_given(),
                progress=timeline.note,
            ) as stage,
        ):
            livekit = (
                "livekit-server"
                if stage.livekit.origin == "given"
                else f"livekit-server {stage.livekit.version}"
            )
            timeline.note(f"{place.broker}, {livekit}, {', '.join(stage.parts)}: ready\n")

            def check() -> None:
                place.check()
                stage.check()

            asyncio.run(play(stage, timeline, check=check, once=once))
    except WENT_WRONG as error:
        print(f"\nThe conversation stopped: {error}\nThe logs are in {folder}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nThe conversation was interrupted. The logs are in {folder}", file=sys.stderr)
        return 130
    shutil.rmtree(folder)
    return 0


def _as_ctrl_c(*_: object) -> None:
    """Also where Ctrl-C itself is ignored, as it is in the background of a shell."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.raise_signal(signal.SIGINT)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.conversation", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the conversation")
    arguments = parser.parse_args()
    # What its library in Rust remarks is no part of the story; what fails is raised.
    logging.getLogger("livekit").setLevel(logging.CRITICAL)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _as_ctrl_c)
    return _run(Timeline(Console()), once=arguments.once)


if __name__ == "__main__":
    leave(main())
