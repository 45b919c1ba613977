"""The AsyncAPI 3.0 document, made from the registry and the topology, so that it cannot disagree with them.

`python -m schemas.asyncapi` prints it as JSON. Operations are June's: it receives commands and reports, and
sends everything else.
"""

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from schemas.envelope import CONTENT_TYPE
from schemas.registry import REGISTRY, RESULTS, Direction, Entry
from schemas.topology import TOPOLOGY, Queue

Json = dict[str, Any]

REPLIES_CHANNEL = "replies"
_INCOMING = (Direction.COMMAND, Direction.REPORT)
_REQUIRED = ["specversion", "id", "source", "type", "data"]
_TEXT_OR_NULL: Json = {"type": ["string", "null"]}
_AMQP_VERSION = "0.3.0"


def document(version: str = "1.0.0") -> Json:
    """The whole document; `version` is that of the contract."""
    data_schemas, components = _schemas()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "June Orchestrator",
            "version": version,
            "description": "CloudEvents 1.0 in structured JSON, over AMQP 0-9-1.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": {**_exchange_channels(), **_queue_channels(), REPLIES_CHANNEL: _reply_channel()},
        "operations": {entry.name: _operation(entry) for entry in REGISTRY.values()},
        "components": {
            "messages": {entry.name: _message(entry, data_schemas) for entry in REGISTRY.values()},
            "schemas": {"Envelope": _envelope_schema(), **components},
        },
    }


def _ref(*path: str) -> Json:
    return {"$ref": "#/" + "/".join(path)}


def _channel_of(entry: Entry) -> str:
    return entry.exchange or REPLIES_CHANNEL


def _message_refs(entries: Iterable[Entry]) -> Json:
    return {entry.name: _ref("components", "messages", entry.name) for entry in entries}


def _exchange_channels() -> Json:
    return {
        exchange.name: {
            "address": exchange.name,
            "messages": _message_refs(
                entry for entry in REGISTRY.values() if entry.exchange == exchange.name
            ),
            "bindings": {
                "amqp": {
                    "is": "routingKey",
                    "exchange": {
                        "name": exchange.name,
                        "type": exchange.kind,
                        "durable": True,
                        "autoDelete": False,
                    },
                    "bindingVersion": _AMQP_VERSION,
                }
            },
        }
        for exchange in TOPOLOGY.exchanges
    }


def _queue_channels() -> Json:
    return {queue.name: _queue_channel(queue) for queue in TOPOLOGY.queues}


def _queue_channel(queue: Queue) -> Json:
    return {
        "address": queue.name,
        "messages": _message_refs(entry for entry in REGISTRY.values() if _reaches(entry, queue)),
        "bindings": {
            "amqp": {
                "is": "queue",
                "queue": {"name": queue.name, "durable": True, "exclusive": False, "autoDelete": False},
                "bindingVersion": _AMQP_VERSION,
            }
        },
        "x-arguments": dict(queue.arguments),
        "x-bound-to": [
            {"exchange": binding.exchange, "routing_key": binding.routing_key} for binding in queue.bindings
        ],
    }


def _reaches(entry: Entry, queue: Queue) -> bool:
    # Reports have a partition's key, everything else its type: so a key is "#", the type, or a partition's.
    return any(
        binding.exchange == entry.exchange
        and (entry.direction is Direction.REPORT or binding.routing_key in {"#", entry.name})
        for binding in queue.bindings
    )


def _reply_channel() -> Json:
    return {
        "address": None,
        "description": "The sender's `reply_to` queue, by the default exchange, with its `correlation_id`.",
        "messages": _message_refs(entry for entry in REGISTRY.values() if entry.direction is Direction.REPLY),
    }


def _operation(entry: Entry) -> Json:
    channel = _channel_of(entry)
    operation: Json = {
        "action": "receive" if entry.direction in _INCOMING else "send",
        "channel": _ref("channels", channel),
        "summary": _summary(entry.models[0]),
        "messages": [_ref("channels", channel, "messages", entry.name)],
    }
    if entry.direction is Direction.COMMAND:
        operation["reply"] = {
            "address": {"location": "$message.header#/reply_to"},
            "channel": _ref("channels", REPLIES_CHANNEL),
        }
    return operation


def _message(entry: Entry, data_schemas: Mapping[type[BaseModel], Json]) -> Json:
    data = [data_schemas[model] for model in entry.models]
    message: Json = {
        "name": entry.name,
        "summary": _summary(entry.models[0]),
        "contentType": CONTENT_TYPE,
        "payload": {
            "allOf": [
                _ref("components", "schemas", "Envelope"),
                {
                    "properties": {
                        "type": {"const": entry.name},
                        "data": data[0] if len(data) == 1 else {"oneOf": data},
                    }
                },
            ]
        },
    }
    if entry.direction is Direction.COMMAND:
        message["x-result"] = data_schemas[RESULTS[entry.name]]
    return message


def _summary(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").split("\n", 1)[0]


def _schemas() -> tuple[dict[type[BaseModel], Json], Json]:
    """The schema of each data and result model, and what they refer to."""
    wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (model, "validation" if entry.direction in _INCOMING else "serialization")
        for entry in REGISTRY.values()
        for model in entry.models
    ]
    wanted += [(result, "serialization") for result in dict.fromkeys(RESULTS.values())]
    by_model, definitions = models_json_schema(wanted, ref_template="#/components/schemas/{model}")
    return {model: by_model[model, mode] for model, mode in wanted}, definitions["$defs"]


def _envelope_schema() -> Json:
    name: Json = {"type": "string", "minLength": 1, "maxLength": 255}
    return {
        "type": "object",
        "required": _REQUIRED,
        "properties": {
            "specversion": {"const": "1.0"},
            "id": name,
            "source": name,
            "type": name,
            "subject": _TEXT_OR_NULL,
            "time": {"type": ["string", "null"], "format": "date-time"},
            "datacontenttype": _TEXT_OR_NULL,
            "partitionkey": _TEXT_OR_NULL,
            "sequence": _TEXT_OR_NULL,
            "traceparent": _TEXT_OR_NULL,
            "data": {"type": "object"},
        },
    }


if __name__ == "__main__":
    json.dump(document(), sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")
