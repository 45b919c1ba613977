"""`june up`: all parts of June on this machine, and with `--servers` RabbitMQ and livekit-server, until Ctrl-C.

Promises: the parts are drained before the servers end; when a part ends by itself the others are drained, and the
end of its log says why.
"""

import asyncio
import os
import secrets
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

from cyclopts import App
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli.extras import check_extra
from cli.failures import CommandFailed, ExitCode, usage
from cli.help import RUNNING
from cli.output import clean
from cli.world import Json, World, flag
from runtime.settings import PARTS, ApiSettings, IngressSettings, SettingsInvalid, load

if TYPE_CHECKING:
    from cli.parts import Part, Status

WEBHOOK_PATH = "/api/livekit-webhooks"
TOLD = (
    "JUNE_AMQP_URL",
    "LIVEKIT_WS_URL",
    "LIVEKIT_API_KEY",
    "LIVEKIT_API_SECRET",
    "JUNE_API_DEV",
    "JUNE_RABBITMQ_MANAGEMENT_URL",
)
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
            with _environment(world, servers=servers) as env:
                _check(env)
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


@contextmanager
def _environment(world: World, *, servers: bool) -> Iterator[dict[str, str]]:
    """What the parts are told. The servers end with the block."""
    env = dict(world.env)
    if not servers:
        yield env
        return
    if find_spec("deploy") is None:
        raise usage(
            "--servers needs the source tree of June, which is not here",
            hint="start RabbitMQ and LiveKit by docker-compose.yml or by hand, then `june up`",
        )
    with _raising_on_sigterm(), _servers(world, env) as ours:
        yield ours


@contextmanager
def _servers(world: World, env: Mapping[str, str]) -> Iterator[dict[str, str]]:
    from deploy import servers as deployed  # noqa: PLC0415 - not there in an installation

    ingress = load(IngressSettings, {"LIVEKIT_API_KEY": "k", "LIVEKIT_API_SECRET": "s", **_ingress(env)})
    webhook_url = f"http://127.0.0.1:{ingress.ingress_port}{WEBHOOK_PATH}"
    key, secret = env.get("LIVEKIT_API_KEY") or "june-dev", env.get("LIVEKIT_API_SECRET")
    try:
        with (
            deployed.rabbitmq(progress=world.say) as rabbit,
            deployed.livekit(
                webhook_urls=[webhook_url],
                api_key=key,
                api_secret=secret or secrets.token_hex(24),
                progress=world.say,
            ) as livekit,
        ):
            world.say(f"RabbitMQ {rabbit.version} at {rabbit.url}, livekit-server at {livekit.ws_url}")
            ours = {
                **env,
                "JUNE_AMQP_URL": rabbit.url,
                "LIVEKIT_WS_URL": livekit.ws_url,
                "LIVEKIT_API_KEY": livekit.api_key,
                "LIVEKIT_API_SECRET": livekit.api_secret,
            }
            if rabbit.management_url:
                ours.setdefault("JUNE_RABBITMQ_MANAGEMENT_URL", rabbit.management_url)
            if not any(env.get(name) for name in ("JUNE_API_KEYS", "JUNE_API_KEYS_FILE", "JUNE_OIDC_ISSUER")):
                ours.setdefault("JUNE_API_DEV", "true")
            _tell_how_to_ask(world, ours)
            yield ours
    except (deployed.ServerError, deployed.InstallError) as error:
        raise CommandFailed(ExitCode.UNAVAILABLE, "unavailable", str(error)) from error


def _ingress(env: Mapping[str, str]) -> dict[str, str]:
    names = ("JUNE_INGRESS_PORT", "JUNE_INGRESS_HOST")
    return {name: env[name] for name in names if env.get(name)}


def _tell_how_to_ask(world: World, env: Mapping[str, str]) -> None:
    """The secret is made for this run, on loopback; without it nobody could use `june doctor` beside it."""
    world.say("In another terminal:")
    for name in TOLD:
        if name in env:
            world.say(f"  export {name}={env[name]}")
    world.say(f"  {program()} session create ann")


def program() -> str:
    """How this program is called from here."""
    called = Path(sys.argv[0])
    if called.name != "june":
        return "june"
    found = shutil.which("june")
    if found is not None and called.exists() and Path(found).samefile(called):
        return "june"
    here = called.absolute()
    return str(here.relative_to(Path.cwd()) if here.is_relative_to(Path.cwd()) else here)


@contextmanager
def _raising_on_sigterm() -> Iterator[None]:
    """While servers are started and ended SIGTERM is as Ctrl-C: none is left behind."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


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
