"""`june up`: all parts of June on this machine, and with `--servers` RabbitMQ and livekit-server, until Ctrl-C.

Promises: the parts are drained before the servers end; when a part ends by itself the others are drained, and the
end of its log says why.
"""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli.extras import check_extra
from cli.failures import ExitCode, usage
from cli.help import RUNNING
from cli.output import clean
from cli.ports import refusal
from cli.servers import environment
from cli.world import Json, World, flag
from runtime.settings import PARTS, ApiSettings, SettingsInvalid, load

if TYPE_CHECKING:
    from cli.parts import Part, Status

SAMPLES = ("examples.stt_service", "examples.ai_service", "examples.tts_service")
LOOK_EVERY_S = 0.5
STYLES = {"ready": "green", "running": "green", "starting": "yellow", "draining": "yellow"}


def register(app: App, world: World) -> None:
    """Add `june up`."""

    @app.command(group=RUNNING)
    def up(
        *,
        servers: Annotated[bool, flag()] = False,
        samples: Annotated[bool, flag()] = False,
        log_dir: Path = Path("june-logs"),
        as_json: Json = False,
    ) -> int:
        """Run all parts of June on this machine until Ctrl-C, which drains them. State is in SQLite by default.

        Admin ports are JUNE_ADMIN_PORT (9101) and the ones after it.

        **Examples**

            june up --servers --samples
            LIVEKIT_API_KEY=… LIVEKIT_API_SECRET=… june up

        Parameters
        ----------
        servers
            Start RabbitMQ and livekit-server, too, where the environment names none. What they hold is
            thrown away at the end. They listen on loopback alone.
        samples
            Run the sample STT, AI and TTS services, too. They hear that somebody speaks, and answer by two rules.
        log_dir
            Where the parts' logs go.
        """
        if samples:
            check_extra("june up --samples")
        try:
            with environment(world, servers=servers) as env:
                _check(env)
                if refused := refusal(env, parts=len(PARTS)):
                    raise refused
                _tell_where(world, env)
                _make(log_dir)
                run = _Up(world, env, log_dir, samples=SAMPLES if samples else (), as_json=as_json)
                return world.run(run.until_stopped())
        except KeyboardInterrupt:
            return ExitCode.OK  # while the servers started


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise usage(f"--log-dir {folder} cannot be made: {error.strerror}") from None


def _check(env: Mapping[str, str]) -> None:
    """Raises SettingsInvalid with all that keeps any part from starting."""
    problems: list[str] = []
    for part, settings in PARTS.items():
        try:
            load(settings, {**env, "JUNE_ADMIN_PORT": "0"})
        except SettingsInvalid as invalid:
            problems += [f"{part}: {problem}" for problem in invalid.problems]
    if problems:
        raise SettingsInvalid(problems)


def _tell_where(world: World, env: Mapping[str, str]) -> None:
    """What a browser opens."""
    api = load(ApiSettings, {**env, "JUNE_ADMIN_PORT": "0"})
    host = f"[{api.api_host}]" if ":" in api.api_host else api.api_host
    address = f"http://{'127.0.0.1' if host in {'0.0.0.0', '[::]'} else host}:{api.api_port}"  # noqa: S104 - read only
    world.say(f"Live page: {address}/  HTTP API: {address}/docs")


class _Up:
    """One run."""

    def __init__(
        self, world: World, env: Mapping[str, str], folder: Path, *, samples: Sequence[str], as_json: bool
    ) -> None:
        self._world = world
        self._samples = list(samples)
        self._env = env
        self._folder = folder
        self._output = world.output(as_json=as_json)
        self._told: dict[str, object] = {}
        self._stop = asyncio.Event()

    async def until_stopped(self) -> ExitCode:
        """0 when a signal stopped it and each part drained; else 1."""
        from cli import parts as children  # noqa: PLC0415 - aiohttp takes half a second to import

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        first = int(self._env.get("JUNE_ADMIN_PORT") or children.FIRST_ADMIN_PORT)
        parts: list[Part] = []
        try:
            for place, name in enumerate(children.names()):
                port = first + place if first else 0
                parts.append(children.start(name, env=self._env, admin_port=port, folder=self._folder))
            await self._look_after(parts)
        finally:
            dead = [part for part in parts if part.ended]
            # A second Ctrl-C is for those who cannot wait.
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, _kill, parts)
            self._world.say("Draining.")
            in_order = await children.drained(parts)
        for part in parts:
            if part in dead or part.process.returncode != 0:
                self._world.say(f"{part.name} {_end(part, by_itself=part in dead)}; its log ends:")
                self._world.say(clean_lines(part.last_words()))
        return ExitCode.OK if in_order and not dead else ExitCode.REFUSED

    async def _look_after(self, parts: "list[Part]") -> None:
        """Until told to stop, or until a part ends."""
        import aiohttp  # noqa: PLC0415 - see above

        live = Live(console=self._output.console, auto_refresh=False, transient=False)
        async with aiohttp.ClientSession() as session:
            if self._output.is_terminal:
                live.start()
            try:
                while not self._stop.is_set() and not any(part.ended for part in parts):
                    answers = await asyncio.gather(*(part.status(session) for part in parts))
                    names = [part.name for part in parts]
                    self._show(live, parts, dict(zip(names, answers, strict=True)))
                    # They take from queues that the parts make.
                    if all(part.settled for part in parts):
                        parts += self._started_samples()
                    await self._pause()
            finally:
                live.stop()

    def _started_samples(self) -> "list[Part]":
        """All of them, once."""
        from cli import parts as children  # noqa: PLC0415 - see above

        names, self._samples = self._samples, []
        return [children.start(name, env=self._env, admin_port=0, folder=self._folder) for name in names]

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                await self._stop.wait()
        except TimeoutError:
            pass

    def _show(self, live: Live, parts: "list[Part]", seen: "Mapping[str, Status]") -> None:
        if self._output.is_terminal:
            live.update(_table(parts, seen), refresh=True)
            return
        for name, status in seen.items():
            if self._told.get(name) != status:
                self._told[name] = status
                thing = {"part": name, "state": status.state.value, "why": status.why}
                if self._output.is_json:
                    self._output.json(thing)
                else:
                    self._output.line("\t".join(clean(value or "-") for value in thing.values()))


def _end(part: "Part", *, by_itself: bool) -> str:
    """How it ended, in words."""
    code = part.process.returncode
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return how if by_itself else f"did not drain: it {how}"


def _kill(parts: "list[Part]") -> None:
    for part in parts:
        part.kill()


def _table(parts: "list[Part]", seen: "Mapping[str, Status]") -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("part", "state", "since", "log", ""):
        table.add_column(title)
    now = asyncio.get_running_loop().time()
    for part in parts:
        status = seen[part.name]
        table.add_row(
            Text(part.name, "bold"),
            Text(status.state, STYLES.get(status.state, "bold red")),
            Text(_minutes(now - part.began)),
            Text(os.fspath(part.log), "dim"),
            Text(clean(status.why), "yellow"),
        )
    table.caption = "Ctrl-C drains and ends"
    table.caption_justify = "left"
    return table


def _minutes(seconds: float) -> str:
    return f"{int(seconds // 60)}:{int(seconds % 60):02d}"


def clean_lines(text: str) -> str:
    """Many lines, each without control characters."""
    return "\n".join(f"  {clean(line)}" for line in text.splitlines())
