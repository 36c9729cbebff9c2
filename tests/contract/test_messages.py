"""The contract: every message has an example, a schema, a sender and a reader, and nothing changes by accident."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from pydantic import ValidationError

from docs.generate import SCHEMAS, handled_by, said_by, sender_of
from shared.envelope import Actor, Envelope, read_headers
from shared.messages import Message, Order, registry
from shared.messages.providers import ProviderMessage

EXAMPLES = SCHEMAS.parent / "examples"
PEOPLE_AND_PROVIDERS = {"invitations.", "notices.", "notification.events"}


@pytest.mark.parametrize("type_", sorted(registry))
def test_every_message_has_an_example_that_it_accepts_and_writes_again(type_: str) -> None:
    body = (EXAMPLES / f"{type_}.json").read_bytes()
    message = registry[type_].model_validate_json(body)
    assert json.loads(message.to_bytes()) == json.loads(body)


def test_no_example_and_no_schema_is_an_orphan() -> None:
    assert {file.stem for file in EXAMPLES.glob("*.json")} == set(registry)
    assert {file.stem for file in SCHEMAS.glob("*.json")} == set(registry)


@pytest.mark.parametrize("type_", sorted(registry))
def test_a_message_entered_the_registry_together_with_its_sender_and_its_handler(type_: str) -> None:
    message = registry[type_]
    assert sender_of(message, said_by()), f"nobody says {message.__name__}"
    if message.stream not in PEOPLE_AND_PROVIDERS:
        refusal_or_fact_for_people = message.__name__.endswith("Refused") or message.__name__ in FOR_PEOPLE
        assert handled_by().get(message.__name__) or refusal_or_fact_for_people, (
            f"nobody reads {message.__name__}"
        )


FOR_PEOPLE = {
    "BillingPreferencesSet",
    "BuyerLeft",
    "BuyerVerified",
    "DocumentAttached",
    "EvidencePart",
    "NeedDescribed",
    "ProviderListSet",
    "RepliesOpened",
    "RequestDrafted",
    "TermsDocumentPart",
    "UsageReported",
}
"""Facts that only people read: by the portal, or the officer."""


@pytest.mark.parametrize("type_", sorted(registry))
def test_amounts_never_travel_as_json_numbers(type_: str) -> None:
    def numbers(schema: Any) -> list[str]:
        if isinstance(schema, dict):
            found = [schema.get("title", "?")] if schema.get("type") == "number" else []
            return found + [name for value in schema.values() for name in numbers(value)]
        if isinstance(schema, list):
            return [name for value in schema for name in numbers(value)]
        return []

    assert numbers(registry[type_].model_json_schema(mode="serialization")) == []


@pytest.mark.parametrize("type_", sorted(registry))
def test_orders_and_providers_messages_refuse_unknown_fields_and_facts_ignore_them(type_: str) -> None:
    message = registry[type_]
    body = json.loads((EXAMPLES / f"{type_}.json").read_bytes()) | {"added_by_somebody": 1}
    strict = issubclass(message, Order | ProviderMessage)
    if strict:
        with pytest.raises(ValidationError):
            message.model_validate_json(json.dumps(body))
    else:
        message.model_validate_json(json.dumps(body))


def test_an_official_library_reads_our_headers_as_a_cloud_event() -> None:
    message = next(iter(registry.values()))
    id_ = UUID(int=1)
    envelope = Envelope(
        id=id_,
        type=message.type(),
        source="/linepool/aggregation",
        subject="s",
        time=datetime(2026, 5, 1, tzinfo=UTC),
        sequence=3,
        correlation_id=id_,
        causation_id=id_,
        actor=Actor(person_id=id_, role="coordinator"),
    )
    record = KafkaMessage(headers=dict(envelope.to_headers()), key=b"k", value=b"{}")
    event = from_binary(record, JSONFormat(), CloudEvent)
    assert event.get_id() == str(id_)
    assert event.get_type() == message.type()
    assert event.get_extension("sequence") == "3"


def test_what_was_written_into_headers_is_read_back() -> None:
    id_ = UUID(int=7)
    envelope = Envelope(
        id=id_,
        type="t",
        source="/s",
        subject="x",
        time=datetime(2026, 5, 1, tzinfo=UTC),
        sequence=3,
        correlation_id=id_,
        causation_id=UUID(int=8),
        decision_id=UUID(int=9),
        actor=Actor(person_id=id_, role="coordinator"),
    )
    read = read_headers(envelope.to_headers())
    assert (read.id, read.sequence, read.causation_id, read.decision_id, read.actor) == (
        str(id_),
        3,
        UUID(int=8),
        UUID(int=9),
        envelope.actor,
    )


@pytest.mark.parametrize(
    "headers",
    [
        [("ce_id", None)],
        [("ce_id", b"\xff\xfe")],
        [("ce_sequence", b"9" * 400)],
        [("ce_sequence", "٣".encode())],
        [("ce_time", b"yesterday")],
        [("ce_actor", b'{"role":"god"}')],
        [("ce_actor", b"[" * 10_000)],
    ],
)
def test_no_header_can_make_reading_fail(headers: list[tuple[str, bytes | None]]) -> None:
    read = read_headers(headers)
    assert (read.sequence, read.time, read.actor) == (None, None, None)


def test_a_message_is_frozen() -> None:
    file: Path = next(EXAMPLES.glob("linepool.group-opened.v1.json"))
    message: Message = registry[file.stem].model_validate_json(file.read_bytes())
    with pytest.raises(ValidationError):
        message.purchase_id = UUID(int=1)  # type: ignore[attr-defined]
