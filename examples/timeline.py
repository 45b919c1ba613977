"""Tells what happens, one line a step: when, who, what, and by which message. Coloured on a terminal, plain in a pipe.

Times are milliseconds since the conversation began, by the clock of whoever watches. Says nothing of a message that it
does not know, nor of what LiveKit tells about June's own bots.
"""

import time
from dataclasses import dataclass
from datetime import timedelta

from rich.console import Console
from rich.text import Text

from examples.backend import Seen
from examples.service import Data

COLOURS = {
    "backend": "cyan",
    "June": "bold magenta",
    "LiveKit": "blue",
    "STT": "yellow",
    "AI": "green",
    "TTS": "bright_red",
}
PERSON_COLOUR = "bold white"
TEXT_WIDTH = 64


@dataclass(frozen=True, kw_only=True)
class Step:
    """One line: who did what."""

    who: str
    what: str


class Timeline:
    """The lines, as they come."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()

    def begin(self) -> None:
        """Now is 0 ms."""
        self._began = time.monotonic()

    def say(self, who: str, what: str, by: str = "", *, at: float | None = None) -> None:
        """A line. `at` is the monotonic clock's time, now when it is not given."""
        ms = ((time.monotonic() if at is None else at) - self._began) * 1000
        line = Text.assemble(
            (f"{ms:8,.0f} ms  ", "dim"),
            (f"{who:<8}  ", COLOURS.get(who, PERSON_COLOUR)),
            f"{what:<{TEXT_WIDTH}}" if by else what,
            (f"  {by}" if by else "", "dim"),
        )
        self.note(line)

    def seen(self, message: Seen) -> None:
        """A line for a message, if there is something to tell."""
        step = describe(message)
        if step:
            self.say(step.who, step.what, message.type, at=message.at)

    def figures(self, figures: dict[str, timedelta]) -> None:
        """What took how long."""
        self.note("")
        for name, took in figures.items():
            self.note(Text.assemble((f"{took.total_seconds() * 1000:8,.0f} ms  ", "bold"), name))

    def note(self, line: str | Text = "") -> None:
        """A line of its own. Never broken, so that it can be searched and pasted."""
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)


def describe(message: Seen) -> Step | None:
    """What a message tells, in words."""
    if message.type.startswith("livekit."):
        return _webhook(message.body)
    for tells in (_event, _pipeline, _report):
        step = tells(message.type, message.data, message.body.get("source", ""))
        if step:
            return step
    return None


def short(identifier: str) -> str:
    """Enough of an id to tell it from the others on the screen."""
    head, underscore, tail = identifier.rpartition("_")
    return f"{head}{underscore}{tail[:6]}"


def _webhook(body: Data) -> Step | None:
    participant = body.get("participant", {})
    if participant.get("kind") == "AGENT" or participant.get("identity", "").startswith("june-"):
        return None
    about = participant.get("identity") or short(body.get("room", {}).get("sid", ""))
    return Step(who="LiveKit", what=f"webhook {body['event']}: {about}")


def _event(type_: str, data: Data, _source: str) -> Step | None:
    match type_:
        case "june.session.created.v1":
            what = f"session {short(data['session']['session_id'])} is created"
        case "june.session.started.v1":
            what = f"session {short(data['session']['session_id'])} is active"
        case "june.session.ended.v1":
            what = (
                f"session {short(data['session']['session_id'])} has ended: {data['session']['end_reason']}"
            )
        case "june.participant.joined.v1" | "june.participant.left.v1":
            did = "is there" if "joined" in type_ else "has left"
            what = f"{data['participant']['identity']} {did} ({short(data['participant']['sid'])})"
        case "june.track.published.v1" | "june.track.unpublished.v1":
            did = "has a" if ".published" in type_ else "has no more"
            what = f"{data['participant']['identity']} {did} {data['track']['source']} ({short(data['track']['sid'])})"
        case "june.transcript.added.v1":
            what = f"{data['participant']['identity']} said: “{data['text']}”"
        case "june.job.changed.v1":
            what = f"job {short(data['job_id'])} is {data['state']}" + (
                f": {data['reason']}" if data["reason"] else ""
            )
        case "june.turn.completed.v1":
            what = (
                f"turn {short(data['turn_id'])} is complete, {'spoken' if data['spoken'] else 'not spoken'}"
            )
        case _:
            return None
    return Step(who="June", what=what)


def _pipeline(type_: str, data: Data, _source: str) -> Step | None:
    match type_:
        case "june.stt.start.v1":
            what = f"job {short(data['job_id'])}: listen to {data['participant']['identity']}"
        case "june.stt.stop.v1":
            what = f"stop job {short(data['job_id'])}: {data['reason']}"
        case "june.ai.turn.v1":
            what = f"turn {short(data['turn_id'])}: answer {data['participant']['identity']}"
        case "june.tts.speak.v1":
            what = f"turn {short(data['turn_id'])}: speak part {data['part']}"
        case "june.ai.cancel.v1" | "june.tts.cancel.v1":
            what = f"cancel turn {short(data['turn_id'])}: {data['reason']}"
        case _:
            return None
    return Step(who="June", what=what)


def _report(type_: str, data: Data, _source: str) -> Step | None:
    who = {"stt": "STT", "ai": "AI", "tts": "TTS"}.get(type_.split(".")[1], "")
    match type_:
        case "june.stt.status.v1":
            what = f"job {short(data['job_id'])} is {data['state']}"
        case "june.stt.speech_started.v1":
            what = "hears a voice"
        case "june.stt.transcript.v1":
            loudness = f" (RMS {data['heard_rms']})" if "heard_rms" in data else ""
            what = f"reports a sample sentence for what it heard{loudness}"
        case "june.ai.reply.v1":
            what = f"part {data['part']}: “{data['text']}”"
        case "june.ai.status.v1":
            what = f"turn {short(data['turn_id'])} is {data['state']}"
        case "june.tts.status.v1":
            what = f"part {data['part']} is {data['state']}"
        case _:
            return None
    return Step(who=who, what=what)
