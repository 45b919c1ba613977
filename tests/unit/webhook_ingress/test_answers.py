"""The table of answers, over real HTTP, with a sink that the tests hold."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
import structlog
from prometheus_client import CollectorRegistry

from messaging.message import Outgoing
from tests.unit.webhook_ingress.tokens import BODY, KEY, SECRET, token
from webhook_ingress import http
from webhook_ingress.app import PATH, Webhooks
from webhook_ingress.metrics import Metrics
from webhook_ingress.sink import NotSafe

MAX_BYTES = 4096


@dataclass
class FakeSink:
    """Keeps what it is given, or fails as told."""

    taken: list[Outgoing] = field(default_factory=list)
    failure: BaseException | None = None
    gate: asyncio.Event | None = None
    entered: asyncio.Event = field(default_factory=asyncio.Event)

    async def put(self, message: Outgoing) -> None:
        self.entered.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        self.taken.append(message)


@dataclass(frozen=True, kw_only=True)
class Got:
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Ingress:
    """A running ingress, and what is behind it."""

    port: int
    sink: FakeSink
    registry: CollectorRegistry
    session: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{PATH}"

    async def post(self, body: Any = BODY, *tokens: str, **more: Any) -> Got:
        """Post a body with these `Authorization` values."""
        headers = [("Authorization", value) for value in tokens]
        async with self.session.post(self.url, data=body, headers=headers, **more) as answer:
            return Got(status=answer.status, headers=answer.headers, body=await answer.read())

    async def half_closed(self, data: bytes) -> bytes:
        """All that comes back to somebody who sends this, and says that it is all."""
        return await self.raw(data, is_all=True)

    async def raw(self, *pieces: bytes, is_all: bool = False) -> bytes:
        """All that comes back until the connection is closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            if is_all:
                writer.write_eof()
            async with asyncio.timeout(10):
                return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()

    def count(self, name: str, **labels: str) -> float:
        """The value of a metric."""
        return self.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def running(body_deadline: timedelta = timedelta(seconds=10)) -> AsyncIterator[Ingress]:
    """An ingress on a port of its own."""
    sink, registry = FakeSink(), CollectorRegistry()
    webhooks = Webhooks(
        sink=sink,
        secrets={KEY: SECRET},
        max_bytes=MAX_BYTES,
        metrics=Metrics(registry),
        body_deadline=body_deadline,
    )
    async with http.serve("127.0.0.1", 0, webhooks.handle) as port, aiohttp.ClientSession() as session:
        yield Ingress(port=port, sink=sink, registry=registry, session=session)


@pytest.fixture
async def ingress() -> AsyncIterator[Ingress]:
    """The usual one."""
    async with running() as ingress:
        yield ingress


def fresh(body: bytes = BODY, **changes: Any) -> str:
    """A token that is right at this moment."""
    return token(body, now_s=int(time.time()), **changes)


def request(headers: bytes, body: bytes = b"") -> bytes:
    """A request by hand, which closes its connection."""
    path = PATH.encode()
    return b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + headers + b"\r\n\r\n" + body


@pytest.mark.parametrize("prefix", ["", "Bearer "])
async def test_200_when_the_sink_has_the_event(ingress: Ingress, prefix: str) -> None:
    """The message is the body's raw bytes, in the room's partition; the answer has no body."""
    answer = await ingress.post(BODY, prefix + fresh())
    assert (answer.status, answer.body) == (200, b"")
    (message,) = ingress.sink.taken
    assert (message.body, message.message_id, message.type) == (BODY, "EV_1", "livekit.room_started")
    assert ingress.count("june_ingress_events_total", event="room_started") == 1
    assert ingress.count("june_ingress_answers_total", status="200") == 1
    assert ingress.count("june_ingress_publish_seconds_count") == 1


async def test_200_only_after_the_sink_has_it(ingress: Ingress) -> None:
    """While the sink hesitates there is no answer."""
    ingress.sink.gate = asyncio.Event()
    posting = asyncio.create_task(ingress.post(BODY, fresh()))
    await ingress.sink.entered.wait()
    assert (await ingress.post(BODY, "wrong")).status == 401  # an answer would have come by then
    assert not posting.done()
    ingress.sink.gate.set()
    assert (await posting).status == 200


@pytest.mark.parametrize(
    "body", [b"no json", b"{}", b'{"event":"e"}', b'{"id":"1","event":"' + b"x" * 256 + b'"}']
)
async def test_200_and_dead_lettered_when_signed_but_unreadable(ingress: Ingress, body: bytes) -> None:
    """It is put into the dead letters as it was."""
    assert (await ingress.post(body, fresh(body))).status == 200
    (message,) = ingress.sink.taken
    assert (message.exchange, message.body) == ("june.dead", body)
    assert ingress.count("june_ingress_unreadable_total") == 1


async def test_an_unreadable_body_is_503_when_it_is_not_safe(ingress: Ingress) -> None:
    """A dead letter is promised by a 200, too."""
    ingress.sink.failure = NotSafe("no broker")
    assert (await ingress.post(b"{}", fresh(b"{}"))).status == 503


