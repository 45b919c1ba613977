"""`python -m examples.conversation`, as `make run` starts it: what it says, how it ends, and what it leaves."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from deploy.servers import Postgres, RabbitMQ
from deploy.servers.keeper import descendants
from deploy.servers.rabbitmq_server import chosen_versions
from examples.stage import ROOT
from tests.conftest import StartLiveKit
from tests.support.polling import wait_until

LATEST_S = 90
NOWHERE = "http://127.0.0.1:1"
IN_BACKGROUND = ("sh", "-c", 'trap "" INT; exec "$0" "$@"')
"""A shell's background, where Ctrl-C is ignored."""

one_broker = pytest.mark.parametrize("rabbitmq_version", chosen_versions()[-1:], indirect=True)
"""For what has nothing to do with the broker's version."""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the conversation with its output in a pipe; ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, in_background: bool = False, **environment: str) -> subprocess.Popen[str]:
        with (tmp_path / "out.txt").open("w") as out:
            process = subprocess.Popen(
                [
                    *(IN_BACKGROUND if in_background else ()),
                    *(sys.executable, "-m", "examples.conversation", *arguments),
                ],
                cwd=ROOT,
                env={**os.environ, "JUNE_RUN_DIR": str(tmp_path), **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                text=True,
                start_new_session=True,
            )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def given(server: RabbitMQ) -> dict[str, str]:
    """The environment that names this broker."""
    return {"JUNE_AMQP_URL": server.url, "JUNE_RABBITMQ_MANAGEMENT_URL": server.management_url or ""}


def said(tmp_path: Path) -> str:
    return (tmp_path / "out.txt").read_text()


def until_said(words: str, process: subprocess.Popen[str], tmp_path: Path) -> None:
    """Or it has ended."""
    wait_until(
        lambda: words in said(tmp_path) or process.poll() is not None,
        within_s=LATEST_S,
        what=lambda: said(tmp_path),
    )


def until_gone(pids: list[int]) -> None:
    wait_until(
        lambda: not any(map(_command, pids)),
        within_s=LATEST_S,
        what=lambda: f"the end of {[*map(_command, pids)]}",
    )


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


@pytest.mark.livekit
def test_one_conversation_is_told_step_by_step(
    start: Callable[..., subprocess.Popen[str]], rabbitmq_server: RabbitMQ, tmp_path: Path
) -> None:
    """With --once it exits 0, after a line for each step in plain text, and the figures; nothing is left on disk."""
    process = start("--once", **given(rabbitmq_server))
    assert process.wait(LATEST_S) == 0, said(tmp_path)
    text = said(tmp_path)
    steps = [line for line in text.splitlines() if re.match(r" *[\d,]+ ms  \S", line)]
    for step in (
        "has room",
        "speaks",
        "listen to ann",
        "reports a sample sentence",
        "hears the answer",
        "has ended",
    ):
        assert any(step in line for line in steps), text
    assert re.search(r"\d ms  create → answer", text)
    assert "\x1b" not in text
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]


@pytest.mark.livekit
@pytest.mark.parametrize(
    ("end", "during", "code"),
    [(signal.SIGINT, "next step", 0), (signal.SIGTERM, "has room", 130), (signal.SIGKILL, "has room", -9)],
    ids=["Ctrl-C at the end", "SIGTERM in the middle", "a crash in the middle"],
)
def test_no_process_is_left_behind(
    start: Callable[..., subprocess.Popen[str]],
    rabbitmq_server: RabbitMQ,
    tmp_path: Path,
    end: signal.Signals,
    during: str,
    code: int,
) -> None:
    """Ctrl-C while it stays up is a good end; after that, and any other, everything that it started is gone. SIGTERM
    ends it in a shell's background, too."""
    process = start(in_background=end is signal.SIGTERM, **given(rabbitmq_server))
    until_said(during, process, tmp_path)
    children = descendants(process.pid)
    assert len(children) >= 10, "five parts with their guards"
    process.send_signal(end)
    assert process.wait(LATEST_S) == code, said(tmp_path)
    until_gone(children)


