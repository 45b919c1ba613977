"""The life of a server's process, shown on a toy that leaves a daemon behind."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.servers import ServerError, free_port, processes
from deploy.servers.processes import NativeServer, Recipe, start
from tests.integration.servers.toys import greets, lives, toy_recipe
from tests.support.polling import wait_until

START_AND_WAIT = """
import sys
from deploy.servers.processes import start
from tests.integration.servers.toys import toy_recipe

recipe, port = toy_recipe()
_, server = start(lambda: (recipe, port))
print(server.pid, server._keeper.pid, recipe.directory, flush=True)
sys.stdin.read()
"""

pytestmark = pytest.mark.slow


@pytest.fixture
def toy() -> Iterator[tuple[Recipe, int, NativeServer]]:
    """A toy that runs: its recipe, its port and the process."""
    recipe, port = toy_recipe()
    _, server = start(lambda: (recipe, port))
    yield recipe, port, server
    server.close()


def daemon_of(directory: Path) -> int:
    return int((directory / "daemon.pid").read_text())


def test_close(toy: tuple[Recipe, int, NativeServer]) -> None:
    """The end of a run ends the server and the daemon it left, and removes their directory."""
    recipe, port, server = toy
    processes_of_run = [server.pid, daemon_of(recipe.directory)]
    server.close()
    assert not any(map(lives, processes_of_run))
    assert not greets(port)
    assert not recipe.directory.exists()
    server.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_end_of_the_parent(number: signal.Signals) -> None:
    """A run that is killed, ended or interrupted leaves no process and no directory behind."""
    command = [sys.executable, "-c", START_AND_WAIT]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as run:
        assert run.stdout is not None
        server, keeper, directory = run.stdout.readline().split()
        left = [int(server), int(keeper), daemon_of(Path(directory))]
        assert all(map(lives, left))
        run.send_signal(number)
    wait_until(lambda: not any(map(lives, left)))
    assert not Path(directory).exists()


def test_a_server_that_ends_by_itself_is_noticed(toy: tuple[Recipe, int, NativeServer]) -> None:
    """`check` says nothing while it runs, and afterwards which one it was, with the last words of its log."""
    recipe, _, server = toy
    server.check()
    recipe.log.write_text("out of memory\n")
    os.kill(server.pid, signal.SIGKILL)

    def noticed() -> bool:
        try:
            server.check()
        except ServerError as error:
            return "toy has ended" in str(error) and "out of memory" in str(error)
        return False

    wait_until(noticed)


def test_death_of_the_keeper(toy: tuple[Recipe, int, NativeServer]) -> None:
    """A keeper that is killed takes its server along; only a daemon that left the server outlives it."""
    recipe, _, server = toy
    assert server._keeper is not None
    pid = server.pid
    os.kill(server._keeper.pid, signal.SIGKILL)
    wait_until(lambda: not lives(pid))
    os.kill(daemon_of(recipe.directory), signal.SIGKILL)


def test_kill_and_start_again(toy: tuple[Recipe, int, NativeServer]) -> None:
    """After a kill nothing of the server is left but its data; it starts again on the same port."""
    recipe, port, server = toy
    before = [server.pid, daemon_of(recipe.directory)]
    server.kill()
    assert not any(map(lives, before))
    assert recipe.directory.exists()
    with pytest.raises(ServerError, match="toy is not running"):
        _ = server.pid
    server.start_again()
    assert greets(port)
    assert server.pid not in before


def test_crash_and_start_again(toy: tuple[Recipe, int, NativeServer]) -> None:
    """A server that ended by itself is started again in the same way."""
    _, port, server = toy
    os.kill(server.pid, signal.SIGKILL)
    server.start_again()
    assert greets(port)


def test_pause(toy: tuple[Recipe, int, NativeServer]) -> None:
    """While it is paused, connections are taken and not answered; after it they are."""
    _, port, server = toy
    server.pause()
    with socket.create_connection(("127.0.0.1", port)) as waiting:
        waiting.settimeout(0.3)
        with pytest.raises(TimeoutError):
            waiting.recv(16)
        server.resume()
        waiting.settimeout(10)
        assert waiting.recv(16) == b"here\n"


def test_close_while_paused(toy: tuple[Recipe, int, NativeServer]) -> None:
    """A paused server ends with its run, too."""
    _, _, server = toy
    pid = server.pid
    server.pause()
    server.close()
    assert not lives(pid)


def test_port_taken_in_between() -> None:
    """A port that is taken between its choice and the start is no error: another one is used."""
    with socket.create_server(("127.0.0.1", free_port())) as somebody:
        ports = iter([somebody.getsockname()[1]])
        port, server = start(lambda: toy_recipe(next(ports, None)))
        try:
            assert port != somebody.getsockname()[1]
            assert greets(port)
        finally:
            server.close()


def test_server_that_ends() -> None:
    """A server that ends while it starts is an error with the last lines of its log, and leaves nothing."""
    recipe, port = toy_recipe(script="print('line 1'); raise SystemExit('no such option: --colour')")
    with pytest.raises(ServerError, match=r"(?s)toy ended while it started.*no such option: --colour"):
        start(lambda: (recipe, port))
    assert not recipe.directory.exists()


def test_program_that_is_not_there() -> None:
    """A program that cannot be run is an error that names the server."""
    recipe, port = toy_recipe()
    lost = Recipe(name="toy", command=("/no/such/program",), directory=recipe.directory, ready=recipe.ready)
    with pytest.raises(ServerError, match="toy could not be started"):
        start(lambda: (lost, port))


def test_closed_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run folder that others may not pass through is not used for a server that is another user's."""
    tmp_path.chmod(0o700)
    monkeypatch.setenv("JUNE_RUN_DIR", str(tmp_path))
    assert not processes._open_to_all(tmp_path / "run")
    mine = processes.new_directory("toy")
    assert mine.parent == tmp_path