async def test_401_says_nothing_more(ingress: Ingress) -> None:
    """No token, two, a wrong one, an expired one: the same empty answer, and nothing is published."""
    expired = fresh(exp=int(time.time()) - 100)
    cases: tuple[list[str], ...] = (
        [],
        [fresh(), fresh()],
        ["x"],
        [expired],
        [fresh(b"other")],
        [fresh(secret="wrong")],
    )
    for tokens in cases:
        answer = await ingress.post(BODY, *tokens)
        assert (answer.status, answer.body) == (401, b"")
        assert "WWW-Authenticate" not in answer.headers
    assert ingress.sink.taken == []
    assert ingress.count("june_ingress_refused_total", reason="expired") == 1


@pytest.mark.parametrize("tokens", [[], ["right"]])
async def test_413_whatever_the_token(ingress: Ingress, tokens: list[str]) -> None:
    """One byte over the limit; the limit itself is fine."""
    body = b"x" * (MAX_BYTES + 1)
    assert (await ingress.post(body, *[fresh(body) for _ in tokens])).status == 413
    assert (await ingress.post(body[1:], fresh(body[1:]))).status == 200


async def test_413_for_chunks_without_a_length(ingress: Ingress) -> None:
    """The bytes that come are counted, too, and the client gets to read the answer."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b"x" * 1000

    assert (await ingress.post(chunks(), fresh())).status == 413


async def test_413_by_the_declared_length_alone(ingress: Ingress) -> None:
    """Nobody has to send a huge body to be told, not even one who asks with `Expect`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", ingress.port)
    writer.write(request(b"Expect: 100-continue\r\nContent-Length: 99999999999"))
    assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
    writer.close()


async def test_chunked_bodies_within_the_limit_are_fine(ingress: Ingress) -> None:
    """Their hash is that of the bytes without the framing."""

    async def chunks() -> AsyncIterator[bytes]:
        yield BODY[:7]
        yield BODY[7:]

    assert (await ingress.post(chunks(), fresh())).status == 200


async def test_expect_100_continue_is_answered(ingress: Ingress) -> None:
    """A client that asks before it sends is asked to go on."""
    assert (await ingress.post(BODY, fresh(), expect100=True)).status == 200


async def test_http_1_0_is_not_asked_to_go_on(ingress: Ingress) -> None:
    """It knows no interim answers, and would take the first one for the only one."""
    headers = b"Expect: 100-continue\r\nAuthorization: %s\r\nContent-Length: %d" % (
        fresh().encode(),
        len(BODY),
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", ingress.port)
    writer.write(request(headers).replace(b"HTTP/1.1", b"HTTP/1.0"))
    await writer.drain()
    await ingress.post(BODY, fresh())  # by then the one before waits for its body
    writer.write(BODY)
    assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.0 200 ")
    writer.close()


async def test_bodies_are_not_decompressed(ingress: Ingress) -> None:
    """The bytes on the wire are what was signed, whatever `Content-Encoding` says."""
    answer = await ingress.session.post(
        ingress.url, data=BODY, headers={"Authorization": fresh(), "Content-Encoding": "gzip"}, compress=None
    )
    assert answer.status == 200
    assert ingress.sink.taken[0].body == BODY


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"])
async def test_405_for_what_is_not_a_post(ingress: Ingress, method: str) -> None:
    """`Allow` says what is."""
    async with ingress.session.request(method, ingress.url) as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("method", [b"BREW", b"post", b"Post", b"POSTS"])
async def test_405_for_methods_that_http_does_not_know(ingress: Ingress, method: bytes) -> None:
    """Methods are case-sensitive, and one that is unknown is no POST either."""
    answer = await ingress.raw(request(b"Content-Length: 0").replace(b"POST", method, 1))
    assert answer.split(b" ", 2)[1] == b"405"
    assert b"\r\nAllow: POST\r\n" in answer
    assert method not in answer.replace(b"Allow: POST", b"")


@pytest.mark.parametrize("path", ["/", "/api", f"{PATH}/", f"{PATH}x", "/api/../x"])
async def test_404_elsewhere(ingress: Ingress, path: str) -> None:
    """Even with a right token."""
    url = f"http://127.0.0.1:{ingress.port}{path}"
    async with ingress.session.post(url, data=BODY, headers={"Authorization": fresh()}) as answer:
        assert answer.status == 404


async def test_a_query_does_not_matter(ingress: Ingress) -> None:
    """Webhook URLs may carry one."""
    headers = {"Authorization": fresh()}
    async with ingress.session.post(f"{ingress.url}?a=b", data=BODY, headers=headers) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    "failure", [NotSafe("no broker"), RuntimeError("a fault"), OSError(), TimeoutError()]
)
async def test_503_with_retry_after_when_it_is_not_safe(ingress: Ingress, failure: Exception) -> None:
    """A fault of ours is no reason for LiveKit to forget the event, either."""
    ingress.sink.failure = failure
    answer = await ingress.post(BODY, fresh())
    assert (answer.status, answer.headers["Retry-After"], answer.body) == (503, "7", b"")


