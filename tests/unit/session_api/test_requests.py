"""What a request may hold: its body, its key, and what is no request at all."""

import asyncio
import json
from typing import Any

import pytest

from tests.unit.session_api.tools import served

CREATE = {"user_id": "ann"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 415),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/json; charset=latin-1"}, 415),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, 415),
        ({"Content-Type": "application/json"}, 201),
        ({"Content-Type": "Application/JSON; charset=UTF-8"}, 201),
    ],
)
async def test_a_body_is_json_in_utf_8(headers: dict[str, str], status: int) -> None:
    """Anything else is 415, and so is a body without a type."""
    async with served() as api:
        answer = await api.call("POST", "/api/sessions", data=b'{"user_id": "ann"}', headers=headers)
        assert answer.status == status


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b"null",
        b'{"a": NaN}',
        b'{"a": {"b": [1e400]}}',
        b'{"a": -1e400}',
        b"\xff",
        b'{"a": "\\ud800"}',
        b"\xef\xbb\xbf{}",
        b"[" * 5000,
    ],
)
async def test_a_body_that_is_no_json_object_is_400(body: bytes) -> None:
    """No body brings the API out of step."""
    async with served() as api:
        answer = await api.call(
            "POST", "/api/sessions", data=body, headers={"Content-Type": "application/json"}
        )
        assert (answer.status, answer.code) == (400, "invalid_argument")
        assert api.june.sent == []


async def test_a_body_over_the_limit_is_413() -> None:
    """By its declared length before it is read, and by what comes when it declares none."""

    async def endless() -> Any:
        for _ in range(40):
            yield b" " * 100

    async with served(max_bytes=1000) as api:
        exact = json.dumps({"user_id": "a" * (1000 - 15)}).encode()
        assert len(exact) == 1000
        typed = {"Content-Type": "application/json"}
        assert (await api.call("POST", "/api/sessions", data=exact, headers=typed)).status == 201
        answer = await api.call("POST", "/api/sessions", data=exact + b" ", headers=typed)
        assert (answer.status, answer.code) == (413, "payload_too_large")
        headers = {**typed, "Authorization": "Bearer all"}
        async with api.client.post(f"{api.url}/api/sessions", data=endless(), headers=headers) as chunked:
            assert chunked.status == 413


async def test_the_path_says_whose_guest_it_is() -> None:
    """A `session_id` in the body is refused, the right one too."""
    async with served() as api:
        body = {"guest_name": "Bo", "session_id": "s1"}
        answer = await api.call("POST", "/api/sessions/s1/guest-token", json_=body)
        assert answer.status == 400
        assert answer.json["details"] == [{"field": "session_id", "problem": "is given by the path"}]


async def test_an_idempotency_key_is_the_commands_id() -> None:
    """It is passed on as it is; without one each command has an id of its own; GET ignores it."""
    async with served() as api:
        same = {"Idempotency-Key": "order-7!~"}
        await api.call("POST", "/api/sessions", json_=CREATE, headers=same)
        await api.call("DELETE", "/api/sessions/s1", headers=same)
        assert [envelope.id for envelope in api.june.envelopes] == ["order-7!~"] * 2
        await api.call("GET", "/api/sessions/s1", headers=same)
        await api.call("GET", "/api/sessions/s1", headers={"Idempotency-Key": "not one"})
        await api.call("POST", "/api/sessions", json_=CREATE)
        ids = [envelope.id for envelope in api.june.envelopes]
        assert len(set(ids)) == 4
        assert ids.count("order-7!~") == 2


@pytest.mark.parametrize("given", ["", "two words", "é", "x" * 256, "tab\tbed"])
async def test_an_idempotency_key_that_cannot_be_used_is_400(given: str) -> None:
    """1 to 255 visible ASCII characters, and nothing is sent otherwise."""
    async with served() as api:
        headers = {"Idempotency-Key": given}
        answer = await api.call("POST", "/api/sessions", json_=CREATE, headers=headers)
        assert (answer.status, answer.code) == (400, "invalid_argument")
        assert answer.json["details"][0]["field"] == "Idempotency-Key"
        assert api.june.sent == []


async def test_what_is_no_http_gets_a_problem_without_an_echo() -> None:
    """A request line that cannot be read is 400, and nothing of it comes back."""
    async with served() as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(b"GET /sec\x00ret HTTP/9.9\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        assert b" 400 " in answer
        assert b"application/problem+json" in answer
        assert b"ret HTTP" not in answer


async def test_a_whole_url_as_the_target_is_understood() -> None:
    """Proxies may send one."""
    async with served() as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(
            f"GET {api.url}/api/sessions/s1/room HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer all\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        assert answer.startswith(b"HTTP/1.1 200 ")
