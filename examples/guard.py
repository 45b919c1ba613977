"""Runs one command, and ends it when whoever started this is gone, however it went.

Started as `python -I -S guard.py COMMAND …` with a pipe as standard input, which the starter holds open: when it closes
(kill -9 of the starter included) the command gets SIGTERM, and SIGKILL 10 s later. Exits as the command does.
Standard library only; works wherever Python does.
"""

import os
import signal
import subprocess
import sys
import threading

DRAIN_S = 10


def end_with_the_starter(child: subprocess.Popen[bytes]) -> None:
    while os.read(0, 4096):
        pass
    child.terminate()
    try:
        child.wait(DRAIN_S)
    except subprocess.TimeoutExpired:
        child.kill()


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(
            number, lambda *_: None
        )  # the pipe decides; not ignored, since the command would inherit that
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    threading.Thread(target=end_with_the_starter, args=(child,), daemon=True).start()
    code = child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
