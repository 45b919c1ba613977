"""The AsyncAPI document says all that there is."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from schemas.asyncapi import document
from schemas.envelope import encode
from schemas.registry import REGISTRY, RESULTS
from schemas.topology import TOPOLOGY
from tests.unit.schemas.examples import EXAMPLES

DOCUMENT = document()


def _references(value: Any) -> Iterator[str]:
    match value:
        case dict():
            if "$ref" in value:
                yield value["$ref"]
            for inner in value.values():
                yield from _references(inner)
        case list():
            for inner in value:
                yield from _references(inner)


def test_every_type_is_a_message_and_an_operation() -> None:
    """No message type is left out."""
    assert set(DOCUMENT["components"]["messages"]) == set(REGISTRY)
    assert set(DOCUMENT["operations"]) == set(REGISTRY)


def test_every_exchange_and_queue_is_a_channel() -> None:
    """No queue is left out."""
    names = {exchange.name for exchange in TOPOLOGY.exchanges} | {queue.name for queue in TOPOLOGY.queues}
    assert set(DOCUMENT["channels"]) == names | {"replies"}


def test_every_reference_leads_somewhere() -> None:
    """The document refers to nothing that it does not hold, and can be written as JSON."""
    whole = json.loads(json.dumps(DOCUMENT))
    references = set(_references(whole))
    assert references
    for reference in references:
        found = whole
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) & set(REGISTRY)))
def test_every_field_that_is_sent_is_described(name: str) -> None:
    """The schema of a message has exactly the fields that its example has."""
    message = DOCUMENT["components"]["messages"][name]
    schema = message["payload"]["allOf"][1]["properties"]["data"]["$ref"].rsplit("/", 1)[1]
    example = json.loads(encode(EXAMPLES[name]))
    assert set(DOCUMENT["components"]["schemas"][schema]["properties"]) == set(example["data"])


def test_every_command_has_a_result() -> None:
    """Who sends a command can look up what comes back."""
    messages = DOCUMENT["components"]["messages"]
    assert {name for name, message in messages.items() if "x-result" in message} == set(RESULTS)


def test_a_work_queue_carries_its_one_type() -> None:
    """An STT service sees at once what is in its queue."""
    assert list(DOCUMENT["channels"]["june.stt.jobs.v1"]["messages"]) == ["june.stt.start.v1"]
