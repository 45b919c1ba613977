"""Requests, their commands and their answers."""

import asyncio
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from messaging.failures import (
    BrokerUnavailable,
    PublishTimeout,
    Refused,
    RequestTimeout,
    Unroutable,
    Unsendable,
)
from schemas.errors import FieldProblem
from schemas.replies import ErrorCode
from tests.support.polling import until
from tests.support.samples import session_json
from tests.unit.session_api.tools import RESULTS, TOKENS, served

CREATE = {"user_id": "ann"}


@pytest.mark.parametrize(
    ("method", "target", "type_", "data", "status"),
    [
        ("GET", "/api/sessions", "june.session.list.v1", {}, 200),
        (
            "GET",
            "/api/sessions?user_id=a+b%2Bc&status=active&room_name=r&limit=7&cursor=x",
            "june.session.list.v1",
            {"user_id": "a b+c", "status": "active", "room_name": "r", "limit": 7, "cursor": "x"},
            200,
        ),
        ("GET", "/api/sessions?limit=many", "june.session.list.v1", {"limit": "many"}, 200),
        ("GET", "/api/sessions/s1", "june.session.get.v1", {"session_id": "s1"}, 200),
        (
            "GET",
            "/api/sessions/s1?identity=%2E%2E",
            "june.session.get.v1",
            {"session_id": "s1", "identity": ".."},
            200,
        ),
        ("DELETE", "/api/sessions/s1", "june.session.delete.v1", {"session_id": "s1"}, 200),
        (
            "DELETE",
            "/api/sessions/s1?reason=enough",
            "june.session.delete.v1",
            {"session_id": "s1", "reason": "enough"},
            200,
        ),
        ("GET", "/api/sessions/s1/room", "june.room.get.v1", {"session_id": "s1"}, 200),
        ("GET", "/api/sessions/s1/participants", "june.participant.list.v1", {"session_id": "s1"}, 200),
        (
            "DELETE",
            "/api/sessions/s1/participants/ann",
            "june.participant.remove.v1",
            {"session_id": "s1", "identity": "ann"},
            204,
        ),
        (
            "DELETE",
            "/api/sessions/s1/participants?identity=%2E",
            "june.participant.remove.v1",
            {"session_id": "s1", "identity": "."},
            204,
        ),
    ],
)
async def test_a_request_is_one_command(
    method: str, target: str, type_: str, data: dict[str, Any], status: int
) -> None:
    """Path and query are the command's fields, and nothing else is sent."""
    async with served() as api:
        answer = await api.call(method, target)
        assert answer.status == status
        (command,) = api.june.sent
        envelope = api.june.last
        assert (envelope.type, envelope.data, envelope.source) == (type_, data, "june-api/all")
        assert (command.exchange, command.routing_key) == ("june.commands", type_)
        assert command.message_id == envelope.id


@pytest.mark.parametrize(
    "identity",
    [
        "a/b",
        "..",
        ".",
        "a b",
        "a+b",
        "a%2Fb",
        "50%",
        "%",
        "?#&=",
        "Zoë 🙂",
        "ann;x=1",
        '"',
        "\\",
        "a//b",
        "日本",
    ],
)
async def test_any_identity_works_in_a_path(identity: str) -> None:
    """A piece of a path is decoded once, after the split: no more, no less."""
    async with served() as api:
        # `quote` leaves dots alone, and clients fold them.
        piece = quote(identity, safe="").replace(".", "%2E")
        answer = await api.call("DELETE", f"/api/sessions/s1/participants/{piece}")
        assert answer.status == 204
        assert api.june.last.data["identity"] == identity
        await api.call("DELETE", f"/api/sessions/s1/participants?identity={piece}")
        assert api.june.last.data["identity"] == identity


async def test_create_answers_201_with_the_session_beside_its_token() -> None:
    """The session's fields and the four token fields are side by side; `Location` leads to it; nobody may keep it."""
    async with served() as api:
        answer = await api.call("POST", "/api/sessions", json_=CREATE)
        assert (answer.status, answer.json) == (201, {**session_json(), **TOKENS})
        assert answer.headers["Location"] == "/api/sessions/s1"
        assert answer.headers["Cache-Control"] == "no-store"
        assert api.june.last.data == CREATE


async def test_a_guest_token_is_its_result() -> None:
    """201, with the path's session; `Location` names the guest, whatever is in its identity."""
    async with served() as api:
        answer = await api.call("POST", "/api/sessions/s%3A1/guest-token", json_={"guest_name": "Bo"})
        assert (answer.status, answer.json) == (201, RESULTS["june.guest_token.create.v1"])
        assert answer.headers["Location"] == "/api/sessions/s%3A1/participants/guest%2F1"
        assert api.june.last.data == {"guest_name": "Bo", "session_id": "s:1"}


