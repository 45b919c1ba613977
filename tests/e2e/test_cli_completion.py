"""Completion of `june` in the shells themselves, installed as its users do: what is offered for what was typed."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from deploy.servers import Progress, install
from tests.e2e.processes import ROOT

pytestmark = pytest.mark.slow

WITHIN_S = 60
ASKED = {
    "june dead ": {"list", "show", "replay", "drop"},
    "june session create ann --disp": {"--display-name"},
    "june session create ann --no-stt --ai --disp": {"--display-name"},
    "june session list --status ": {"created", "active", "ended"},
}

ZSHRC = """
autoload -Uz compinit; compinit -u
compadd () {
    if [[ ${@[1,(i)(-|--)]} != *-(O|A|D)\\ * ]]; then
        local -a offered; builtin compadd -A offered "$@"; print -rl -- $offered >> $OFFERED
    fi
    builtin compadd "$@"
}
zle-line-init () { BUFFER=$TYPED; CURSOR=$#BUFFER; zle complete-word; exit 0 }
zle -N zle-line-init
"""
"""A shell that completes one line and ends; what is offered it writes down."""


def zsh(typed: str, env: Mapping[str, str]) -> set[str]:
    """What zsh offers on Tab."""
    offered = Path(env["HOME"], "offered")
    offered.touch()
    ours, its = pty.openpty()
    with subprocess.Popen(
        ("zsh", "-i"),
        stdin=its,
        stdout=its,
        stderr=its,
        env={**env, "TYPED": typed, "OFFERED": str(offered), "TERM": "xterm"},
        start_new_session=True,
    ) as shell:
        os.close(its)
        try:
            while os.read(ours, 65536):
                pass
        except OSError:
            pass  # how a terminal ends when nobody is at its other side
        assert shell.wait(WITHIN_S) == 0
    os.close(ours)
    lines = offered.read_text().split()
    offered.unlink()
    return set(lines)


def fish(typed: str, env: Mapping[str, str]) -> set[str]:
    """What fish offers on Tab."""
    done = subprocess.run(
        ("fish", "-c", "complete -C $TYPED"),
        env={**env, "TYPED": typed},
        cwd=env["HOME"],
        capture_output=True,
        text=True,
        check=True,
        timeout=WITHIN_S,
    )
    return {line.split("\t")[0] for line in done.stdout.splitlines()}


@pytest.mark.parametrize("shell", [zsh, fish], ids=["zsh", "fish"])
def test_a_shell_completes_what_is_being_typed(
    shell: Callable[[str, Mapping[str, str]], set[str]], tmp_path: Path, progress: Progress
) -> None:
    """Commands, options, also behind a switch, and the values of an option that has few."""
    name = shell.__name__
    install.debian_packages((name,), lambda: _which(name), progress)
    # fish completes no command that it cannot find.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {"HOME": str(tmp_path), "PATH": path, "LANG": "C.UTF-8"}
    (tmp_path / ".zshrc").write_text(ZSHRC)
    installing = (sys.executable, "-m", "cli", "--install-completion", "--shell", name)
    subprocess.run(installing, check=True, cwd=ROOT, env=env, capture_output=True, timeout=WITHIN_S)
    assert {typed: shell(typed, env) for typed in ASKED} == ASKED


def _which(name: str) -> Path | None:
    found = shutil.which(name)
    return Path(found) if found else None
