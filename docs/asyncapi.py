"""Writes docs/providers/asyncapi.json, AsyncAPI 3.0: what a provider reads and writes, from contract and access rules."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from deploy.access import model
from linepool.provider.request import RequestContent, UsageLines
from shared.messages import Message, registry

EXAMPLES = Path(__file__).parents[1] / "shared" / "messages" / "examples"
STREAMS = {
    "invitations.": ("receive", "Requests, their documents, answers to questions, cancellations."),
    "notices.": ("receive", "Receipts and rejections, checkpoints and proofs, results."),
    "replies.": ("send", "All that a provider says."),
}
"""What a provider does with each of its three topics."""
_PID = "aaaaaaaaaaaa"


def asyncapi() -> str:
    """Return the document as JSON."""
    schemas: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    limits = {one.name.replace(_PID, ""): one for one in model.provider_topics(_PID)}
    for stream, (action, summary) in STREAMS.items():
        name = stream.rstrip(".")
        types = [message for message in registry.values() if message.stream == stream]
        for message in types:
            schemas[message.__name__] = _schema(message.model_json_schema(), schemas)
            messages[message.__name__] = _message(message)
        channels[name] = {
            "address": stream + "{providerId}",
            "description": summary,
            "parameters": {"providerId": {"description": "The id in your bundle's linepool.json."}},
            "messages": {one.__name__: {"$ref": f"#/components/messages/{one.__name__}"} for one in types},
            "bindings": {
                "kafka": {
                    "partitions": limits[stream].partitions,
                    "topicConfiguration": {
                        "retention.ms": limits[stream].retention_ms,
                        "max.message.bytes": limits[stream].max_message_bytes,
                    },
                    "bindingVersion": "0.5.0",
                }
            },
        }
        operations[f"{action}_{name}"] = {
            "action": action,
            "summary": summary,
            "channel": {"$ref": f"#/channels/{name}"},
            "messages": [{"$ref": f"#/channels/{name}/messages/{one.__name__}"} for one in types],
        }
    for document in (RequestContent, UsageLines):
        schemas[document.__name__] = _schema(document.model_json_schema(), schemas)
    return _json(
        {
            "asyncapi": "3.0.0",
            "info": {
                "title": "Linepool for providers",
                "version": "1.0.0",
                "description": "What a provider reads and writes. Written by `make generate`; docs/providers.md explains it.",
                "license": {"name": "Apache-2.0"},
            },
            "defaultContentType": "application/json",
            "servers": {
                "kafka": {
                    "host": "{bootstrapServers}",
                    "protocol": "kafka-secure",
                    "description": "The address and login stand in your bundle; a prefix may stand before every topic.",
                    "variables": {"bootstrapServers": {"description": "bootstrap_servers of linepool.json."}},
                    "security": [{"$ref": "#/components/securitySchemes/password"}],
                }
            },
            "channels": channels,
            "operations": operations,
            "components": {
                "securitySchemes": {"password": {"type": "scramSha512"}},
                "messages": messages,
                "schemas": schemas,
            },
        }
    )


def _message(message: type[Message]) -> dict[str, Any]:
    type_ = message.type()
    example = json.loads((EXAMPLES / f"{type_}.json").read_text())
    return {
        "name": type_,
        "title": message.__name__,
        "summary": (message.__doc__ or "").strip().split("\n")[0],
        "contentType": "application/json",
        "headers": {
            "type": "object",
            "required": ["ce_id", "ce_type"],
            "properties": {
                "ce_specversion": {"type": "string", "const": "1.0"},
                "ce_id": {"type": "string", "minLength": 1, "maxLength": 200},
                "ce_type": {"type": "string", "const": type_},
            },
        },
        "payload": {"$ref": f"#/components/schemas/{message.__name__}"},
        "examples": [{"name": "example", "payload": example}],
    }


def _schema(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    """Move what a schema defines for itself to the common place, and point there."""
    # A part that is read and sent is open to new fields in the one, and strict in the other: two shapes, two names.
    names = {
        name: name if schemas.get(name, shape) == shape else f"Sent{name}"
        for name, inner in schema.get("$defs", {}).items()
        for shape in [_pointed(inner)]
    }
    for name, inner in schema.pop("$defs", {}).items():
        schemas[names[name]] = _pointed(inner, names)
    return _pointed(schema, names)


def _pointed(value: Any, names: Mapping[str, str] = MappingProxyType({})) -> Any:
    if isinstance(value, dict):
        return {
            name: _common(inner, names)
            if name == "$ref"
            else _without_mapping(_pointed(inner, names))
            if name == "discriminator"
            else _pointed(inner, names)
            for name, inner in value.items()
        }
    return [_pointed(one, names) for one in value] if isinstance(value, list) else value


def _common(reference: str, names: Mapping[str, str]) -> str:
    name = reference.removeprefix("#/$defs/")
    return f"#/components/schemas/{names.get(name, name)}"


def _without_mapping(discriminator: Any) -> Any:
    # OpenAPI has an object here, AsyncAPI the property's name.
    return discriminator["propertyName"] if isinstance(discriminator, dict) else discriminator


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, sort_keys=True) + "\n"