async def test_other_answers_are_their_shape() -> None:
    """A list is its result, an ended session is its fields, a removal is nothing."""
    async with served() as api:
        assert (await api.call("GET", "/api/sessions")).json == RESULTS["june.session.list.v1"]
        assert (await api.call("GET", "/api/sessions/s1")).json == {**session_json(), **TOKENS}
        assert (await api.call("DELETE", "/api/sessions/s1")).json == session_json(status="ended")
        assert (await api.call("GET", "/api/sessions/s1/room")).json == {"room": None}
        assert (await api.call("DELETE", "/api/sessions/s1/participants/x")).body == b""


@pytest.mark.parametrize(
    ("method", "target", "key", "status", "code"),
    [
        ("GET", "/api/nothing", "all", 404, "not_found"),
        ("GET", "/api/sessions/", "all", 404, "not_found"),
        ("GET", "/api/sessions/s1/room/", "all", 404, "not_found"),
        ("GET", "//api/sessions", "all", 404, "not_found"),
        ("GET", "/api/sessions/s1/participants/x/y", "all", 404, "not_found"),
        ("PUT", "/api/sessions", "all", 405, "method_not_allowed"),
        ("HEAD", "/api/sessions", "all", 405, "method_not_allowed"),
        ("OPTIONS", "/api/sessions", "all", 405, "method_not_allowed"),
        ("POST", "/docs", "all", 405, "method_not_allowed"),
        ("POST", "/", "all", 405, "method_not_allowed"),
        ("GET", "/api/sessions", None, 401, "unauthenticated"),
        ("GET", "/api/sessions", "wrong", 401, "unauthenticated"),
        ("GET", "/api/sessions", "", 401, "unauthenticated"),
        ("GET", "/api/sessions", "all all", 401, "unauthenticated"),
        ("GET", "/api/sessions", "writer", 403, "permission_denied"),
        ("POST", "/api/sessions", "reader", 403, "permission_denied"),
        ("DELETE", "/api/sessions/s1", "reader", 403, "permission_denied"),
        ("GET", "/api/events", "reader", 403, "permission_denied"),
        ("GET", "/api/system", "reader", 403, "permission_denied"),
        ("GET", "/api/sessions?who=1", "all", 400, "invalid_argument"),
        ("GET", "/api/sessions?limit=1&limit=2", "all", 400, "invalid_argument"),
        ("GET", "/api/sessions/s1/room?x", "all", 400, "invalid_argument"),
        ("POST", "/api/sessions?user_id=ann", "all", 400, "invalid_argument"),
        ("DELETE", "/api/sessions/s1/participants", "all", 400, "invalid_argument"),
        ("GET", "/api/sessions/%ff", "all", 400, "invalid_argument"),
        ("GET", "/api/sessions/%zz", "all", 400, "invalid_argument"),
        ("GET", "/api/sessions?user_id=%c3", "all", 400, "invalid_argument"),
        ("GET", "/api/events?limit=1", "all", 400, "invalid_argument"),
        ("GET", "/api/events?session_id=", "all", 400, "invalid_argument"),
        ("GET", "/api/events?session_id=%2E%2E", "all", 400, "invalid_argument"),
        ("GET", "/api/events?user_id=", "all", 400, "invalid_argument"),
        ("GET", "/api/events?type=", "all", 400, "invalid_argument"),
        ("GET", "/api/events?type=a&type=%00", "all", 400, "invalid_argument"),
        ("GET", "/api/openapi.json?x=1", None, 400, "invalid_argument"),
    ],
)
async def test_what_is_wrong_is_told_by_its_code(
    method: str, target: str, key: str | None, status: int, code: str
) -> None:
    """Each problem has its status and code, and no command is sent."""
    async with served() as api:
        answer = await api.call(method, target, key=key)
        assert answer.status == status
        if method != "HEAD":
            assert answer.code == code
        assert api.june.sent == []


async def test_a_problem_has_every_field() -> None:
    """RFC 9457's, and the command's own."""
    async with served() as api:
        api.june.refuse(ErrorCode.INVALID_ARGUMENT, FieldProblem("stt.enabled", "must be true or false"))
        answer = await api.call("POST", "/api/sessions", json_=CREATE)
        assert answer.json == {
            "type": "about:blank",
            "title": "Bad Request",
            "status": 400,
            "detail": "refused: invalid_argument",
            "code": "invalid_argument",
            "retryable": False,
            "details": [{"field": "stt.enabled", "problem": "must be true or false"}],
        }


