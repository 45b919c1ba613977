"""How a load generator tells what it saw, and the clock that all processes share."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any


def moment_s() -> float:
    """Seconds on a clock that is the same in all processes of this machine, and never steps."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def report(figures: Mapping[str, Any]) -> None:
    """As the last line on standard output."""
    print(json.dumps(figures), flush=True)
