"""A real livekit-server is killed under a live room and started again: nobody tells June, and June finds out."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.servers import LiveKit, free_port
from examples.participant import joined
from tests.conftest import WEBHOOK_PATH, StartLiveKit
from tests.e2e.client import Client, Inbox, Received
from tests.e2e.installation import JUNE_SENDS, installed
from tests.e2e.names import ENDED, JOINED, LEFT, PUBLISHED, START, STARTED, STOP, UNPUBLISHED
from tests.e2e.processes import ROOT
from tests.e2e.stories import consistent

GRACE = timedelta(seconds=15)
"""In which Ann comes back, on a busy machine too."""
SHORT_GRACE = timedelta(seconds=4)
"""Where nobody does."""
FOUND_WITHIN_S = 60
"""Two periods of a second, two seconds between two looks, a server's start, and a busy machine."""
TOGETHER_S = 15
"""Asked for one by one, three hundred rooms would take more than twice as long."""

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]


@asynccontextmanager
async def june_at_a_livekit(
    amqp_url: str, tmp_path: Path, start_livekit: StartLiveKit, *, grace: timedelta
) -> AsyncIterator[tuple[Client, Inbox, LiveKit]]:
    """June, and the server that it works with."""
    port = free_port()
    server = start_livekit(f"http://127.0.0.1:{port}{WEBHOOK_PATH}")
    settings = {
        "LIVEKIT_API_KEY": server.api_key,
        "LIVEKIT_API_SECRET": server.api_secret,
        "LIVEKIT_WS_URL": server.ws_url,
        "JUNE_LIVEKIT_PUBLIC_URL": server.ws_url,
        "JUNE_INGRESS_PORT": str(port),
        "JUNE_RECONCILE_INTERVAL_S": "1",
        "JUNE_ROOM_GRACE_S": str(int(grace.total_seconds())),
    }
    async with installed(amqp_url, tmp_path, workers=1, **settings) as june, Client(june.amqp_url) as client:
        yield client, await client.subscribe(*JUNE_SENDS), server


@asynccontextmanager
async def a_killed_talk(
    amqp_url: str, tmp_path: Path, start_livekit: StartLiveKit, *, grace: timedelta
) -> AsyncIterator[tuple[Client, Inbox, dict[str, Any], LiveKit]]:
    """Ann was in the room of the session `s1` and spoke, until the server was killed, and her program with it; the
    server is there again. Gives the session as it was."""
    async with june_at_a_livekit(amqp_url, tmp_path, start_livekit, grace=grace) as (client, inbox, server):
        created = await client.ok("june.session.create.v1", {"user_id": "ann", "session_id": "s1"})
        with _speaks(created) as person:
            await inbox.first(_is(START), within_s=FOUND_WITHIN_S, what="the first job")
            session = (await client.ok("june.session.get.v1", {"session_id": "s1"}))["session"]
            assert session["status"] == "active"
            server.kill()
            person.kill()
        server.start_again()
        yield client, inbox, session, server


async def test_a_session_goes_on_in_a_new_room(
    amqp_url: str, tmp_path: Path, start_livekit: StartLiveKit
) -> None:
    """All that was in the old room is over, and its job stopped with `room_lost`; Ann comes back in time, and the same
    session goes on under a new sid, with a new job."""
    async with a_killed_talk(amqp_url, tmp_path, start_livekit, grace=GRACE) as (client, inbox, before, _):
        stop = await inbox.first(_is(STOP), within_s=FOUND_WITHIN_S, what="the stop")
        assert stop.data["reason"] == "room_lost"
        assert (await _session(client))["status"] == "active"
        answer = await client.ok("june.session.get.v1", {"session_id": "s1"})
        async with joined(answer["livekit_url"], answer["access_token"]) as ann:
            voice = await ann.speak()
            start = await inbox.first(
                lambda one: one.type == START and one.data["track"]["sid"] == voice,
                within_s=FOUND_WITHIN_S,
                what="the second job",
            )
            # Longer than the grace: what was set for its end must not come true.
            await asyncio.sleep(1.5 * GRACE.total_seconds())
            session = await _session(client)
        assert session["status"] == "active"
        assert session["livekit_room_sid"] == start.data["room_sid"] != before["livekit_room_sid"]
        consistent(inbox.all)
        count = [one.type for one in inbox.all].count
        assert (count(STARTED), count(JOINED), count(START), count(ENDED)) == (1, 2, 2, 0)


async def test_a_session_that_nobody_comes_back_to(
    amqp_url: str, tmp_path: Path, start_livekit: StartLiveKit
) -> None:
    """Ends with `room_lost` when the grace is over, and everything in it before it."""
    async with a_killed_talk(amqp_url, tmp_path, start_livekit, grace=SHORT_GRACE) as (_, inbox, before, _):
        ended = await inbox.first(_is(ENDED), within_s=FOUND_WITHIN_S, what="the end")
        session = ended.data["session"]
        assert (session["status"], session["end_reason"]) == ("ended", "room_lost")
        assert session["livekit_room_sid"] == before["livekit_room_sid"]
        consistent(inbox.all)
        ends = [one.type for one in inbox.all if one.type in {STOP, UNPUBLISHED, LEFT, ENDED}]
        assert ends == [STOP, UNPUBLISHED, LEFT, ENDED]
        assert [one.type for one in inbox.all].count(PUBLISHED) == 1


async def test_hundreds_of_rooms_that_are_gone(
    amqp_url: str, tmp_path: Path, start_livekit: StartLiveKit
) -> None:
    """All of them are seen through at once: their sessions end within seconds of one another, each once."""
    names = {f"s{number}" for number in range(300)}
    async with june_at_a_livekit(amqp_url, tmp_path, start_livekit, grace=SHORT_GRACE) as (
        client,
        inbox,
        server,
    ):
        await asyncio.gather(
            *(client.ok("june.session.create.v1", {"user_id": "ann", "session_id": name}) for name in names)
        )
        server.kill()
        server.start_again()
        left = set(names)

        def last_one(one: Received) -> bool:
            if one.type == ENDED:
                left.remove(one.envelope["subject"])
                ends.append(asyncio.get_running_loop().time())
                assert one.data["session"]["end_reason"] == "room_lost"
            return not left

        ends: list[float] = []
        await inbox.each_until(last_one, within_s=FOUND_WITHIN_S, what="each session's end")
    assert ends[-1] - ends[0] < TOGETHER_S


def _speaks(created: dict[str, Any]) -> subprocess.Popen[bytes]:
    """A program that joins by this answer's token and speaks until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "examples.participant"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(created).encode())
    process.stdin.close()
    return process


def _is(type_: str) -> Callable[[Received], bool]:
    return lambda one: one.type == type_


async def _session(client: Client) -> dict[str, Any]:
    session: dict[str, Any] = (await client.ok("june.session.get.v1", {"session_id": "s1"}))["session"]
    return session
