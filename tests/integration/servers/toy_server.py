"""A server that leaves a daemon behind, as RabbitMQ leaves epmd: `toy_server.py PORT`."""

import os
import socket
import sys
import time
from pathlib import Path


def leave_a_daemon() -> None:
    """Its pid is in the file `daemon.pid` when this returns."""
    if os.fork() == 0:
        os.setsid()
        if (daemon := os.fork()) == 0:
            time.sleep(600)
        Path("daemon.pid").write_text(str(daemon))
        os._exit(0)
    os.wait()


def main() -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", int(sys.argv[1])))
        leave_a_daemon()
        listener.listen()
        while True:
            connection, _ = listener.accept()
            connection.sendall(b"here\n")
            connection.close()


main()
