"""Side tasks: what runs beside the main work for as long as a part lives.

Promises: a side task that fails, ends, or is cancelled by somebody else ends the block with `SideTaskDied`,
which names it; leaving the block cancels all that still run, and waits for them.
"""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self


class SideTaskDied(Exception):
    """A task that should live as long as its part does not. The text has its name and the reason."""


class SideTasks:
    """`async with SideTasks() as side: side.start("watchdog", watch())`."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, name: str, work: Coroutine[Any, Any, object]) -> None:
        """Run `work` until the block is left; it must not end before."""
        self._tasks.append(self._group.create_task(_never_ending(name, work), name=name))

    async def __aenter__(self) -> Self:
        """Open the block."""
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cancel what runs, wait for it, and raise (an ExceptionGroup) when a task had died."""
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(kind, error, trace)


async def _never_ending(name: str, work: Coroutine[Any, Any, object]) -> None:
    try:
        await work
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # Libraries leak bare cancellations; a task that ends by one is as dead as any.
        raise SideTaskDied(f"{name}: was cancelled from inside") from None
    except Exception as error:
        raise SideTaskDied(f"{name}: {type(error).__name__}: {error}") from error
    raise SideTaskDied(f"{name}: ended")
