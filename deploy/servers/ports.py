"""Free ports on loopback, below the range of outgoing connections, that no other run of ours is given.

A port is free when nothing holds it on TCP or UDP and no other process holds its lock file. The lock belongs
to this process and goes with it, however it ends. Another program may still take the port before the server
does: whoever starts a server tries again with other ports.
"""

import contextlib
import fcntl
import os
import random
import socket
import tempfile
from collections import deque
from itertools import chain
from pathlib import Path

FIRST, LAST = 20_000, 31_999
"""Outgoing connections use 32768 and above; one of them has taken a server's port before."""

HELD = 512
"""So many locks are held by one process; the oldest goes first. By then its server listens, or is gone."""

_TRIES = 100

_locks: deque[int] = deque()


class NoFreePortError(RuntimeError):
    """Every port of the range is taken."""


def free_port() -> int:
    """A port for TCP and UDP on 127.0.0.1 that this process alone is given."""
    start = random.randrange(FIRST, LAST + 1)
    for port in chain(range(start, LAST + 1), range(FIRST, start)):
        if _lock(port):
            if _unused(port):
                return port
            os.close(_locks.pop())
    raise NoFreePortError(f"no free port between {FIRST} and {LAST} on 127.0.0.1")


def free_ports(count: int) -> int:
    """The first of so many ports in a row, each as `free_port` gives one."""
    for _ in range(_TRIES):
        first = free_port()
        if all(_lock(port) and _unused(port) for port in range(first + 1, first + count)):
            return first
    raise NoFreePortError(f"no {count} free ports in a row between {FIRST} and {LAST} on 127.0.0.1")


def _lock(port: int) -> bool:
    folder = Path(tempfile.gettempdir()) / f"june-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(folder / str(port), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    _locks.append(descriptor)
    while len(_locks) > HELD:
        os.close(_locks.popleft())
    return True


def _unused(port: int) -> bool:
    with contextlib.ExitStack() as sockets:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            candidate = sockets.enter_context(socket.socket(socket.AF_INET, kind))
            try:
                candidate.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
