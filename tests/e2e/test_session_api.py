"""The HTTP API from outside: contract.md §8, with a real worker and a real RabbitMQ behind it."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from urllib.parse import quote

import pytest

from deploy.servers import RabbitMQ
from tests.e2e.http_api import Http, api_of
from tests.e2e.installation import Installation
from tests.e2e.names import unique
from tests.e2e.processes import ROOT
from tests.e2e.shapes import GUEST_ANSWER, TOKENS
from tests.support.polling import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOSTILE = ["a/b", "..", ".", "a%2Fb", "a b+c", "50%", "Zoë 🙂", "?x=1&y#z", '"<b>', "\\..\\"]


async def test_a_session_from_its_beginning_to_its_end(june: Installation, http: Http) -> None:
    """Create, look, join, list, put out, invite, end: each path, with its status and its shape."""
    created = await http("POST", "/api/sessions", {"user_id": "ann", "metadata": {"order": 7}})
    assert created.status == 201
    session = created.json
    about = created.headers["Location"]
    assert about == f"/api/sessions/{session['session_id']}"
    assert created.headers["Cache-Control"] == "no-store"
    assert session["metadata"] == {"order": 7}
    assert all(session[name] for name in TOKENS)
    june.livekit.join_by_token(session["access_token"])
    got = await http.ok("GET", about)
    assert set(got) == set(session)
    assert (await http.ok("GET", f"{about}/room"))["room"]["name"] == session["room_name"]
    people = (await http.ok("GET", f"{about}/participants"))["participants"]
    assert [one["identity"] for one in people] == ["ann"]
    guest = await http("POST", f"{about}/guest-token", {"guest_name": "Bo", "can_publish": False})
    assert guest.status == 201
    assert set(guest.json) == GUEST_ANSWER
    gone = await http("DELETE", f"{about}/participants/ann")
    assert (gone.status, gone.body) == (204, b"")
    assert "ann" not in june.livekit.identities(session["room_name"])
    ended = await http.ok("DELETE", f"{about}?reason=enough")
    assert (ended["status"], ended["end_reason"]) == ("ended", "deleted")
    assert "access_token" not in ended
    assert await http.ok("DELETE", about) == ended
    assert [(await http.ok("GET", about))[name] for name in TOKENS] == [None] * 4
    assert await http.ok("GET", f"{about}/room") == {"room": None}


async def test_lists_are_filtered_and_paged(http: Http) -> None:
    """The query is the command's data; pages follow by the cursor."""
    user = unique("user /+")
    made = [(await http.ok("POST", "/api/sessions", {"user_id": user}))["session_id"] for _ in range(3)]
    query = f"/api/sessions?user_id={quote(user, safe='')}&limit=2"
    first = await http.ok("GET", query)
    second = await http.ok("GET", f"{query}&cursor={quote(first['next_cursor'], safe='')}")
    found = [one["session_id"] for one in (*first["sessions"], *second["sessions"])]
    assert found == made[::-1]
    assert second["next_cursor"] is None
    assert (await http.ok("GET", f"{query}&status=ended"))["sessions"] == []


@pytest.mark.parametrize("identity", HOSTILE)
async def test_any_identity_is_put_out_by_its_path(june: Installation, http: Http, identity: str) -> None:
    """Also what folds in browsers, by the query."""
    session = await http.ok("POST", "/api/sessions", {"user_id": identity})
    assert session["identity"] == identity
    about = f"/api/sessions/{session['session_id']}"
    piece = quote(identity, safe="").replace(".", "%2E")
    for target in (f"{about}/participants/{piece}", f"{about}/participants?identity={piece}"):
        token = (await http.ok("GET", f"{about}?identity={piece}"))["access_token"]
        june.livekit.join_by_token(token)
        assert identity in june.livekit.identities(session["room_name"])
        await http.ok("DELETE", target)
        assert identity not in june.livekit.identities(session["room_name"])


