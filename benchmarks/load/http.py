"""Just enough HTTP/1.1 to cost little beside what is measured: ready requests, and keep-alive connections.

Promises: an answer is its status; one with a body, and a connection that the server closes, is an error.
"""

from __future__ import annotations

import asyncio
from typing import cast

from benchmarks.calls import PATH, signed_headers

_END = b"\r\n\r\n"


def signed_request(body: bytes) -> bytes:
    """The whole POST, signed for the next hour."""
    headers = {"Host": "127.0.0.1", **signed_headers(body), "Content-Length": str(len(body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {PATH} HTTP/1.1\r\n{lines}\r\n".encode() + body


def status_of(received: bytes) -> str | None:
    """The status of an answer without a body; `None` when not all of it is there. Raises `RuntimeError`."""
    if _END not in received:
        return None
    head, _, rest = received.partition(_END)
    if rest or b"content-length: 0" not in head.lower():
        raise RuntimeError(f"an answer with a body: {head[:200]!r}")
    return head[9:12].decode()


class Connection(asyncio.Protocol):
    """One keep-alive connection, for one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[str] | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        try:
            status = status_of(self._received)
        except RuntimeError as error:
            self.ended(error)
            return
        if status is not None:
            self._received = b""
            self.answered(status)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended(exc or ConnectionError("the server closed the connection"))

    def answered(self, status: str) -> None:
        """The answer to what was written last is there."""
        if self._answer is not None:
            self._answer.set_result(status)

    def ended(self, error: Exception) -> None:
        """No answer will come."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def write(self, request: bytes) -> None:
        """Post it. Raises `ConnectionError` when there is no connection."""
        if self._transport is None:
            raise ConnectionError("not connected")
        self._transport.write(request)

    async def post(self, request: bytes) -> str:
        """Write it, and wait for the status."""
        self._answer = asyncio.get_running_loop().create_future()
        self.write(request)
        return await self._answer

    def close(self) -> None:
        """Nothing more is posted."""
        if self._transport is not None:
            self._transport.close()


class Pool:
    """So many connections; a request takes one that is free."""

    def __init__(self) -> None:
        self._all: list[Connection] = []
        self._free: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()

    async def open(self, port: int, connections: int) -> None:
        """Connect all of them."""
        for _ in range(connections):
            _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
            self._all.append(connection)
            self._free.put_nowait(connection)

    async def post(self, request: bytes) -> str:
        """The status."""
        connection = await self._free.get()
        status = await connection.post(request)
        self._free.put_nowait(connection)
        return status

    def close(self) -> None:
        """All of them."""
        for connection in self._all:
            connection.close()
