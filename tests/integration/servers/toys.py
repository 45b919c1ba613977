"""Starts the toy server, and looks for what is left of a run."""

import contextlib
import socket
import sys
from functools import partial
from pathlib import Path

from deploy.servers import free_port
from deploy.servers.processes import Recipe, new_directory

TOY = Path(__file__).with_name("toy_server.py")


def toy_recipe(port: int | None = None, *, script: str | None = None) -> tuple[Recipe, int]:
    """The toy, or a Python script of your own in its place. Its address is its port."""
    port = port or free_port()
    command = (sys.executable, "-c", script) if script else (sys.executable, str(TOY), str(port))
    recipe = Recipe(name="toy", command=command, directory=new_directory("toy"), ready=partial(greets, port))
    return recipe, port


def greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 0.5) as connection:
            return connection.recv(16) == b"here\n"
    except OSError:
        return False


def lives(pid: int) -> bool:
    """Whether the process is there and not merely waiting to be reaped."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
