"""The samples in Node and Go work for a real June: they hold jobs, hear stops, answer, speak, and give back."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from deploy.servers import Progress
from tests.e2e.calls import Call
from tests.e2e.client import Client, Inbox, Received, command
from tests.e2e.consumers import Programs, build
from tests.e2e.installation import JUNE_SENDS, Installation
from tests.e2e.names import ADDED, STOP, TURN_OVER

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.slow,
    pytest.mark.timeout(600),
]

LEASE_S = 4
BEATS_OF_TWO_LEASES = 7
REPORTS = ("june.rooms.v1", "*.report")
STT_STATUS, TTS_STATUS = "june.stt.status.v1", "june.tts.status.v1"
SAID = "This is a sample sentence, not what you said."
ANSWER = "Hello Ann, I am a sample with two rules. You said 9 words."


@pytest.fixture(scope="module", params=["node", "go"])
def programs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, progress: Progress
) -> Programs:
    """The samples of each language."""
    language: str = request.param
    return build(language, tmp_path_factory.mktemp(language), progress)


@pytest.fixture(scope="module")
def settings() -> Mapping[str, str]:
    """Short leases."""
    return {"JUNE_JOB_LEASE_S": str(LEASE_S)}


@pytest_asyncio.fixture(loop_scope="module")
async def inbox(client: Client) -> Inbox:
    """All that June publishes and all that is reported to it during the test."""
    return await client.subscribe(*JUNE_SENDS, REPORTS)


def _beats(inbox: Inbox, job_id: str, attempt: int | None = None) -> list[Received]:
    return [
        one
        for one in inbox.all
        if one.type == STT_STATUS
        and (one.data["job_id"], one.data["state"]) == (job_id, "running")
        and attempt in {None, one.data["attempt"]}
    ]


async def test_a_conversation(
    june: Installation, client: Client, inbox: Inbox, call: Call, programs: Programs
) -> None:
    """What is said is answered and the answer spoken; the voice's job stays with its instance over two leases."""
    async with programs.running(june.amqp_url, ["stt", "ai", "tts"]):
        job = await call.begin()
        assert (await call.nth(ADDED)).data["text"] == SAID
        turn = (await call.nth(TURN_OVER)).data
        assert (turn["text"], turn["spoken"]) == (ANSWER, True)
        await inbox.until(lambda _: len(_beats(inbox, job["job_id"])) > BEATS_OF_TWO_LEASES, what="beats")
        beats = _beats(inbox, job["job_id"])
        assert {one.data["attempt"] for one in beats} == {1}
        assert len({one.envelope["source"] for one in beats}) == 1
        await _ends_with_the_track(inbox, call, job["job_id"], next_one=Call(june, client, inbox))


async def _ends_with_the_track(inbox: Inbox, call: Call, job_id: str, *, next_one: Call) -> None:
    """The job's instance hears the stop: while it holds another job for a lease, it is silent about this one."""
    await call.webhook(call.story.unpublished(call.ann, call.mic))
    await call.nth(STOP)
    next_id = (await next_one.begin())["job_id"]
    await inbox.until(lambda _: len(_beats(inbox, next_id)) > 1, what="the next job")
    said = len(_beats(inbox, job_id))
    await inbox.until(lambda _: len(_beats(inbox, next_id)) > 4, what="beats of the next job")
    assert len(_beats(inbox, job_id)) == said


async def test_who_shuts_down_gives_its_jobs_back(
    june: Installation, inbox: Inbox, call: Call, programs: Programs
) -> None:
    """On SIGTERM the job in hand is reported as failed, because of draining; the next instance has it in no time."""
    async with programs.running(june.amqp_url, ["stt"]) as (first,):
        job_id = (await call.begin())["job_id"]
        await inbox.until(lambda _: bool(_beats(inbox, job_id)), what="the first instance")
        async with programs.running(june.amqp_url, ["stt"]):
            await first.drain()
            await inbox.until(lambda _: bool(_beats(inbox, job_id, attempt=2)), what="the second instance")
    failed = await inbox.first(lambda one: one.type == STT_STATUS and one.data["state"] == "failed")
    assert failed.data == {"job_id": job_id, "attempt": 1, "state": "failed", "error": "draining"}