@pytest.mark.parametrize(
    ("code", "status", "retryable"),
    [
        (ErrorCode.INVALID_ARGUMENT, 400, False),
        (ErrorCode.UNIMPLEMENTED, 501, False),
        (ErrorCode.NOT_FOUND, 404, False),
        (ErrorCode.ALREADY_EXISTS, 409, False),
        (ErrorCode.FAILED_PRECONDITION, 409, False),
        (ErrorCode.DEADLINE_EXCEEDED, 504, True),
        (ErrorCode.UNAVAILABLE, 503, True),
        (ErrorCode.INTERNAL, 500, False),
    ],
)
async def test_each_code_of_a_command_has_its_status(code: ErrorCode, status: int, retryable: bool) -> None:
    """None is lost on the way, and 503 says when to come again."""
    async with served() as api:
        api.june.refuse(code)
        answer = await api.call("GET", "/api/sessions/s1")
        assert (answer.status, answer.code, answer.json["retryable"]) == (status, code, retryable)
        assert ("Retry-After" in answer.headers) == (status == 503)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (BrokerUnavailable("away"), 503, "unavailable"),
        (PublishTimeout(timedelta(seconds=1)), 503, "unavailable"),
        (Refused("full"), 503, "unavailable"),
        (Unroutable("no queue"), 503, "unavailable"),
        (Unsendable("too long"), 503, "unavailable"),
        (RequestTimeout("no reply"), 504, "deadline_exceeded"),
        (RuntimeError("secret inside"), 500, "internal"),
    ],
)
async def test_what_goes_wrong_with_the_broker_is_told(error: Exception, status: int, code: str) -> None:
    """The broker's troubles are 503, silence of the workers is 504, a fault of ours is 500 and shows nothing."""
    async with served() as api:
        api.june.failing = error
        answer = await api.call("GET", "/api/sessions/s1")
        assert (answer.status, answer.code) == (status, code)
        assert answer.json["retryable"] is (status in {503, 504})
        assert b"secret" not in answer.body


async def test_405_says_what_is_allowed() -> None:
    """`Allow` has every method of the address."""
    async with served() as api:
        assert (await api.call("PATCH", "/api/sessions/s1")).headers["Allow"] == "DELETE, GET"
        assert (await api.call("PUT", "/api/sessions")).headers["Allow"] == "GET, POST"
        assert (await api.call("POST", "/api/sessions/s1/participants")).headers["Allow"] == "DELETE, GET"
        for target in ("/", "/docs", "/api/openapi.json"):
            assert (await api.call("PUT", target)).headers["Allow"] == "GET, HEAD"


async def test_401_says_how() -> None:
    """`WWW-Authenticate` names the scheme."""
    async with served() as api:
        assert (
            (await api.call("GET", "/api/sessions", key=None))
            .headers["WWW-Authenticate"]
            .startswith("Bearer")
        )


async def test_who_may_only_read_gets_no_token_and_lets_nobody_in() -> None:
    """The token fields are null, and an identity that is named is checked but not passed on."""
    async with served() as api:
        answer = await api.call("GET", "/api/sessions/s1?identity=bo", key="reader")
        assert answer.json == {**session_json(), **dict.fromkeys(TOKENS)}
        assert api.june.last.data == {"session_id": "s1"}
        wrong = await api.call("GET", "/api/sessions/s1?identity=", key="reader")
        assert (wrong.status, wrong.json["details"][0]["field"]) == (400, "identity")


async def test_a_command_carries_its_deadline() -> None:
    """The header `deadline`, in epoch milliseconds: now and the time-out."""
    async with served(timeout=timedelta(seconds=3)) as api:
        await api.call("GET", "/api/sessions/s1")
        assert api.june.sent[0].headers == {"deadline": 1795374003000}


async def test_so_many_at_once_and_the_next_is_429() -> None:
    """Who finds no place is told when to come again; a place that is free is given again."""
    async with served(max_requests=2) as api:
        api.june.hold = asyncio.Event()
        waiting = [asyncio.create_task(api.call("GET", "/api/sessions/s1")) for _ in range(2)]
        await until(lambda: len(api.june.sent) == 2)
        answer = await api.call("GET", "/api/sessions/s1")
        assert (answer.status, answer.code) == (429, "resource_exhausted")
        assert answer.headers["Retry-After"] == "1"
        assert answer.json["retryable"] is True
        assert (await api.call("GET", "/api/sessions/s1", key="wrong")).status == 401
        api.june.hold.set()
        assert [answer.status for answer in await asyncio.gather(*waiting)] == [200, 200]
        assert (await api.call("GET", "/api/sessions/s1")).status == 200


async def test_cors_is_off_by_default_and_an_allow_list_otherwise() -> None:
    """Without a list browsers are told nothing; with one, the origins on it and no others."""
    asks = {"Origin": "https://app.example.org", "Access-Control-Request-Method": "POST"}
    async with served() as api:
        answer = await api.call("OPTIONS", "/api/sessions", key=None, headers=asks)
        assert answer.status == 405
        assert not [name for name in answer.headers if name.startswith("Access-Control")]
    async with served(origins=["https://app.example.org"]) as api:
        answer = await api.call("OPTIONS", "/api/sessions", key=None, headers=asks)
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (204, asks["Origin"])
        assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
        answer = await api.call("GET", "/api/sessions", key=None, headers={"Origin": asks["Origin"]})
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (401, asks["Origin"])
        other = await api.call("GET", "/api/sessions", headers={"Origin": "https://evil.example.org"})
        assert "Access-Control-Allow-Origin" not in other.headers
        assert other.headers["Vary"] == "Origin"
        refused = await api.call(
            "OPTIONS", "/api/sessions", key=None, headers={**asks, "Origin": "https://evil.example.org"}
        )
        assert refused.status == 405
