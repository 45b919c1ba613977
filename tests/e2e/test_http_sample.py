"""The sample of the HTTP API, `examples/http.sh`, against a real June."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess

import aiohttp
import pytest

from deploy.servers import free_port
from tests.e2e.installation import Installation
from tests.e2e.processes import ROOT

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

KEY = "a-key-for-the-sample"
ANSWERED_WITHIN_S = 60


async def test_a_session_by_curl(june: Installation) -> None:
    """Made, asked for, shared with a guest, looked at, listed and ended: each line is answered."""
    port = free_port()
    key = f"docs {hashlib.sha256(KEY.encode()).hexdigest()} sessions:read,sessions:write"
    await june.parts.start("session_api", JUNE_API_PORT=str(port), JUNE_API_KEYS=key)
    done = await asyncio.to_thread(
        subprocess.run,
        ("bash", str(ROOT / "examples/http.sh")),
        env={
            "JUNE_API_URL": f"http://127.0.0.1:{port}",
            "JUNE_API_KEY": KEY,
            "PATH": "/usr/local/bin:/usr/bin:/bin",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=ANSWERED_WITHIN_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    made, asked, guest, people, listed, ended = map(json.loads, filter(None, done.stdout.splitlines()))
    assert made["access_token"]
    assert asked["identity"] == "ann"
    assert guest["identity"] != "ann"
    assert people == {"participants": []}
    assert [one["session_id"] for one in listed["sessions"]] == [made["session_id"]]
    assert (ended["status"], ended["end_reason"]) == ("ended", "deleted")
    async with aiohttp.ClientSession() as session:
        answer = await session.get(f"http://127.0.0.1:{port}/api/sessions/{made['session_id']}")
        assert answer.status == 401
