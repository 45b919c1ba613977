"""Runs one server and ends everything it left when the run that asked for it is over, however that run ended.

A script of its own, standard library only, started as `python -I -S keeper.py ORDER`. It adopts every process
the server leaves behind (epmd outlives its broker), so that none escapes. Its standard input is held open by
the run: when that closes, or the parent is gone (kill -9 included), server and leftovers are ended and the
directory is removed. When the server ends by itself, leftovers are ended and the directory stays. A keeper
that is itself killed by SIGKILL takes the server along, not a daemon that the server left. Refuses nothing: a
bad ORDER is a traceback on standard error. Linux only.
"""

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LOOK_AT_PARENT_EVERY_S = 0.5
KILL_AGAIN_EVERY_S = 0.02

LIBC = ctypes.CDLL(None, use_errno=True)


def die_with_keeper() -> None:
    """In the server, before its program starts: killed when the keeper is killed."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def start(order: dict[str, Any]) -> int:
    """The server's pid. Its output is appended to the log; no Ctrl-C reaches it."""
    with Path(order["log"]).open("ab") as log:
        server = subprocess.Popen(
            order["command"],
            env=order["env"],
            cwd=order["directory"],
            user=order["user"],
            group=order["user"],
            extra_groups=[] if order["user"] else None,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=die_with_keeper,  # noqa: PLW1509 - the keeper has one thread
        )
    return server.pid


def reap() -> set[int]:
    """The children that have ended since the last look."""
    ended = set()
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            ended.add(pid)
    return ended


def descendants(root: int) -> list[int]:
    """Every process below `root`, as /proc shows it now."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(entry.read_text(errors="replace").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.parent.name))
    found, queue = [], [root]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def send(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def end_all() -> None:
    """Kills until nothing is left: whoever loses its parent becomes our child, and is seen next."""
    while left := descendants(os.getpid()):
        send(left, signal.SIGKILL)
        reap()
        time.sleep(KILL_AGAIN_EVERY_S)


def ask_to_stop(server: int, number: int, within_s: float) -> None:
    """Gives the server its own way to end; also one that is stopped by SIGSTOP."""
    send([server, *descendants(server)], signal.SIGCONT)
    send([server], number)
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline and server not in reap():
        time.sleep(KILL_AGAIN_EVERY_S)


def wake_on_child() -> int:
    """A descriptor that is readable when a child has ended."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return reader


def ended_by_itself(server: int, parent: int, wake: int) -> bool:
    """Waits. True: the server has ended. False: the run is over."""
    while True:
        readable, _, _ = select.select([0, wake], [], [], LOOK_AT_PARENT_EVERY_S)
        if wake in readable:
            os.read(wake, 4096)
        if server in reap():
            return True
        if 0 in readable or os.getppid() != parent:
            return False


def main() -> None:
    order = json.loads(sys.argv[1])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the run decides when it is over, not the terminal
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1)
    wake = wake_on_child()
    server = start(order)
    print(server, flush=True)
    if ended_by_itself(server, order["parent"], wake):
        end_all()
        return
    ask_to_stop(server, order["stop_signal"], order["stop_within_s"])
    end_all()
    shutil.rmtree(order["directory"], ignore_errors=True)


if __name__ == "__main__":
    main()
