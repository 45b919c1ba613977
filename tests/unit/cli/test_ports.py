"""Ports that something else has: said before anything is begun, or others in their place."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.ports import others, refusal
from deploy.servers import free_ports
from tests.unit.cli.fakes import june

KEY = {"LIVEKIT_API_KEY": "k", "LIVEKIT_API_SECRET": "s" * 32, "JUNE_API_DEV": "true"}


@pytest.fixture
def env() -> dict[str, str]:
    """Five ports that nobody has."""
    first = free_ports(5)
    return {
        **KEY,
        "JUNE_INGRESS_PORT": str(first),
        "JUNE_API_PORT": str(first + 1),
        "JUNE_ADMIN_PORT": str(first + 2),
    }


@pytest.fixture
def busy(env: dict[str, str]) -> Iterator[int]:
    """The last of the admin ports has somebody who listens."""
    with socket.create_server(("127.0.0.1", int(env["JUNE_ADMIN_PORT"]) + 2)) as server:
        yield server.getsockname()[1]


def test_a_port_that_is_taken_is_said_before_anything_is_begun(
    env: dict[str, str], busy: int, tmp_path: Path
) -> None:
    """With the variable that names another; no part is started, no folder made."""
    assert refusal(env, parts=2) is None
    ran = june("up", "--log-dir", str(tmp_path / "logs"), env=env)
    assert (ran.code, ran.out) == (2, "")
    assert f"port {busy} at 127.0.0.1 is taken" in ran.err
    assert "JUNE_ADMIN_PORT" in ran.err
    assert not (tmp_path / "logs").exists()


def test_a_port_that_nobody_asked_for_is_another_one(
    env: dict[str, str], busy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default gives way, and that is said; what was set stays as it is."""
    said: list[str] = []
    assert others(env, parts=3, free=free_ports, say=said.append) == {}
    monkeypatch.setattr(
        "cli.ports.load_one", lambda _settings, name, _env: busy if "port" in name else "127.0.0.1"
    )
    given = others({"JUNE_API_PORT": "1"}, parts=3, free=lambda count: count * 1000, say=said.append)
    assert given == {"JUNE_INGRESS_PORT": "1000", "JUNE_ADMIN_PORT": "3000"}
    assert len(said) == 2
    assert str(busy) in said[0]


def test_ports_that_are_off_or_wrong_are_nobodys() -> None:
    """Port 0 of the admin turns it off; a port that is none is told of by the settings."""
    assert (
        refusal({"JUNE_ADMIN_PORT": "0", "JUNE_INGRESS_PORT": "x", "JUNE_API_PORT": "99999"}, parts=3) is None
    )
