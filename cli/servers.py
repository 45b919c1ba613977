"""What the parts of `june up` are told, and with `--servers` the servers themselves, for as long as they run.

Promises: what the environment says is left as it is; a port that nobody has set and something else has is another one;
no server outlives the block, however it ends.
"""

import secrets
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

from cli.failures import CommandFailed, ExitCode, usage
from cli.ports import others, refusal
from cli.world import World
from runtime.settings import PARTS, IngressSettings, load

WEBHOOK_PATH = "/api/livekit-webhooks"
TOLD = (
    "JUNE_AMQP_URL",
    "LIVEKIT_WS_URL",
    "LIVEKIT_API_KEY",
    "LIVEKIT_API_SECRET",
    "JUNE_API_DEV",
    "JUNE_RABBITMQ_MANAGEMENT_URL",
)


@contextmanager
def environment(world: World, *, servers: bool) -> Iterator[dict[str, str]]:
    """What the parts are told. The servers end with the block."""
    # Whoever opens a log after a crash reads it with their own eyes.
    env = {"JUNE_LOG_FORMAT": "console", **world.env}
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

    parts = len(PARTS)
    env = {**env, **others(env, parts=parts, free=deployed.free_ports, say=world.say)}
    if refused := refusal(env, parts=parts):
        raise refused
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