class Desk:
    """June's side of an instance that speaks: jobs whose reports lead here."""

    def __init__(self, client: Client, key: str, reports: Inbox) -> None:
        self._client, self._key, self._reports = client, key, reports

    async def speak(self, turn_id: str, *, attempt: int = 1, lives_s: int = 600, id_: str = "") -> None:
        until = datetime.now(UTC) + timedelta(seconds=lives_s)
        data = {
            "turn_id": turn_id,
            "part": 0,
            "attempt": attempt,
            "text": "and so on " * 1000,
            "lease_s": 600,
            "expires_at": until.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "report_to": {"exchange": "june.rooms.v1", "routing_key": self._key},
        }
        await self._publish("june.tts.speak.v1", data, id_ or str(uuid.uuid4()))

    async def cancel(self, turn_id: str, *, attempt: int | None = None, instance: str | None = None) -> None:
        data = {"turn_id": turn_id, "attempt": attempt, "instance": instance}
        await self._publish("june.tts.cancel.v1", data, str(uuid.uuid4()))

    async def reported(self, turn_id: str, state: str, attempt: int = 1) -> Received:
        wanted = {"turn_id": turn_id, "part": 0, "attempt": attempt, "state": state}.items()
        return await self._reports.first(lambda one: wanted <= one.data.items(), what=f"{turn_id} {state}")

    def all(self) -> list[tuple[str, int, str]]:
        """What was reported, in order."""
        return [
            (one.data["turn_id"], one.data["attempt"], one.data["state"])
            for one in self._reports.all
            if one.type == TTS_STATUS
        ]

    async def _publish(self, type_: str, data: dict[str, Any], id_: str) -> None:
        await self._client.publish(
            "june.pipeline", type_, command(type_, data, command_id=id_, source="june")
        )


@pytest_asyncio.fixture(loop_scope="module")
async def desk(client: Client) -> Desk:
    """A desk with a routing key of its own, that leads into no partition."""
    key = f"desk.{uuid.uuid4().hex}"
    return Desk(client, key, await client.subscribe(("june.rooms.v1", key)))


async def test_which_jobs_are_not_begun(june: Installation, desk: Desk, programs: Programs) -> None:
    """Neither a copy, nor one that has expired, nor one whose cancel came first; the attempt after that one is."""
    async with programs.running(june.amqp_url, ["tts"]):
        await desk.speak("mark", id_="one")
        await desk.reported("mark", "running")
        await desk.cancel("early", attempt=1)
        await desk.cancel("mark")  # comes by the same queue: once it is heard, so was the one before
        await desk.reported("mark", "cancelled")
        await desk.speak("mark", id_="one")
        await desk.speak("late", lives_s=-1)
        await desk.speak("early")
        await desk.speak("early", attempt=2)
        await desk.reported("early", "running", attempt=2)
    assert desk.all() == [("mark", 1, "running"), ("mark", 1, "cancelled"), ("early", 2, "running")]


async def test_whom_a_cancel_means(june: Installation, desk: Desk, programs: Programs) -> None:
    """Not one for another instance, nor one for the attempts before: what goes on is given back on SIGTERM."""
    async with programs.running(june.amqp_url, ["tts"]) as (tts,):
        await desk.speak("kept", attempt=3)
        source = (await desk.reported("kept", "running", attempt=3)).envelope["source"]
        await desk.speak("mark")
        await desk.reported("mark", "running")
        await desk.cancel("kept", instance="another")
        await desk.cancel("kept", attempt=2)
        await desk.cancel("mark", attempt=1, instance=source)
        await desk.reported("mark", "cancelled")
        await tts.drain()
    assert (await desk.reported("kept", "failed", attempt=3)).data["error"] == "draining"
    assert [state for turn, _, state in desk.all() if turn == "kept"] == ["running", "failed"]


async def test_a_backend_asks(june: Installation, programs: Programs) -> None:
    """A command's result is printed; the same id again gives the same session; an error ends the program with 1."""
    asked = ("june.session.create.v1", json.dumps({"user_id": "ann"}), str(uuid.uuid4()))
    first, again = [await programs.ask(june.amqp_url, *asked) for _ in range(2)]
    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    assert json.loads(first.stdout)["session"] == json.loads(again.stdout)["session"]
    refused = await programs.ask(june.amqp_url, "june.session.get.v1", '{"session_id": "nobody"}')
    assert (refused.returncode, "not_found" in refused.stderr) == (1, True)
