"""`docs/messages.md`, made from the AsyncAPI document and the golden examples: every message, field by field.

A test compares, so that no message changes without its page.
"""

import json
from pathlib import Path

from deploy.docs.tables import Json, rows, table
from schemas.asyncapi import document
from schemas.registry import REGISTRY, Direction, Entry

GOLDEN = Path(__file__).parents[2] / "tests" / "golden"

HEAD = """\
# Messages

Every type that June takes or sends, field by field. This page is made by `make docs` from the same
models that read and write the messages. What they mean, and in which order they come, is in the
[contract](contract.md).

- Each is the `data` of an envelope: CloudEvents 1.0 in structured JSON.
- What June sends has every field, with `null` where there is no value. What others send may leave out the fields
  marked `?`; `null` is the same as leaving one out.
- `a.b` is a field `b` of the object `a`; `a[].b` is in each entry of the array `a`.

For tools: `python -m schemas.asyncapi` prints the AsyncAPI 3 document.
"""

SECTIONS = {
    Direction.COMMAND: ("Commands", "To the exchange `june.commands`, with the type as routing key."),
    Direction.REPLY: ("Replies", "To the command's `reply_to`, with its `correlation_id`."),
    Direction.EVENT: ("Events", "From the exchange `june.events`, with the type as routing key."),
    Direction.PIPELINE: ("Pipeline", "From the exchange `june.pipeline`, with the type as routing key."),
    Direction.REPORT: ("Reports", "To the `report_to` that the job carries."),
}


def page() -> str:
    """The whole page."""
    api = document()
    parts = [HEAD]
    for direction, (title, where) in SECTIONS.items():
        parts.append(f"## {title}\n\n{where}\n")
        parts += [_message(api, entry) for entry in REGISTRY.values() if entry.direction is direction]
    return "\n".join(parts)


def _message(api: Json, entry: Entry) -> str:
    message = api["components"]["messages"][entry.name]
    data = message["payload"]["allOf"][1]["properties"]["data"]
    variants = data.get("oneOf", [data])
    parts = [f"### {entry.name}\n", f"{message['summary']}\n"]
    parts += [table("field", rows(api, variant)) for variant in variants]
    if "x-result" in message:
        parts.append(table("result", rows(api, message["x-result"])))
    parts += [_example(path) for path in _golden(entry)]
    return "\n".join(parts)


def _golden(entry: Entry) -> list[Path]:
    """Its examples: one, but a reply's are an error, and shown with each command the result."""
    if entry.direction is Direction.REPLY:
        return [GOLDEN / f"{entry.name}.error.json"]
    mine = GOLDEN / f"{entry.name}.json"
    if entry.direction is Direction.COMMAND:
        short = entry.name.removeprefix("june.").removesuffix(".v1")
        return [mine, GOLDEN / f"june.reply.v1.{short}.json"]
    return [mine]


def _example(path: Path) -> str:
    name = "Reply" if path.name.startswith("june.reply.v1.") else "Example"
    body = json.dumps(json.loads(path.read_text("utf-8")), indent=2, ensure_ascii=False)
    inner = "\n".join(f"    {line}" for line in ("```json", *body.splitlines(), "```"))
    return f'??? example "{name}"\n\n{inner}\n'
