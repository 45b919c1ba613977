"""Says what is being waited for: a line when a step has gone on for a while, then one each few seconds, and
one at its end.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

Progress = Callable[[str], object]
"""Takes one line without its end. `print` is one."""

EVERY = timedelta(seconds=5)


@contextlib.contextmanager
def step(text: str, progress: Progress, *, every: timedelta = EVERY) -> Iterator[None]:
    """`text … 5 s` while it lasts, `text: 7.2 s` at its end, `text: failed after 7.2 s` when it raises."""
    began, over = time.monotonic(), threading.Event()
    ticker = threading.Thread(
        target=_tick, args=(text, progress, began, every, over), name=f"progress: {text}"
    )
    ticker.daemon = True
    ticker.start()
    outcome = "failed after "
    try:
        yield
        outcome = ""
    finally:
        over.set()
        ticker.join()
        progress(f"{text}: {outcome}{time.monotonic() - began:.1f} s")


def _tick(text: str, progress: Progress, began: float, every: timedelta, over: threading.Event) -> None:
    while not over.wait(every.total_seconds()):
        progress(f"{text} … {time.monotonic() - began:.0f} s")