@pytest.mark.parametrize(
    "headers",
    [
        b"Authorization: " + b"secret-part" * 3000,
        b"X-Other: " + b"secret-part" * 3000,
        b"\r\n".join(b"X-%d: secret-part" % number for number in range(500)),
        b"secret-part without a colon",
        b"Content-Length: secret-part",
    ],
)
async def test_headers_that_are_too_large_or_none_are_not_echoed(
    ingress: Ingress, headers: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    """400, without a word of what was sent, neither in the answer nor in the log."""
    with structlog.testing.capture_logs() as logs:
        answer = await ingress.raw(request(headers))
    assert answer.split(b" ", 2)[1] in {b"400", b"431"}
    assert b"secret-part" not in answer
    assert "secret-part" not in str(logs) + capfd.readouterr().err


async def test_a_request_line_that_is_no_http_gets_400(ingress: Ingress) -> None:
    """And the server goes on."""
    assert (await ingress.raw(b"\x16\x03\x01\x02\x00\x01secret-part\r\n\r\n")).startswith(b"HTTP/1.0 400 ")
    assert (await ingress.post(BODY, fresh())).status == 200


async def test_a_body_that_is_too_slow_gets_no_answer() -> None:
    """Its connection is closed, so that LiveKit sends the event again; a 4xx would make it forget."""
    async with running(body_deadline=timedelta(seconds=0.2)) as ingress:
        for headers in (b"Content-Length: 100", b"Transfer-Encoding: chunked"):
            assert await ingress.raw(request(headers, b"5\r\nabc")) == b""
        assert ingress.count("june_ingress_answers_total", status="408") == 2


async def test_broken_chunks_are_400(ingress: Ingress) -> None:
    """They are no HTTP."""
    answer = await ingress.raw(request(b"Transfer-Encoding: chunked", b"zz\r\nabc\r\n"))
    assert answer.split(b" ", 2)[1] == b"400"


@pytest.mark.parametrize("slow", [False, True])
async def test_a_client_that_closes_its_side_gets_its_answer(ingress: Ingress, slow: bool) -> None:
    """As `socket.end(request)` does in Node; the connection ends with the answer, and a half request with none."""
    ingress.sink.gate = asyncio.Event() if slow else None
    whole = request(b"Authorization: %s\r\nContent-Length: %d" % (fresh().encode(), len(BODY)), BODY)
    answering = asyncio.create_task(ingress.half_closed(whole))
    if ingress.sink.gate:
        await ingress.sink.entered.wait()
        ingress.sink.gate.set()
    assert (await answering).startswith(b"HTTP/1.1 200 ")
    assert (await ingress.half_closed(request(b"Content-Length: 0"))).startswith(b"HTTP/1.1 401 ")
    assert await ingress.half_closed(whole[:-1]) == b""
    assert await ingress.half_closed(whole[:40]) == b""
    assert await ingress.half_closed(b"") == b""


async def test_a_client_that_leaves_in_the_middle_harms_nobody(ingress: Ingress) -> None:
    """The next request is answered."""
    _, writer = await asyncio.open_connection("127.0.0.1", ingress.port)
    writer.write(request(b"Content-Length: 100", b"abc"))
    await writer.drain()
    writer.transport.abort()
    assert (await ingress.post(BODY, fresh())).status == 200


async def test_many_on_one_connection_and_many_at_once(ingress: Ingress) -> None:
    """Each gets its own answer."""
    answers = await asyncio.gather(*(ingress.post(BODY, fresh()) for _ in range(200)))
    assert {answer.status for answer in answers} == {200}
    assert len(ingress.sink.taken) == 200


async def test_closing_lets_a_request_in_progress_finish() -> None:
    """The event that was taken is answered, though the server closes."""
    async with aiohttp.ClientSession() as session:
        async with running() as ingress:
            ingress.sink.gate = asyncio.Event()
            posting = asyncio.create_task(
                session.post(ingress.url, data=BODY, headers={"Authorization": fresh()})
            )
            await ingress.sink.entered.wait()
            asyncio.get_running_loop().call_later(0.1, ingress.sink.gate.set)
        assert (await posting).status == 200


async def test_one_log_line_for_each_webhook_without_body_and_token(ingress: Ingress) -> None:
    """Name, id, room, status and milliseconds; for a refusal the reason."""
    right = fresh()
    with structlog.testing.capture_logs() as logs:
        await ingress.post(BODY, right)
        await ingress.post(BODY, f"{right}x")
    handled, refused = logs
    assert handled.pop("ms") >= 0
    assert handled == {
        "event": "webhook.handled",
        "log_level": "info",
        "status": 200,
        "name": "room_started",
        "id": "EV_1",
        "room": "r",
    }
    assert (refused["status"], refused["reason"]) == (401, "malformed")
    assert right not in str(logs)
