"""The OpenAPI document, its page, the files of the live page, and what an operator sees."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from messaging.counts import QueueCounts
from schemas.commands import COMMANDS, GuestTokenCreate
from schemas.registry import RESULTS
from session_api import files
from session_api.openapi import codes_of, document
from session_api.problems import STATUS, Code
from session_api.routes import ROUTES, Endpoint, Route
from tests.support.deliveries import incoming
from tests.unit.session_api.tools import served

ROOT = Path(__file__).parents[3]
each_route = pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)


def operation(route: Route) -> dict[str, Any]:
    """What the document says of a route."""
    found: dict[str, Any] = document()["paths"][route.path][route.method.lower()]
    return found


def refs(value: Any) -> Iterator[str]:
    """Every reference inside."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from refs(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from refs(inner)


def schemas(value: Any) -> Iterator[Any]:
    """Every schema inside."""
    if isinstance(value, dict):
        yield from value.get("components", {}).get("schemas", {}).values()
        if isinstance(value.get("schema"), dict):
            yield value["schema"]
        for inner in value.values():
            yield from schemas(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from schemas(inner)


def test_every_route_is_in_the_contract() -> None:
    """The contract's table and the routes are the same, but for what the live page needs."""
    text = (ROOT / "docs/contract.md").read_text()
    table = text[text.index("## 8. HTTP") :]
    told = {
        (method, re.sub(r"\{id\}", "{session_id}", path))
        for method, path in re.findall(r"^\| `(\w+) (/[^?`]*)(?:\?[^`]*)?`", table, re.MULTILINE)
    }
    ours = {(route.method, route.path) for route in ROUTES if not route.path.startswith("/api/system")}
    more = {("GET", "/docs"), ("DELETE", "/api/sessions/{session_id}/participants")}
    assert ours - more == told
    assert more <= ours


def test_every_command_has_a_route() -> None:
    """Nothing can be asked by AMQP alone."""
    assert {route.work for route in ROUTES if not isinstance(route.work, Endpoint)} == set(COMMANDS.values())


@each_route
async def test_each_route_of_the_document_is_served(route: Route) -> None:
    """It answers as the document says: its status, its kind of body, and a scope that is needed."""
    told = operation(route)
    target = re.sub(r"\{\w+\}", "x", route.path)
    target += "?identity=x" if route.required else ""
    async with served() as api:
        if route.work is Endpoint.EVENTS:
            async with api.events() as stream:
                kind, status = stream.answer.content_type, stream.answer.status
        else:
            body = {"user_id": "ann"} if route.body else None
            answer = await api.call(route.method, target, json_=body)
            kind, status = answer.headers.get("Content-Type", "").split(";")[0], answer.status
        assert str(status) in told["responses"]
        assert [kind] == list(told["responses"][str(status)].get("content", {"": None}))
        needed = await api.call(route.method, target, key=None)
        assert (needed.status == 401) == bool(told["security"]) == (route.scope is not None)


@each_route
def test_each_parameter_is_a_field_of_the_command(route: Route) -> None:
    """Path and query are told, with the command's own rules, and nothing else is."""
    told = {one["name"]: one["in"] for one in operation(route).get("parameters", ())}
    assert [name for name, place in told.items() if place == "path"] == list(route.parameters)
    assert [name for name, place in told.items() if place == "query"] == list(route.query)
    if not isinstance(route.work, Endpoint):
        assert {*route.parameters, *route.query} <= set(route.work.model_fields)
        assert ("Idempotency-Key" in told) == (route.method != "GET")


def test_bodies_are_the_commands_without_the_path() -> None:
    """Unknown fields are refused in the document, too."""
    content = document()["paths"]["/api/sessions/{session_id}/guest-token"]["post"]["requestBody"]["content"]
    schema = content["application/json"]["schema"]
    assert set(schema["properties"]) == set(GuestTokenCreate.model_fields) - {"session_id"}
    assert schema["required"] == ["guest_name"]
    assert schema["additionalProperties"] is False
    create = document()["components"]["schemas"]["SessionCreate"]
    assert create["required"] == ["user_id"]


def test_answers_are_the_results_of_commands() -> None:
    """Where HTTP changes nothing the model is the command's own."""
    own = {"june.session.create.v1", "june.session.get.v1", "june.session.delete.v1"}
    for route in ROUTES:
        if not isinstance(route.work, Endpoint) and route.answer and route.work.TYPE not in own:
            assert route.answer is RESULTS[route.work.TYPE]


def test_every_reference_leads_somewhere() -> None:
    """And no component is left over."""
    components = document()["components"]["schemas"]
    found = set(refs(document()))
    assert {ref.rpartition("/")[2] for ref in found} == set(components)


def test_the_document_is_openapi() -> None:
    """By the schema that OpenAPI publishes for its version 3.1, and each schema inside is one of JSON Schema."""
    rules = json.loads(Path(__file__).with_name("openapi-3.1.json").read_text())
    wrong = jsonschema_rs.validator_for(rules).iter_errors(document())
    assert [f"{error.instance_path}: {error.message}" for error in wrong] == []
    found = list(schemas(document()))
    assert len(found) > len(document()["components"]["schemas"])
    assert [schema for schema in found if not jsonschema_rs.meta.is_valid(schema)] == []


def test_ids_of_operations_are_unique() -> None:
    """Clients are generated from them."""
    ids = [operation(route)["operationId"] for route in ROUTES]
    assert len(set(ids)) == len(ids)


def test_every_code_is_told_somewhere() -> None:
    """But for 405, which no method of the document answers."""
    told = {code for route in ROUTES for code in codes_of(route)}
    assert set(Code) - told == {Code.METHOD_NOT_ALLOWED}
    assert set(STATUS) == set(Code)


async def test_the_document_and_its_page_need_no_key_and_nothing_from_elsewhere() -> None:
    """The page is one file without scripts; its policy allows nothing but its own style."""
    async with served() as api:
        assert (await api.call("GET", "/api/openapi.json", key=None)).json == document()
        page = await api.call("GET", "/docs", key=None)
        assert page.status == 200
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        text = page.body.decode()
        assert not re.search(r"<script|https?://|<link|@import|url\(", text)
        assert all(f"<code>{route.path}</code>" in text for route in ROUTES)
        assert (await api.call("HEAD", "/docs", key=None)).body == b""


# The live page's files.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A page, and a secret beside it."""
    page = tmp_path / "page"
    (page / "vendor").mkdir(parents=True)
    (page / "index.html").write_text("<!doctype html>")
    (page / "app.js").write_text("1")
    (page / "vendor/client.js").write_text("2")
    (page / ".hidden.js").write_text("3")
    (page / "readme.md").write_text("4")
    (tmp_path / "secret.js").write_text("5")
    (page / "link.js").symlink_to(tmp_path / "secret.js")
    return page


@pytest.mark.parametrize(
    ("pieces", "found"),
    [
        ([""], "index.html"),
        (["app.js"], "app.js"),
        (["vendor", "client.js"], "vendor/client.js"),
        (["vendor"], None),
        (["nothing.js"], None),
        (["..", "secret.js"], None),
        (["../secret.js"], None),
        (["vendor/client.js"], None),
        (["..\\secret.js"], None),
        (["", "secret.js"], None),
        (["app.js", ""], None),
        ([".hidden.js"], None),
        (["readme.md"], None),
        (["link.js"], None),
        (["app.js\0"], None),
        ([], None),
    ],
)
def test_only_files_of_the_page_are_found(folder: Path, pieces: list[str], found: str | None) -> None:
    """Whatever the path, nothing beside the folder, nothing hidden, nothing that is no part of a page."""
    path = files.find_file(pieces, folder)
    assert path == (None if found is None else folder / found)


async def test_the_page_comes_with_a_strict_policy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts and styles of its own alone, in no frame; unchanged files are not sent again."""
    monkeypatch.setattr(files, "find_file", lambda pieces: _find(pieces, folder))
    async with served() as api:
        page = await api.call("GET", "/?anything=goes", key=None)
        assert (page.status, page.body) == (200, b"<!doctype html>")
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        script = await api.call("GET", "/app.js", key=None)
        assert "javascript" in script.headers["Content-Type"]
        again = await api.call("GET", "/app.js", key=None, headers={"If-None-Match": script.headers["ETag"]})
        assert again.status == 304
        assert (await api.call("GET", "/%2e%2e/secret.js", key=None)).status == 404


_find = files.find_file


async def test_without_a_page_a_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`/` is 200 all the same."""
    monkeypatch.setattr(files, "find_file", lambda pieces: _find(pieces, tmp_path))
    async with served() as api:
        answer = await api.call("GET", "/", key=None)
        assert (answer.status, b"/docs" in answer.body) == (200, True)


# What an operator sees.


async def test_the_system_at_a_glance() -> None:
    """Queues, who consumes them, and the broker's version; a queue that is not there has no numbers."""
    async with served() as api:
        api.look.queues = {
            "june.commands.v1": QueueCounts(ready=3, consumers=2),
            "june.stt.jobs.v1": QueueCounts(ready=0, consumers=5),
        }
        told = (await api.call("GET", "/api/system", key="operator")).json
        assert told["workers"] == 2
        assert told["broker"] == {"server": "RabbitMQ 4.0.5", "blocked": None}
        assert told["job_lease_s"] == 45
        assert told["stt"] == {"name": "june.stt.jobs.v1", "waiting": 0, "consumers": 5}
        assert told["ai"] == {"name": "june.ai.jobs.v1", "waiting": None, "consumers": None}


async def test_partitions_are_all_there_in_order() -> None:
    """Sixteen of them, with how many workers hold or await each."""
    async with served() as api:
        api.look.queues = {f"june.rooms.v1.p{n:02d}": QueueCounts(ready=n, consumers=1) for n in range(16)}
        told = (await api.call("GET", "/api/system/partitions", key="operator")).json["partitions"]
        assert [one["partition"] for one in told] == [f"p{n:02d}" for n in range(16)]
        assert [one["waiting"] for one in told] == list(range(16))


async def test_dead_letters_are_told_without_their_bodies() -> None:
    """A body may hold a token; headers that are not June's own, or not of their kind, are nothing."""
    headers = {
        "reason": "invalid",
        "error": "no",
        "origin_exchange": "june.commands",
        "origin_routing_key": "k",
        "attempts": 2,
        "failed_at": 1795374003000,
    }
    async with served() as api:
        api.look.queues = {"june.dead.v1": QueueCounts(ready=7, consumers=0)}
        api.look.dead = [
            incoming(b"secret token", message_id="m1", type="t", headers=headers),
            incoming(b"", headers={"reason": 5, "attempts": "x", "failed_at": 10**30}),
        ]
        answer = await api.call("GET", "/api/system/dead-letters", key="operator")
        assert b"secret" not in answer.body
        assert answer.json["waiting"] == 7
        first, second = answer.json["dead_letters"]
        assert first == {
            "message_id": "m1",
            "type": "t",
            **headers,
            "failed_at": "2026-11-22T19:00:03.000Z",
            "size_bytes": 12,
        }
        assert (second["reason"], second["attempts"], second["failed_at"]) == ("", 0, None)
        json.dumps(answer.json)


async def test_the_system_without_a_broker_is_503() -> None:
    """Nothing is guessed."""
    async with served() as api:
        api.look.down = True
        assert (await api.call("GET", "/api/system")).status == 503
