"""The choice of ports."""

import os
import random
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterator

import pytest

from deploy.servers import ports
from deploy.servers.ports import NoFreePortError, free_port, free_ports

TAKE_ONE_OF = """
import sys
from deploy.servers import ports
ports.FIRST, ports.LAST = int(sys.argv[1]), int(sys.argv[2])
print(ports.free_port(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def two_ports(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """A range of two ports side by side, both free; what is taken of it is given back."""
    locks: deque[int] = deque()
    monkeypatch.setattr(ports, "_locks", locks)
    first = 0
    while not (first and ports._unused(first) and ports._unused(first + 1)):
        first = random.randrange(10_000, 19_000)  # another run of this test has other ports
    monkeypatch.setattr(ports, "FIRST", first)
    monkeypatch.setattr(ports, "LAST", first + 1)
    yield first, first + 1
    for lock in locks:
        os.close(lock)


def test_below_outgoing() -> None:
    """Ports are below the range of outgoing connections, and none is given twice."""
    given = [free_port() for _ in range(50)]
    assert max(given) < 32768
    assert len(set(given)) == 50


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_taken_port(two_ports: tuple[int, int], kind: socket.SocketKind) -> None:
    """A port that somebody has, by TCP or UDP, is passed over without an error."""
    with socket.socket(socket.AF_INET, kind) as somebody:
        somebody.bind(("127.0.0.1", two_ports[0]))
        assert free_port() == two_ports[1]


def test_two_runs(two_ports: tuple[int, int]) -> None:
    """Two runs at once get different ports, even before either of them listens."""
    command = [sys.executable, "-c", TAKE_ONE_OF, *map(str, two_ports)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        theirs = int(other.stdout.readline())
        assert {theirs, free_port()} == set(two_ports)
        with pytest.raises(NoFreePortError, match="127"):
            free_port()
        other.communicate("")
    assert free_port() == theirs, "it is given back when its run is over"


def test_ports_in_a_row_are_each_given_once() -> None:
    """None of them is given again, and all can be bound."""
    first = free_ports(3)
    later = {free_port() for _ in range(50)}
    assert not later & {first, first + 1, first + 2}
    for port in range(first, first + 3):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", port))
