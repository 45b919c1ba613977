"""`june config`: the settings as each part would read them here, secrets masked. `june version`: of what."""

import platform
from collections.abc import Iterator, Mapping
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from cyclopts import App

from cli.failures import ExitCode
from cli.help import OTHERS, RUNNING
from cli.output import Column, Thing
from cli.world import Json, World
from runtime.redaction import redacted
from runtime.settings import PARTS, Settings, SettingsInvalid, load
from runtime.settings.loading import load_one, variable_of

COLUMNS = (
    Column(title="setting", of=lambda setting: setting["setting"], style="bold"),
    Column(title="value", of=lambda setting: setting["value"]),
    Column(title="from", of=lambda setting: setting["from"], style="dim"),
    Column(title="used by", of=lambda setting: setting["used_by"], style="dim"),
)
DISTRIBUTION = "june-orchestrator"
_SECOND, _DAY = timedelta(seconds=1), timedelta(days=1)
LIBRARIES = ("aiohttp", "livekit-api", "pydantic", "sqlalchemy")


def register(app: App, world: World) -> None:
    """Add the commands."""
    _config(app, world)
    _version(app, world)


def _config(app: App, world: World) -> None:
    @app.command(group=RUNNING)
    def config(*, as_json: Json = False) -> int:
        """Print the settings as each part would read them here. Secrets are masked.

        Exit code 2 when a part could not start with them.

        **Examples**

            june config
            june config --json | jq -r 'select(.from != "default") | .setting'
        """
        world.output(as_json=as_json).things(effective(world.env), COLUMNS, none="No settings.")
        problems = wrong(world.env)
        for problem in problems:
            world.say(problem)
        return ExitCode.USAGE if problems else ExitCode.OK


def _version(app: App, world: World) -> None:
    @app.command(name="version", group=OTHERS)
    def version_(*, as_json: Json = False) -> None:
        """Print June's version, and those of what it runs on.

        **Examples**

            june version
            june version --json
        """
        libraries = {name: _version_of(name) for name in LIBRARIES}
        found = {"june": own_version(), "python": platform.python_version(), **libraries}
        world.output(as_json=as_json).thing(found)


def own_version() -> str:
    """June's."""
    return _version_of(DISTRIBUTION) or "a checkout, not installed"


def effective(env: Mapping[str, str]) -> list[Thing]:
    """Each setting once for each value that it has; parts that have the same value together."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for part, settings in PARTS.items():
        for row in _values(settings, env):
            rows.setdefault(row, []).append(part)
    return [
        {"setting": name, "value": value or None, "from": origin, "used_by": ", ".join(parts)}
        for (name, value, origin), parts in sorted(rows.items())
    ]


def wrong(env: Mapping[str, str]) -> list[str]:
    """Why parts could not start, a sentence each, once."""
    parts: dict[str, list[str]] = {}
    for part, settings in PARTS.items():
        try:
            load(settings, env)
        except SettingsInvalid as invalid:
            for problem in invalid.problems:
                parts.setdefault(problem, []).append(part)
    return [f"{' and '.join(those)} cannot start: {problem}" for problem, those in parts.items()]


def _values(settings: type[Settings], env: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for name, field in settings.model_fields.items():
        variable = variable_of(field)
        try:
            value = _shown(variable, load_one(settings, name, env))
        except SettingsInvalid:
            # It may be the wrong one, and it may be a secret: what it is can only be told when it can be read.
            value = "(not read)"
        yield variable, value, _origin(variable, env)


def _origin(variable: str, env: Mapping[str, str]) -> str:
    if env.get(f"{variable}_FILE"):
        return f"{variable}_FILE"
    return "environment" if env.get(variable) else "default"


def _shown(variable: str, value: Any) -> str:
    """As it would be set. Secrets mask themselves when they are made text."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case timedelta():
            units = value / (_DAY if variable.endswith("_DAYS") else _SECOND)
            return str(int(units) if units == int(units) else units)
        case _:
            return redacted(str(value))


def _version_of(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
