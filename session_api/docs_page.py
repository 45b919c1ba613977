"""The OpenAPI document as a page for people: one file without scripts, that needs nothing from anywhere else."""

import base64
import hashlib
import json
from functools import cache
from html import escape
from typing import Any, Final

from session_api.files import SAFE_HEADERS
from session_api.openapi import Json, document

_STYLE: Final = """
:root { color-scheme: light dark; --line: light-dark(#d9dce1, #34383f); --soft: light-dark(#5c6370, #9aa2af);
  --card: light-dark(#fff, #1b1d21); --back: light-dark(#f6f7f9, #121316); --accent: light-dark(#2456c7, #8ab0ff); }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1rem 6rem; font: 16px/1.5 system-ui, sans-serif;
  background: var(--back); }
h1 { margin: 0; } h2 { margin: 2.5rem 0 .5rem; font-size: 1.1rem; } h3 { font-size: .9rem; margin: 1rem 0 .25rem; }
code, pre { font: .875em/1.5 ui-monospace, monospace; overflow-wrap: anywhere; }
pre { overflow: auto; padding: .75rem; border: 1px solid var(--line); border-radius: .4rem; margin: 0; }
details { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; margin: .5rem 0; }
summary { cursor: pointer; padding: .7rem 1rem; } summary p { margin: 0; color: var(--soft); font-size: .9rem; }
details > div { padding: 0 1rem 1rem; }
.method { display: inline-block; min-width: 4.5rem; font-weight: 700; color: var(--accent); }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
td, th { text-align: left; vertical-align: top; padding: .35rem .6rem .35rem 0; border-top: 1px solid var(--line); }
.soft { color: var(--soft); } a { color: var(--accent); }
"""
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS: Final = {
    **SAFE_HEADERS,
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    ),
    "Cache-Control": "no-cache",
}


@cache
def page() -> str:
    """The whole page."""
    told = document()
    info = told["info"]
    about = "".join(f"<p>{_prose(part)}</p>" for part in info["description"].split("\n\n"))
    operations = "".join(
        _operation(method, path, operation)
        for path, methods in told["paths"].items()
        for method, operation in methods.items()
    )
    models = "".join(_model(name, schema) for name, schema in sorted(told["components"]["schemas"].items()))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(info['title'])} · HTTP API</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{escape(info['title'])}</h1><p class='soft'>HTTP API, version {escape(info['version'])} · "
        "<a href='api/openapi.json'>openapi.json</a></p>"
        f"{about}<h2>Requests</h2>{operations}<h2>Shapes</h2>{models}</main></body></html>\n"
    )


def _prose(text: str) -> str:
    """Text in which backticks mark code."""
    pieces = escape(text).split("`")
    return "".join(f"<code>{piece}</code>" if at % 2 else piece for at, piece in enumerate(pieces))


def _operation(method: str, path: str, operation: Json) -> str:
    scopes = [scope for need in operation["security"] for scope in need.get("key", ())]
    needs = f"Needs a key with <code>{escape(scopes[0])}</code>." if scopes else "Needs no key."
    return (
        f"<details id='{escape(operation['operationId'])}'><summary><span class='method'>{method.upper()}</span>"
        f"<code>{escape(path)}</code><p>{_prose(operation['summary'])}</p></summary><div><p>{needs}</p>"
        f"{_parameters(operation)}{_body(operation)}{_responses(operation)}</div></details>"
    )


def _parameters(operation: Json) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(one['name'])}</code></td><td class='soft'>{one['in']}"
        f"{', required' if one.get('required') else ''}</td><td>{_kind(one['schema'])} {_about(one)}</td></tr>"
        for one in operation.get("parameters", ())
    )
    return f"<h3>Parameters</h3><table>{rows}</table>" if rows else ""


def _body(operation: Json) -> str:
    body = operation.get("requestBody")
    return f"<h3>Body</h3>{_content(body['content'])}" if body else ""


def _responses(operation: Json) -> str:
    rows = "".join(
        f"<tr><td>{status}</td><td>{_prose(response['description'])}{_content(response.get('content', {}))}</td></tr>"
        for status, response in operation["responses"].items()
    )
    return f"<h3>Answers</h3><table>{rows}</table>"


def _content(content: Json) -> str:
    return "".join(
        f"<p class='soft'><code>{escape(kind)}</code> {_shape(one['schema'])}</p>"
        for kind, one in content.items()
        if kind != "application/problem+json"
    )


def _shape(schema: Json) -> str:
    return _fields(schema) if "properties" in schema else _kind(schema)


def _model(name: str, schema: Json) -> str:
    return (
        f"<details id='{escape(name)}'><summary><code>{escape(name)}</code>"
        f"<p>{_prose(schema.get('description', '').split(chr(10))[0])}</p></summary>"
        f"<div>{_fields(schema) if 'properties' in schema else _kind(schema)}</div></details>"
    )


def _fields(schema: Json) -> str:
    required = schema.get("required", ())
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td class='soft'>{'required' if name in required else ''}</td>"
        f"<td>{_kind(field)} {_about(field)}</td></tr>"
        for name, field in schema["properties"].items()
    )
    return f"<table>{rows}</table>"


def _about(one: Json) -> str:
    text = one.get("description") or one.get("schema", {}).get("description") or ""
    default = one.get("default")
    told = f" Default: <code>{escape(json.dumps(default))}</code>." if default not in (None, {}, []) else ""
    return f"<span class='soft'>{_prose(text)}</span>{told}"


def _kind(schema: Json) -> str:
    """The type of a value, in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"<a href='#{escape(name)}'>{escape(name)}</a>"
    for word in ("anyOf", "oneOf", "allOf"):
        if word in schema:
            return " or ".join(_kind(choice) for choice in schema[word])
    if "enum" in schema:
        return " · ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    return _plain(schema)


def _plain(schema: Json) -> str:
    kind: Any = schema.get("const", schema.get("type", "any"))
    if kind == "array":
        return f"array of {_kind(schema.get('items', {}))}"
    return escape(" or ".join(kind) if isinstance(kind, list) else str(kind))
