"""The page `docs/settings.md`, made from the settings themselves so that neither can lie about the other."""

from runtime.settings.loading import variable_of
from runtime.settings.parts import PARTS

_HEAD = """\
# Settings

Environment variables, read once when a part starts. This page is made by `python -m runtime.settings`.

- Any of them may be given as `NAME_FILE`: a file with the value; newlines at its end are dropped. Never both.
- An empty variable is one that is not set.
- A part that cannot start with its settings says which variable is wrong, and how, and exits with code 2.
- `_S` at the end of a name: seconds. `_BYTES`: bytes. Flags are `true` or `false`.

| setting | default | used by | |
|---|---|---|---|
"""


def render() -> str:
    """The whole page, ending in a newline."""
    rows: dict[str, tuple[dict[str, list[str]], str]] = {}
    for part, settings in PARTS.items():
        for field in settings.model_fields.values():
            defaults, _ = rows.setdefault(variable_of(field), ({}, field.description or ""))
            default = "none" if field.default is None else f"`{field.default}`"
            defaults.setdefault(default, []).append(part)
    return _HEAD + "".join(
        f"| `{variable}` | {_defaults(defaults)} | {_users(defaults)} | {description} |\n"
        for variable, (defaults, description) in sorted(rows.items())
    )


def _defaults(defaults: dict[str, list[str]]) -> str:
    if len(defaults) == 1:
        return next(iter(defaults))
    return ", ".join(f"{default} ({', '.join(parts)})" for default, parts in defaults.items())


def _users(defaults: dict[str, list[str]]) -> str:
    return ", ".join(f"`{part}`" for parts in defaults.values() for part in parts)
