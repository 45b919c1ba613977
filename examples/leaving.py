"""The end of a process that used LiveKit's library in Rust.

Its threads call into Python until the process is over. One that does so while the interpreter is taken down aborts the
process, and with it the exit code: so nothing is taken down. What is to be closed is closed before.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import NoReturn


def leave(code: int = 0) -> NoReturn:
    """End this process now, with everything that was printed."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
