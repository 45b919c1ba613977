"""The OpenAPI 3.1 document, made from the routes and the models of `schemas`, so that it cannot disagree with them.

What a route takes is what its command takes: a field in the path or the query is that field of the command.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from schemas.events import EVENT_MESSAGES
from session_api.models import EventsQuery
from session_api.problems import CONTENT_TYPE, STATUS, Code, ProblemDocument
from session_api.routes import ROUTES, Endpoint, Route

Json = dict[str, Any]

_TEXT: Final[Json] = {"type": "string"}
_KEY: Final = "key"
_EVERYWHERE: Final = (Code.INVALID_ARGUMENT, Code.RESOURCE_EXHAUSTED, Code.INTERNAL, Code.UNAVAILABLE)
_WITH_KEY: Final = (Code.UNAUTHENTICATED, Code.PERMISSION_DENIED)
_OF_COMMANDS: Final = (Code.UNIMPLEMENTED, Code.DEADLINE_EXCEEDED)
_OF_BODIES: Final = (Code.PAYLOAD_TOO_LARGE, Code.UNSUPPORTED_MEDIA_TYPE, Code.ALREADY_EXISTS)
_OF_PATHS: Final = (Code.NOT_FOUND, Code.FAILED_PRECONDITION)
_EVENT_FILTERS: Final = {
    "session_id": "Only events of this session",
    "user_id": "Only events of this user's sessions",
    "type": "Only events of these types",
}
_DESCRIPTION: Final = """\
Sessions, their rooms and participants over HTTP. Each request is one command to June and its reply.

Errors are problem documents (RFC 9457). Where `retryable` is true the same request again, with the same \
`Idempotency-Key`, is right, and does nothing twice. Values in paths and queries are percent-decoded once, after the \
path was split at `/`, so that any identity works.\
"""


@cache
def document(version: str = "1.0.0") -> Json:
    """The whole document; `version` is that of the contract. Not to be changed."""
    schemas, components = _schemas()
    paths: Json = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "June Orchestrator",
            "version": version,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {_KEY: {"type": "http", "scheme": "bearer", "description": _scopes()}},
        },
    }


def _scopes() -> str:
    scopes = sorted({route.scope for route in ROUTES if route.scope is not None})
    return f"An API key, or a token of the issuer that June trusts. Scopes: {', '.join(scopes)}."


def _operation(route: Route, schemas: dict[type[BaseModel], Json]) -> Json:
    operation: Json = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "parameters": [*_parameters(route), *_headers(route)],
        "responses": {str(route.status): _success(route, schemas), **_problems(route)},
        "security": [] if route.scope is None else [{_KEY: [route.scope.value]}],
    }
    if route.body:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": body_schema(route, schemas)}},
        }
    return {name: value for name, value in operation.items() if value or name == "security"}


def _operation_id(route: Route) -> str:
    words = [
        piece.strip("{}").replace("-", "_").replace(".", "_") for piece in route.pieces if piece != "api"
    ]
    return "_".join([route.method.lower(), *words])


def body_schema(route: Route, schemas: dict[type[BaseModel], Json]) -> Json:
    """The command's schema, without the fields that the path gives."""
    if isinstance(route.work, Endpoint):
        raise TypeError(f"{route.name} is no command")
    if not route.parameters:
        return schemas[route.work]
    return _inlined(route.work, without=route.parameters)


def _inlined(model: type[BaseModel], *, without: Iterable[str]) -> Json:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    left = {name: field for name, field in schema["properties"].items() if name not in without}
    required = [name for name in schema.get("required", []) if name not in without]
    return {
        **{name: value for name, value in schema.items() if name != "$defs"},
        "properties": left,
        "required": required,
    }


def _parameters(route: Route) -> list[Json]:
    fields = _fields(route)
    return [
        *(
            {"name": name, "in": "path", "required": True, "schema": fields[name]}
            for name in route.parameters
        ),
        *(
            {
                "name": name,
                "in": "query",
                "required": name in route.required,
                "schema": fields[name],
                **_told(route, name),
            }
            for name in route.query
        ),
    ]


