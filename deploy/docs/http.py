"""`docs/http.md`, made from the OpenAPI document: every route, with its parameters, bodies, answers and errors."""

from typing import Any

from deploy.docs.tables import Json, resolved, rows, rule_of, table, type_of
from session_api.openapi import document

HEAD = """\
# HTTP

Every route of the session API. This page is made by `make docs` from the OpenAPI 3.1 document, which the API serves at
`/api/openapi.json`. What they promise is in the [contract](contract.md#8-http); how to use them, in
[For a backend](howto/backend.md#by-http).

- `Authorization: Bearer <API key>`, where a scope is named.
- Errors are problem documents (RFC 9457), `application/problem+json`, each with a `code`. All of them have
  {fields}.
- Values in paths and queries are percent-decoded once, after the path was split at `/`.
"""


def page() -> str:
    """The whole page."""
    api = document()
    problem = ", ".join(f"`{row.name}`" for row in rows(api, api["components"]["schemas"]["ProblemDocument"]))
    parts = [HEAD.replace("{fields}", problem)]
    for path, methods in api["paths"].items():
        parts += [_operation(api, f"{method.upper()} {path}", it) for method, it in methods.items()]
    return "\n".join(parts)


def _operation(api: Json, title: str, operation: Json) -> str:
    scopes = [scope for needed in operation.get("security", []) for scope in next(iter(needed.values()))]
    key = f"Scope `{scopes[0]}`." if scopes else "No key."
    parts = [f"## {title}\n", f"{operation['summary']}. {key}\n"]
    parts.append(_parameters(api, operation.get("parameters", [])))
    if "requestBody" in operation:
        parts.append(table("body", rows(api, _schema(operation["requestBody"]))))
    parts += [_answer(api, status, answer) for status, answer in operation["responses"].items()]
    parts.append(_errors(operation["responses"]))
    return "\n".join(part for part in parts if part)


def _parameters(api: Json, parameters: list[Json]) -> str:
    lines = []
    for parameter in parameters:
        schema = resolved(api, parameter["schema"])
        told = parameter.get("description") or rule_of(parameter["schema"], schema)
        mark = "" if parameter.get("required") else "?"
        lines.append(f"| `{parameter['name']}{mark}` | {parameter['in']}, {type_of(api, schema)} | {told} |")
    return "\n".join(["| parameter | in | |", "|---|---|---|", *lines, ""]) if lines else ""


def _answer(api: Json, status: str, answer: Json) -> str:
    if not status.startswith("2"):
        return ""
    kinds = ", ".join(f"`{kind}`" for kind in answer.get("content", {}))
    fields = table("answer", rows(api, _schema(answer))) if "application/json" in kinds else ""
    return f"**{status}**{' ' + kinds if kinds else ''}\n\n{fields}"


def _errors(answers: Json) -> str:
    told = [
        f"{status} {answer['description']}"
        for status, answer in answers.items()
        if not status.startswith("2")
    ]
    return f"Errors: {', '.join(told)}.\n" if told else ""


def _schema(body: Json) -> dict[str, Any]:
    content: dict[str, Any] = next(iter(body["content"].values()))
    schema: dict[str, Any] = content.get("schema", {})
    return schema
