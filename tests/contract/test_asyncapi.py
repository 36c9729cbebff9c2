"""The providers' AsyncAPI document is valid, and its examples are what its schemas say."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from docs.asyncapi import STREAMS, asyncapi
from shared.messages import registry

SCHEMA = json.loads((Path(__file__).parent / "asyncapi" / "asyncapi-3.0.0.schema.json").read_text())
DOCUMENT: dict[str, Any] = json.loads(asyncapi())
FOR_PROVIDERS = sorted(one.__name__ for one in registry.values() if one.stream in STREAMS)


def test_the_document_is_valid_by_the_official_schema() -> None:
    faults = [
        f"{list(one.absolute_path)}: {one.message}"[:300]
        for one in Draft7Validator(SCHEMA).iter_errors(DOCUMENT)
    ]
    assert faults == []
    broken = {**DOCUMENT, "channels": {"x": {"address": 1}}}
    assert not Draft7Validator(SCHEMA).is_valid(broken)


def test_every_message_of_a_providers_topics_is_in_it_and_no_other() -> None:
    assert sorted(DOCUMENT["components"]["messages"]) == FOR_PROVIDERS
    named = [name for channel in DOCUMENT["channels"].values() for name in channel["messages"]]
    assert sorted(named) == FOR_PROVIDERS


@pytest.mark.parametrize("name", FOR_PROVIDERS)
def test_every_example_is_what_its_schema_says(name: str) -> None:
    payload = DOCUMENT["components"]["messages"][name]["examples"][0]["payload"]
    schemas = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    Draft202012Validator(schemas).validate(payload)
