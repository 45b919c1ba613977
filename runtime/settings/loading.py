"""Reads the settings of a process from its environment, once, at the edge.

Promises: any `NAME` may be given as `NAME_FILE`, a file that holds the value; an empty variable is not set.
All wrong variables are reported together, by name (rules over several come last), and no value is shown.
Refuses: `NAME` together with `NAME_FILE`; a file that cannot be read or is empty.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict


class SettingsInvalid(Exception):
    """The process cannot start. `problems` are lines, each beginning with the name of a variable."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class Settings(BaseSettings):
    """Base of all settings. Made by `load` only: a bare instance reads nothing by itself."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is the library's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load` hands over: nothing but `load` looks at the environment."""
        return (init_settings,)


S = TypeVar("S", bound=Settings)


def setting(variable: str, description: str, *, default: str | None = None, example: str = "") -> Any:
    """A field that is read from `variable`. The default is written, and parsed, as a user's value is."""
    examples = [example or default]
    if default is None:
        return Field(default=None, validation_alias=variable, description=description, examples=examples)
    return Field(
        default=default,
        validate_default=True,
        validation_alias=variable,
        description=description,
        examples=examples,
    )


def variable_of(field: FieldInfo) -> str:
    """The name of the environment variable that a field is read from."""
    return str(field.validation_alias)


def load(settings: type[S], env: Mapping[str, str] = os.environ) -> S:
    """The settings that `env` gives. Raises SettingsInvalid."""
    values: dict[str, str] = {}
    places: dict[str, str] = {}
    problems: list[str] = []
    for field in settings.model_fields.values():
        variable = variable_of(field)
        try:
            found = _find(variable, env)
        except ValueError as error:
            problems.append(str(error))
            continue
        if found is not None:
            places[variable], values[variable] = found
    try:
        loaded = settings.model_validate(values)
    except ValidationError as error:
        # A variable that could not be read is missing to the rules over several: they would only confuse.
        details = [detail for detail in error.errors() if detail["loc"] or not problems]
        problems += [_told(settings, places, detail) for detail in details]
    else:
        if not problems:
            return loaded
    raise SettingsInvalid(problems)


def load_one(settings: type[Settings], name: str, env: Mapping[str, str] = os.environ) -> Any:
    """One field's value, or its default, whatever is wrong with the others. Raises SettingsInvalid."""
    field = settings.model_fields[name]
    variable = variable_of(field)
    try:
        found = _find(variable, env)
        text = field.default if found is None else found[1]
        return TypeAdapter(field.rebuild_annotation()).validate_python(text)
    except ValidationError as error:
        raise SettingsInvalid(
            [f"{variable}: {detail['msg'].removeprefix('Value error, ')}" for detail in error.errors()]
        ) from None
    except ValueError as error:
        raise SettingsInvalid([str(error)]) from None


def _find(variable: str, env: Mapping[str, str]) -> tuple[str, str] | None:
    """Where the value was found, and the value."""
    file_variable = f"{variable}_FILE"
    value, path = env.get(variable), env.get(file_variable)
    if value and path:
        raise ValueError(f"{variable}: is given twice: remove it, or {file_variable}")
    if path:
        return file_variable, _content(file_variable, Path(path))
    return (variable, value) if value else None


def _content(file_variable: str, path: Path) -> str:
    try:
        content = path.read_text("utf-8").rstrip("\r\n")
    except OSError as error:
        raise ValueError(f"{file_variable}: cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{file_variable}: {path} is not UTF-8") from None
    if not content:
        raise ValueError(f"{file_variable}: {path} is empty")
    return content


def _told(settings: type[Settings], places: Mapping[str, str], detail: ErrorDetails) -> str:
    text = detail["msg"].removeprefix("Value error, ")
    if not detail["loc"]:
        # Rules over several settings name their variable themselves.
        return text
    variable = str(detail["loc"][0])
    examples = {variable_of(field): field.examples for field in settings.model_fields.values()}
    example = next(iter(examples.get(variable) or ()), None)
    hint = f" (for example {variable}={example})" if example else ""
    return f"{places.get(variable, variable)}: {text}{hint}"