async def test_the_commands_own_errors_come_through(http: Http) -> None:
    """Each with its status, and the fields that are wrong."""
    session_id = unique()
    await http.ok("POST", "/api/sessions", {"user_id": "ann", "session_id": session_id})
    again = {"user_id": "ann", "session_id": session_id}
    assert await http.problem("POST", "/api/sessions", again) == (409, "already_exists")
    await http.ok("DELETE", f"/api/sessions/{session_id}")
    people = f"/api/sessions/{session_id}/participants"
    assert await http.problem("GET", people) == (409, "failed_precondition")
    assert await http.problem("GET", f"/api/sessions/{unique()}") == (404, "not_found")
    assert await http.problem("GET", "/api/sessions/%2E%2E") == (400, "invalid_argument")
    assert await http.problem("GET", "/api/sessions?limit=201") == (400, "invalid_argument")
    wrong = await http("POST", "/api/sessions", {"user_id": "", "stt": {"enabled": "yes"}, "typo": 1})
    assert wrong.status == 400
    assert {one["field"] for one in wrong.json["details"]} == {"user_id", "stt.enabled", "typo"}


async def test_an_idempotency_key_makes_one_session(http: Http) -> None:
    """The same again is the same session; another body, route or caller is not."""
    key, body = unique("key"), {"user_id": "ann"}
    first = await http("POST", "/api/sessions", body, Idempotency_Key=key)
    again = await http("POST", "/api/sessions", body, Idempotency_Key=key)
    assert (first.status, again.status) == (201, 201)
    assert first.json["session_id"] == again.json["session_id"]
    other = {"user_id": "bo"}
    assert await http.problem("POST", "/api/sessions", other, Idempotency_Key=key) == (
        400,
        "invalid_argument",
    )
    target = f"/api/sessions/{first.json['session_id']}"
    assert await http.problem("DELETE", target, Idempotency_Key=key) == (400, "invalid_argument")
    somebody = await http("POST", "/api/sessions", body, key="other", Idempotency_Key=key)
    assert somebody.json["session_id"] != first.json["session_id"]


async def test_who_may_only_read_changes_nothing(june: Installation, http: Http) -> None:
    """No token, and nobody who was put out is let in again by a look."""
    session = await http.ok("POST", "/api/sessions", {"user_id": "ann"})
    about = f"/api/sessions/{session['session_id']}"
    june.livekit.join_by_token(session["access_token"])
    await http.ok("DELETE", f"{about}/participants/ann")
    looked = await http.ok("GET", f"{about}?identity=ann", key="reader")
    assert [looked[name] for name in TOKENS] == [None] * 4
    assert (await http.ok("GET", about))["access_token"] is None
    assert await http.problem("DELETE", about, key="reader") == (403, "permission_denied")


async def test_an_operator_sees_partitions_and_dead_letters(june: Installation, http: Http) -> None:
    """Each partition has its worker; a command that cannot be read lies among the dead, again and again."""
    partitions = (await http.ok("GET", "/api/system/partitions"))["partitions"]
    assert [one["consumers"] for one in partitions] == [len(june.workers)] * 16
    assert {one["holder"] for one in partitions} == {None}
    assert (await http.ok("GET", "/api/system"))["workers"] == len(june.workers)
    before = (await http.ok("GET", "/api/system/dead-letters"))["waiting"]
    assert await june.webhook(b"not an event") == 200

    async def one_more() -> bool:
        return bool((await http.ok("GET", "/api/system/dead-letters"))["waiting"] == before + 1)

    await until(one_more)
    seen = await http.ok("GET", "/api/system/dead-letters")
    assert await http.ok("GET", "/api/system/dead-letters") == seen
    assert seen["dead_letters"][-1]["reason"] == "unreadable"


async def test_an_operator_sees_who_holds_a_partition(june: Installation, rabbitmq_server: RabbitMQ) -> None:
    """With RabbitMQ's management API: the name that a worker gives itself in its log."""
    management = rabbitmq_server.management_url
    assert management is not None
    names = [re.search(r'"worker":"([^"]+)"', part.log.read_text()) for part in june.workers]
    async with api_of(june.parts, JUNE_RABBITMQ_MANAGEMENT_URL=management) as (http, _):

        async def holders() -> set[str | None]:
            partitions = (await http.ok("GET", "/api/system/partitions"))["partitions"]
            return {one["holder"] for one in partitions}

        async def all_are_known() -> bool:
            return None not in await holders()

        await until(all_are_known)
        assert await holders() <= {name[1] for name in names if name}


async def test_without_keys_it_refuses_to_start() -> None:
    """With the reason, and exit code 2."""
    ran = await asyncio.to_thread(_refused)
    assert ran.returncode == 2
    assert b"JUNE_API_KEYS: is not set" in ran.stderr


def _refused() -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "session_api"]
    return subprocess.run(
        command, cwd=ROOT, env={"PATH": os.defpath}, capture_output=True, timeout=60, check=False
    )