@pytest.mark.livekit
@one_broker
@pytest.mark.parametrize(
    ("victim", "during", "reason"),
    [
        ("-m worker", "has room", "worker ended with 137"),
        ("-m webhook_ingress", "next step", "webhook_ingress ended with 137"),
    ],
)
def test_what_ends_too_soon_is_the_reason(
    start: Callable[..., subprocess.Popen[str]],
    rabbitmq_server: RabbitMQ,
    tmp_path: Path,
    victim: str,
    during: str,
    reason: str,
) -> None:
    """A part that dies in the conversation, or afterwards: exit code 1, and which one it was."""
    process = start(**given(rabbitmq_server))
    until_said(during, process, tmp_path)
    children = descendants(process.pid)
    for pid in children:
        if victim in _command(pid) and "guard.py" not in _command(pid):
            os.kill(pid, signal.SIGKILL)
    assert process.wait(LATEST_S) == 1, said(tmp_path)
    assert f"The conversation stopped: {reason}" in said(tmp_path)
    assert "Traceback" not in said(tmp_path)
    until_gone(children)


@one_broker
def test_servers_that_are_given_are_used_and_left_as_they_were(
    start: Callable[..., subprocess.Popen[str]],
    rabbitmq_server: RabbitMQ,
    postgres_server: Postgres,
    start_livekit: StartLiveKit,
    free_port: Callable[[], int],
    tmp_path: Path,
) -> None:
    """All three of them: no server is started, and no vhost and no database stays behind."""
    port = str(free_port())
    livekit = start_livekit(f"http://127.0.0.1:{port}/api/livekit-webhooks")
    process = start(
        **given(rabbitmq_server),
        JUNE_DATABASE_URL=postgres_server.url,
        JUNE_INGRESS_PORT=port,
        LIVEKIT_WS_URL=livekit.ws_url,
        LIVEKIT_API_KEY=livekit.api_key,
        LIVEKIT_API_SECRET=livekit.api_secret,
    )
    until_said("next step", process, tmp_path)
    children = descendants(process.pid)
    assert not [pid for pid in children if "keeper.py" in _command(pid)]
    (worker, *_) = [pid for pid in children if _command(pid).endswith("-m worker ")]
    used = dict(line.partition("=")[::2] for line in Path(f"/proc/{worker}/environ").read_text().split("\0"))
    vhost = urlsplit(used["JUNE_AMQP_URL"]).path[1:]
    database = urlsplit(used["JUNE_DATABASE_URL"]).path[1:]
    assert vhost in vhosts(rabbitmq_server)
    assert database in databases(postgres_server)
    assert used["LIVEKIT_WS_URL"] == livekit.ws_url
    process.send_signal(signal.SIGINT)
    assert process.wait(LATEST_S) == 0, said(tmp_path)
    assert vhost not in vhosts(rabbitmq_server)
    assert database not in databases(postgres_server)


@pytest.mark.livekit
@one_broker
def test_a_broker_without_its_management_is_used_as_it_is(
    start: Callable[..., subprocess.Popen[str]], amqp_url: str, tmp_path: Path
) -> None:
    """Nobody can make a vhost there: it is the one of the URL, and that is said."""
    process = start("--once", JUNE_AMQP_URL=amqp_url, JUNE_RABBITMQ_MANAGEMENT_URL=NOWHERE)
    assert process.wait(LATEST_S) == 0, said(tmp_path)
    assert "the vhost of JUNE_AMQP_URL itself is used" in said(tmp_path)


def test_a_server_that_cannot_be_had_is_told_in_a_line(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    """Exit code 1 with the reason, and no traceback."""
    process = start("--once", JUNE_AMQP_URL="amqp://127.0.0.1:1/", JUNE_RABBITMQ_MANAGEMENT_URL=NOWHERE)
    assert process.wait(LATEST_S) == 1
    assert "RabbitMQ at 127.0.0.1:1 takes no connection" in said(tmp_path)
    assert "Traceback" not in said(tmp_path)


def vhosts(server: RabbitMQ) -> set[str]:
    return {vhost["name"] for vhost in server._management().call("GET", "vhosts")}


def databases(server: Postgres) -> set[str]:
    with psycopg.connect(server.url) as connection:
        return {name for (name,) in connection.execute("SELECT datname FROM pg_database").fetchall()}
