"""Gets what a bare machine lacks: Debian packages, livekit-server built by Go, a Debian root with another
RabbitMQ.

Kept in a cache for all clones: `JUNE_CACHE_DIR`, else `$XDG_CACHE_HOME/june`, else `~/.cache/june`. Each
thing is made under a lock and moved into place when it is whole, so a run that is cut short leaves nothing
half made. Nothing is started, and nothing is set up to start with the machine. What cannot be had is an
InstallError that says what to do.
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from deploy.servers.progress import Progress, step

LIVEKIT_VERSION = "1.13.5"
DEBIAN_MIRROR = "http://deb.debian.org/debian"
POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_TEXT = "#!/bin/sh\n# Put here for the time of an installation: start no service.\nexit 101\n"


class InstallError(RuntimeError):
    """Something is missing and cannot be got; the text says how to get it."""


def cache_dir() -> Path:
    """Where built and downloaded things are kept."""
    named = os.environ.get("JUNE_CACHE_DIR")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(base) / "june"


def debian_packages(names: tuple[str, ...], found: Callable[[], Path | None], progress: Progress) -> Path:
    """What `found` finds, after installing `names` by apt where it finds nothing."""
    if (there := found()) is not None:
        return there
    with _locked("apt", progress):
        if (there := found()) is None:
            _apt_install(names, progress)
            there = found()
    if there is None:
        raise InstallError(f"apt-get installed {' '.join(names)}, and it still cannot be found")
    return there


def livekit_binary() -> Path:
    """Where the binary is, or would be."""
    return cache_dir() / "bin" / f"livekit-server-{LIVEKIT_VERSION}"


def livekit_server(progress: Progress) -> Path:
    """The livekit-server binary, built with Go when the cache lacks it (minutes)."""
    binary = livekit_binary()
    if binary.exists():
        return binary
    with _locked("livekit", progress):
        if not binary.exists():
            _build_livekit(binary, progress)
    return binary


def debian_root_path(suite: str) -> Path:
    """Where the small Debian is, or would be."""
    return cache_dir() / "roots" / suite


def debian_root(suite: str, package: str, progress: Progress) -> Path:
    """A folder with a small Debian of that suite and one package in it, made by debootstrap when the cache
    lacks it.
    """
    root = debian_root_path(suite)
    if root.exists():
        return root
    with _locked(suite, progress):
        if not root.exists():
            _debootstrap(root, suite, package, progress)
    return root


def _build_livekit(binary: Path, progress: Progress) -> None:
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        raise InstallError(
            "livekit-server is missing. Install Go 1.26 or later (it is built from source), or start a "
            "Docker engine, or give LIVEKIT_WS_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET of a server that runs"
        )
    binary.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=binary.parent) as scratch:
        target = f"github.com/livekit/livekit-server/cmd/server@v{LIVEKIT_VERSION}"
        env = {"GOBIN": scratch}
        run((go, "install", target), f"building livekit-server {LIVEKIT_VERSION}", progress, env=env)
        Path(scratch, "server").replace(binary)


def _debootstrap(root: Path, suite: str, package: str, progress: Progress) -> None:
    def tool() -> Path | None:
        path = shutil.which("debootstrap") or shutil.which("debootstrap", path="/usr/sbin")
        return Path(path) if path else None

    debootstrap = debian_packages(("debootstrap",), tool, progress)
    part = root.with_suffix(".part")
    root.parent.mkdir(parents=True, exist_ok=True)
    text = f"making a Debian {suite} with {package}"
    _as_root(text, "rm", "-rf", "--one-file-system", str(part))
    alone = ("unshare", "--mount", "--propagation", "private")  # what it mounts goes with it, however it ends
    what = ("--variant=minbase", f"--include={package}", suite, str(part), DEBIAN_MIRROR)
    run((*_sudo(text), *alone, str(debootstrap), *what), text, progress)
    part.rename(root)


def _apt_install(names: tuple[str, ...], progress: Progress) -> None:
    apt = shutil.which("apt-get")
    if apt is None:
        raise InstallError(
            f"{' '.join(names)}: this system has no apt-get. Install it by your system's own means, or start "
            "a Docker engine, or give the URLs of servers that run "
            "(JUNE_AMQP_URL, JUNE_DATABASE_URL, LIVEKIT_WS_URL)"
        )
    text = f"apt-get install {' '.join(names)}"
    # By `env`, because sudo lets no variable through.
    quiet_apt = (*_sudo(text), "env", "DEBIAN_FRONTEND=noninteractive", apt, "-q")
    before = {name for name in names if _installed(name)}
    with _no_service_starts(text):
        run((*quiet_apt, "update"), "apt-get update", progress)
        options = ("-y", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0")
        run((*quiet_apt, *options, "install", *names), text, progress)
    if systemctl := shutil.which("systemctl"):
        # Ours are processes of our own; the system's would start with the machine.
        for name in set(names) - before:
            subprocess.run((*_sudo(text), systemctl, "disable", name), check=False, capture_output=True)


@contextlib.contextmanager
def _no_service_starts(purpose: str) -> Iterator[None]:
    """Debian starts the services that it installs, unless this file says no."""
    if POLICY.exists() and POLICY.read_text() != POLICY_TEXT:
        yield
        return
    _as_root(purpose, "tee", str(POLICY), given=POLICY_TEXT)
    try:
        _as_root(purpose, "chmod", "755", str(POLICY))
        yield
    finally:
        _as_root(purpose, "rm", "-f", str(POLICY))


def _installed(package: str) -> bool:
    return subprocess.run(("dpkg", "-s", package), check=False, capture_output=True).returncode == 0


def _as_root(purpose: str, *command: str, given: str = "") -> None:
    """Runs a short command as root. Raises InstallError: why it could not, and the ways out."""
    done = subprocess.run(
        (*_sudo(purpose), *command), check=False, input=given, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise InstallError(_needs_root(purpose, done.stderr.strip() or f"it ended with {done.returncode}"))


def _sudo(purpose: str) -> tuple[str, ...]:
    """What to put in front of a command, so that root runs it. Raises InstallError where nothing helps."""
    if os.geteuid() == 0:
        return ()
    sudo = shutil.which("sudo")
    if sudo is None:
        raise InstallError(_needs_root(purpose, "there is no sudo"))
    return (sudo,)


def _needs_root(purpose: str, problem: str) -> str:
    return (
        f"{purpose}: this needs root, and {problem}. Let root do it once (make servers), or start a Docker engine, "
        "or give the URLs of servers that run (JUNE_AMQP_URL, JUNE_DATABASE_URL, LIVEKIT_WS_URL)"
    )


def run(
    command: tuple[str, ...], text: str, progress: Progress, *, env: Mapping[str, str] | None = None
) -> None:
    """Runs a long command with progress. What it says goes to a log in the cache, and its end into the
    InstallError.
    """
    log = cache_dir() / "logs" / f"{text.replace(' ', '-').replace('/', '-')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as said, step(text, progress):
        done = subprocess.run(
            command, check=False, stdout=said, stderr=said, env={**os.environ, **(env or {})}
        )
    if done.returncode != 0:
        tail = "\n  ".join(log.read_text(errors="replace").splitlines()[-15:])
        raise InstallError(
            f"{' '.join(command)} ended with {done.returncode} (all of it in {log}):\n  {tail}"
        )


@contextlib.contextmanager
def _locked(name: str, progress: Progress) -> Iterator[None]:
    """One run at a time makes a thing; the others wait and then find it."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    with (cache_dir() / f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"another run is installing {name}: waiting for it")
            with step(f"waiting for {name}", progress):
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield
