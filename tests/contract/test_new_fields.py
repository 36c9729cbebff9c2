"""What providers read may get new fields at every depth, as docs/providers.md promises; what they send may not."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from docs.asyncapi import STREAMS, asyncapi
from docs.generate import SCHEMAS
from linepool.provider.request import RequestContent, UsageLines
from services.bidding.domain.box import NoOffer
from services.bidding.reading import read_offer
from shared.messages import Message, Order, registry
from shared.messages.providers import ProviderMessage
from tests.flow.purchase import an_offer

EXAMPLES = SCHEMAS.parent / "examples"
COMPONENTS = json.loads(asyncapi())["components"]
NEW = {"added_later": {"deeper": [1]}}
RECEIVED = sorted(
    type_
    for type_, message in registry.items()
    if message.stream in STREAMS and not issubclass(message, ProviderMessage)
)
SENT = sorted(type_ for type_, message in registry.items() if issubclass(message, ProviderMessage))
FACTS = sorted(
    type_ for type_, message in registry.items() if not issubclass(message, Order | ProviderMessage)
)
CONTENT: dict[str, Any] = {
    "purchase_id": "6b1f1d0e-0000-4000-8000-000000000001",
    "request_version": 1,
    "group": "Harbour towns",
    "currency": "EUR",
    "tax_basis": "net",
    "need": {
        "title": "Lines",
        "description": "All fixed lines.",
        "services": [{"service": "voice.day", "unit": "MIN", "description": "Calls by day"}],
        "places": ["Aal"],
        "deadline": "2026-06-01T12:00:00Z",
        "contract_months": 24,
        "mode": "transmit",
        "buyers_shown": "named",
        "custodian": {"name": "Meier", "public_key": "LBs7tagGgU83Le8/swkVNBRSvYHDWTJcuKlVXMPyH00="},
    },
    "usage_period": {"start": "2026-05-01", "end": "2026-05-31", "months": 1},
    "usage_digest": "0" * 64,
    "buyers": [
        {
            "buyer": "B1",
            "legal_name": "Town 1",
            "identifiers": [{"scheme": "XI-LEI", "id": "5299000J2N45DDNE4Y28"}],
            "billing_preferences": {
                "format": "ubl",
                "frequency": "monthly",
                "payment_days": 30,
                "medium": "peppol",
            },
            "lines": 1,
            "usage": [{"service": "voice.day", "unit": "MIN", "quantity": "1"}],
        }
    ],
}
LINES: dict[str, Any] = {
    "lines": [
        {"buyer": "B1", "line": "L1", "services": [{"service": "voice.day", "unit": "MIN", "quantity": "1"}]}
    ]
}


def example(type_: str) -> Any:
    return json.loads((EXAMPLES / f"{type_}.json").read_bytes())


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object in a piece of JSON, the outermost first; a map, whose keys are ids, has no fields."""
    if isinstance(value, dict) and all(name.isidentifier() for name in value):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(inner)


def with_new_fields(value: Any) -> Any:
    """Return the same with a new field in every object."""
    grown = deepcopy(value)
    for one in list(objects(grown)):
        one.update(NEW)
    return grown


def each_with_one_new_field(value: Any) -> Iterator[Any]:
    for place, _ in enumerate(objects(value)):
        grown = deepcopy(value)
        list(objects(grown))[place].update(NEW)
        yield grown


@pytest.mark.parametrize("type_", FACTS)
def test_a_fact_with_new_fields_at_every_depth_reads_as_the_one_without(type_: str) -> None:
    model: type[Message] = registry[type_]
    grown = with_new_fields(example(type_))
    assert model.model_validate_json(json.dumps(grown)) == model.model_validate(example(type_))
    assert model.model_validate(grown) == model.model_validate(example(type_))


@pytest.mark.parametrize("type_", RECEIVED)
def test_published_schemas_allow_new_fields_at_every_depth_in_what_providers_read(type_: str) -> None:
    grown = with_new_fields(example(type_))
    Draft202012Validator(json.loads((SCHEMAS / f"{type_}.json").read_text())).validate(grown)
    published = {"$ref": f"#/components/schemas/{registry[type_].__name__}", "components": COMPONENTS}
    Draft202012Validator(published).validate(grown)


@pytest.mark.parametrize(("document", "content"), [(RequestContent, CONTENT), (UsageLines, LINES)])
def test_documents_with_new_fields_at_every_depth_read_as_those_without(
    document: type[RequestContent | UsageLines], content: dict[str, Any]
) -> None:
    grown = with_new_fields(content)
    assert document.model_validate_json(json.dumps(grown)) == document.model_validate(content)
    published = {"$ref": f"#/components/schemas/{document.__name__}", "components": COMPONENTS}
    Draft202012Validator(published).validate(grown)


@pytest.mark.parametrize("type_", SENT)
def test_what_a_provider_sends_is_refused_for_a_new_field_at_any_depth(type_: str) -> None:
    published = {"$ref": f"#/components/schemas/{registry[type_].__name__}", "components": COMPONENTS}
    validator = Draft202012Validator(published)
    validator.validate(example(type_))
    for grown in each_with_one_new_field(example(type_)):
        assert not validator.is_valid(grown)
        with pytest.raises(ValidationError):
            registry[type_].model_validate_json(json.dumps(grown))


def test_what_is_in_a_seal_is_refused_for_a_new_field_at_any_depth() -> None:
    offer = json.loads(an_offer("0.12", line_fee="1.00").model_dump_json())
    assert not isinstance(read_offer(json.dumps(offer).encode()), NoOffer)
    for grown in each_with_one_new_field(offer):
        assert isinstance(read_offer(json.dumps(grown).encode()), NoOffer)
