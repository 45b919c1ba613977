"""Getting what is missing, without touching the system."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.servers import InstallError, install, inventory
from deploy.servers import __main__ as command_line

pytestmark = pytest.mark.slow

NOWHERE = "/nonexistent"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("JUNE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_cache_is_shared_by_clones(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache is JUNE_CACHE_DIR, else in XDG_CACHE_HOME, else in ~/.cache: never in the clone."""
    monkeypatch.setenv("JUNE_CACHE_DIR", "/a")
    assert install.cache_dir() == Path("/a")
    monkeypatch.delenv("JUNE_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert install.cache_dir() == Path("/b/june")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/c")
    assert install.cache_dir() == Path("/c/.cache/june")


def test_found_is_not_installed() -> None:
    """What is there is used, and nothing is run."""
    said: list[str] = []
    assert install.debian_packages(("no-such-package",), lambda: Path("/x"), said.append) == Path("/x")
    assert said == []


def test_no_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without livekit-server and without Go, the error says the three ways out."""
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(InstallError, match=r"(?s)Install Go.*Docker.*LIVEKIT_WS_URL"):
        install.livekit_server(print)


def test_no_apt(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a system without apt-get, the error names the package and the ways out."""
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(InstallError, match=r"(?s)rabbitmq-server.*no apt-get.*Docker.*JUNE_AMQP_URL"):
        install.debian_packages(("rabbitmq-server",), lambda: None, print)


def test_no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without root and without sudo, the error says what needs it and the ways out."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", lambda name, **_: None if name == "sudo" else f"/bin/{name}")
    ways_out = r"apt-get install rabbitmq-server: .*no sudo.*make servers.*Docker.*JUNE_AMQP_URL"
    with pytest.raises(InstallError, match=ways_out):
        install.debian_packages(("rabbitmq-server",), lambda: None, print)


def test_a_sudo_that_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What sudo says against it is in the error, and nothing was installed."""
    sudo = tmp_path / "sudo"
    sudo.write_text("#!/bin/sh\necho 'ann is not in the sudoers file' >&2\nexit 1\n")
    sudo.chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", lambda name, **_: str(sudo) if name == "sudo" else f"/bin/{name}")
    monkeypatch.setattr(install, "POLICY", tmp_path / "policy-rc.d")
    said: list[str] = []
    with pytest.raises(InstallError, match=r"ann is not in the sudoers file\. Let root do it once"):
        install.debian_packages(("rabbitmq-server",), lambda: None, said.append)
    assert said == []


def test_failed_command(cache: Path) -> None:
    """A command that fails is an error with its last words, its code, and the place of its whole log."""
    said: list[str] = []
    with pytest.raises(InstallError, match=r"(?s)ended with 3 .*no space left") as raised:
        install.run(("sh", "-c", "echo no space left; exit 3"), "unpacking it", said.append)
    assert str(cache / "logs" / "unpacking-it.log") in str(raised.value)
    (line,) = said
    assert line.startswith("unpacking it: ")


def test_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While packages are installed Debian is told to start no service; afterwards the file is gone."""
    policy = tmp_path / "policy-rc.d"
    monkeypatch.setattr(install, "POLICY", policy)
    with install._no_service_starts("a test"):
        assert "exit 101" in policy.read_text()
        assert os.access(policy, os.X_OK)
    assert not policy.exists()


def test_policy_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy that the system has already is left as it is."""
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 0\n")
    monkeypatch.setattr(install, "POLICY", policy)
    with install._no_service_starts("a test"):
        assert policy.read_text() == "#!/bin/sh\nexit 0\n"
    assert policy.read_text() == "#!/bin/sh\nexit 0\n"


def test_ctrl_c(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Who loses patience while something is built gets a line and exit code 130, and no traceback."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "argv", ["deploy.servers", "prepare"])
    monkeypatch.setattr(inventory, "prepare", interrupted)
    assert command_line.main() == 130
    assert "Interrupted" in capsys.readouterr().err


HOLD_THE_LOCK = """
import sys
from deploy.servers import install
with install._locked("thing", print):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_runs_at_once() -> None:
    """While one run installs a thing another one waits, and says so at once."""
    command = [sys.executable, "-c", HOLD_THE_LOCK]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        said: list[str] = []

        def say(line: str) -> None:
            said.append(line)
            if len(said) == 1:
                other.communicate("")

        with install._locked("thing", say):
            assert said[0] == "another run is installing thing: waiting for it"
            assert other.poll() == 0
