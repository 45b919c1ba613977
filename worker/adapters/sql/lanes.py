"""Threads that run works: one for SQLite, which commits as a group what has gathered; a few for PostgreSQL.

Promises: results of a group reach the loop by one wake-up. A waiter that is cancelled disturbs nobody, and its works
may be committed all the same; what nobody waits for any more is not begun. A thread that crashes is an outage that is
seen at once: everybody who waits or comes later gets `StoreUnavailable`.
Refuses: to order works that were given by different calls over several threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from worker.adapters.sql.runner import Outcome, Runner, SqlWork
from worker.application.failures import StoreUnavailable

_JOIN_S = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Batch:
    works: Sequence[SqlWork]
    answer: asyncio.Future[list[Outcome]]


_Results = list[tuple[_Batch, list[Outcome] | Exception]]


class Lanes:
    """`group`: how many works of different callers one transaction takes at most; 1 keeps callers apart."""

    def __init__(self, runners: Sequence[Runner], *, group: int) -> None:
        self._runners = runners
        self._group = group
        self._queue: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed: str | None = "it was not started"
        self._threads: list[threading.Thread] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin to take works, for the running loop."""
        self._loop = asyncio.get_running_loop()
        self._closed = None
        for number, runner in enumerate(self._runners):
            thread = threading.Thread(
                target=self._live, args=(runner,), name=f"june-store-{number}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    async def execute(self, works: Sequence[SqlWork]) -> list[Outcome]:
        """Each work's result or exception, in order, after the commit. Raises `StoreUnavailable` for all."""
        if not works:
            return []
        answer: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        with self._lock:
            if self._closed is not None:
                raise StoreUnavailable(f"the store takes no work: {self._closed}")
            self._queue.put(_Batch(works=works, answer=answer))
        return await answer

    async def close(self) -> None:
        """Finish what was given, then end; again is fine. A thread that hangs in a dead database is left behind."""
        with self._lock:
            self._closed = self._closed or "it is closed"
            for _ in self._threads:
                self._queue.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join, _JOIN_S)

    def _live(self, runner: Runner) -> None:
        batches: list[_Batch] = []
        try:
            while batches := self._take():
                # After an outage nobody waits any more for most of what was queued in it.
                wanted = [batch for batch in batches if not batch.answer.cancelled()]
                self._deliver(self._run(runner, wanted))
        except BaseException as error:  # noqa: BLE001 - a thread has no caller: its waiters are told instead
            self._crashed(error, batches)
        finally:
            runner.close()

    def _take(self) -> list[_Batch]:
        """What is queued, at least one batch; nothing at the end."""
        first = self._queue.get()
        if first is None:
            return []
        batches = [first]
        gathered = len(first.works)
        while gathered < self._group:
            try:
                batch = self._queue.get_nowait()
            except queue.Empty:
                break
            if batch is None:
                self._queue.put(None)
                break
            batches.append(batch)
            gathered += len(batch.works)
        return batches

    def _run(self, runner: Runner, batches: Sequence[_Batch]) -> _Results:
        try:
            outcomes = runner.run([work for batch in batches for work in batch.works])
        except StoreUnavailable as outage:
            return [(batch, outage) for batch in batches]
        results: _Results = []
        start = 0
        for batch in batches:
            end = start + len(batch.works)
            results.append((batch, outcomes[start:end]))
            start = end
        return results

    def _crashed(self, error: BaseException, batches: Sequence[_Batch]) -> None:
        with self._lock:
            self._closed = f"a thread of it crashed: {error!r}"
        waiting = list(batches)
        with contextlib.suppress(queue.Empty):
            while True:
                batch = self._queue.get_nowait()
                if batch is not None:
                    waiting.append(batch)
        for _ in self._threads:
            self._queue.put(None)
        self._deliver([(batch, StoreUnavailable(self._closed)) for batch in waiting])

    def _deliver(self, results: _Results) -> None:
        # A loop that is closed has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            if self._loop is not None:
                self._loop.call_soon_threadsafe(_answer, results)


def _answer(results: _Results) -> None:
    for batch, result in results:
        if batch.answer.done():
            continue
        if isinstance(result, Exception):
            batch.answer.set_exception(result)
        else:
            batch.answer.set_result(result)
