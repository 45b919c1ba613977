"""Tables of fields, made from JSON Schema as pydantic writes it: name, type and the limit that a sender keeps."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Json = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One field."""

    name: str
    type: str
    rule: str


def table(title: str, rows: Iterator[Row]) -> str:
    """As Markdown. Empty without rows."""
    lines = [f"| `{row.name}` | {row.type} | {row.rule} |" for row in rows]
    return "\n".join([f"| {title} | type | |", "|---|---|---|", *lines, ""]) if lines else ""


def rows(api: Json, schema: Json, prefix: str = "") -> Iterator[Row]:
    """The fields of an object, and of the objects in it. `api` is the document that references lead into."""
    schema = resolved(api, schema)
    required = schema.get("required", [])
    for name, field in schema.get("properties", {}).items():
        optional = "" if name in required else "?"
        inner, nullable = _without_null(resolved(api, field))
        inner = resolved(api, inner)
        yield Row(
            name=f"{prefix}{name}{optional}",
            type=type_of(api, inner) + (" or `null`" if nullable and not optional else ""),
            rule=rule_of(field, inner),
        )
        items = resolved(api, inner.get("items", {}))
        yield from rows(api, inner, f"{prefix}{name}.")
        yield from rows(api, items, f"{prefix}{name}[].")


def resolved(api: Json, schema: Json) -> Json:
    """The schema, or the one that it refers to."""
    if "$ref" not in schema:
        return schema
    name = schema["$ref"].rsplit("/", 1)[1]
    found: Json = api["components"]["schemas"][name]
    return found


def _without_null(schema: Json) -> tuple[Json, bool]:
    choices = schema.get("anyOf", [])
    others = [one for one in choices if one.get("type") != "null"]
    if len(others) == len(choices):
        return schema, False
    return (others[0] if len(others) == 1 else {"anyOf": others}), True


def type_of(api: Json, schema: Json) -> str:
    """In words."""
    if "anyOf" in schema:
        return " or ".join(type_of(api, resolved(api, one)) for one in schema["anyOf"])
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return "one of " + ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"array of {type_of(api, resolved(api, schema['items']))}s"
    if schema.get("format") == "date-time":
        return "time"
    return str(schema.get("type", "any"))


def rule_of(field: Json, inner: Json) -> str:
    """The limit that a sender keeps. What June sends has none; an object's or a word's docstring is no limit."""
    text: str = field.get("description") or inner.get("description", "")
    is_limit = text.startswith("must ") and "enum" not in inner
    return text.removeprefix("must be ").replace("must ", "") if is_limit else ""