def _fields(route: Route) -> Json:
    model = EventsQuery if route.work is Endpoint.EVENTS else route.work
    if isinstance(model, Endpoint):
        return {}
    schema = _inlined(model, without=())
    return {name: _not_null(field) for name, field in schema["properties"].items()}


def _told(route: Route, name: str) -> Json:
    """What a filter of events is for; the fields of commands say it themselves."""
    if route.work is not Endpoint.EVENTS:
        return {}
    told: Json = {"description": _EVENT_FILTERS[name]}
    return told if name not in route.repeated else {**told, "example": [one.TYPE for one in EVENT_MESSAGES]}


def _not_null(field: Json) -> Json:
    """An optional field as a value that is there: in a path or a query there is no null."""
    choices = [choice for choice in field.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) != 1:
        return field
    return {
        **{name: value for name, value in field.items() if name not in {"anyOf", "default"}},
        **choices[0],
    }


def _headers(route: Route) -> list[Json]:
    if route.changes:
        return [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "The same key again gives the same answer, and does nothing twice",
                "schema": {**_TEXT, "pattern": "^[!-~]{1,255}$"},
            }
        ]
    if route.work is Endpoint.EVENTS:
        text = "The `id` of the last event that came: goes on after it"
        return [{"name": "Last-Event-ID", "in": "header", "description": text, "schema": _TEXT}]
    return []


def _success(route: Route, schemas: dict[type[BaseModel], Json]) -> Json:
    response: Json = {"description": route.summary}
    match route.work:
        case Endpoint.EVENTS:
            response["content"] = {"text/event-stream": {"schema": _TEXT}}
        case Endpoint.DOCS:
            response["content"] = {"text/html": {"schema": _TEXT}}
        case Endpoint.DOCUMENT:
            response["content"] = {"application/json": {"schema": {"type": "object"}}}
        case _ if route.answer is not None:
            response["content"] = {"application/json": {"schema": schemas[route.answer]}}
        case _:
            pass
    if route.status == 201:
        text = "Where what was made is"
        response["headers"] = {
            "Location": {"description": text, "schema": {**_TEXT, "format": "uri-reference"}}
        }
    return response


def codes_of(route: Route) -> list[Code]:
    """The codes of the problems that a route may answer with."""
    if route.scope is None:
        return []
    codes = [*_EVERYWHERE, *_WITH_KEY]
    if not isinstance(route.work, Endpoint):
        codes += _OF_COMMANDS
    if route.body:
        codes += _OF_BODIES
    if route.parameters:
        codes += _OF_PATHS
    return codes


def _problems(route: Route) -> Json:
    by_status: dict[int, list[Code]] = {}
    for code in codes_of(route):
        by_status.setdefault(STATUS[code].value, []).append(code)
    schema = {"$ref": "#/components/schemas/ProblemDocument"}
    return {
        str(status): {
            "description": " or ".join(f"`{code}`" for code in codes),
            "content": {CONTENT_TYPE: {"schema": schema}},
        }
        for status, codes in sorted(by_status.items())
    }


def _schemas() -> tuple[dict[type[BaseModel], Json], Json]:
    """The schema of each body and each answer, and what they refer to."""
    wanted: dict[type[BaseModel], JsonSchemaMode] = {ProblemDocument: "serialization"}
    for route in ROUTES:
        if route.answer is not None:
            wanted[route.answer] = "serialization"
        if not isinstance(route.work, Endpoint) and route.body and not route.parameters:
            wanted[route.work] = "validation"
    by_model, definitions = models_json_schema(
        list(wanted.items()), ref_template="#/components/schemas/{model}"
    )
    return {model: by_model[model, mode] for model, mode in wanted.items()}, definitions["$defs"]
