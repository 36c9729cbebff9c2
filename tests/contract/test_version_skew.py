"""This release and the one before run side by side: each understands what the other says."""

import json
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from shared.messages import Order, registry
from shared.messages.providers import ProviderMessage
from tests.contract.released import FILE, breaks, contract

RELEASED: dict[str, Any] = json.loads(FILE.read_text())
MESSAGES: dict[str, Any] = RELEASED["messages"]
FACTS = sorted(
    type_
    for type_ in MESSAGES
    if type_ in registry and not issubclass(registry[type_], Order | ProviderMessage)
)
ALLOWED: dict[str, dict[str, str]] = {}
"""By type: what breaks and is meant to, each with the reason why nobody is harmed."""


@pytest.mark.parametrize("type_", sorted(MESSAGES))
def test_no_message_changed_so_that_the_other_release_would_not_understand_it(type_: str) -> None:
    assert type_ in registry, "gone: what the release before says would be parked"
    assert registry[type_].stream == MESSAGES[type_]["stream"], "it travels elsewhere"
    found = breaks(MESSAGES[type_]["schema"], registry[type_].model_json_schema())
    assert sorted(found) == sorted(ALLOWED.get(type_, {}))


@pytest.mark.parametrize("type_", sorted(MESSAGES))
def test_what_the_release_before_says_is_read(type_: str) -> None:
    said = json.dumps(MESSAGES[type_]["example"]).encode()
    assert registry[type_].model_validate_json(said).to_bytes()


@pytest.mark.parametrize("type_", FACTS)
def test_what_this_release_says_is_read_by_the_one_before(type_: str) -> None:
    said = contract_now()[type_]["example"]
    Draft202012Validator(MESSAGES[type_]["schema"]).validate(said)


@cache
def contract_now() -> dict[str, Any]:
    found: dict[str, Any] = contract()["messages"]
    return found


def remove(schema: dict[str, Any]) -> None:
    del schema["properties"]["name"]


def rename(schema: dict[str, Any]) -> None:
    schema["properties"]["title"] = schema["properties"].pop("name")


def demand(schema: dict[str, Any]) -> None:
    schema["properties"]["added"] = {"type": "string"}
    schema["required"].append("added")


def retype(schema: dict[str, Any]) -> None:
    schema["properties"]["name"]["type"] = "integer"


def narrow(schema: dict[str, Any]) -> None:
    schema["properties"]["name"]["maxLength"] = 10


def widen(schema: dict[str, Any]) -> None:
    schema["properties"]["tax_basis"]["enum"].append("mixed")


def forbid(schema: dict[str, Any]) -> None:
    schema["additionalProperties"] = False


@pytest.mark.parametrize("change", [remove, rename, demand, retype, narrow, widen, forbid])
def test_a_change_that_breaks_a_reader_is_found(change: Callable[[dict[str, Any]], None]) -> None:
    before = MESSAGES["linepool.group-opened.v1"]["schema"]
    now = deepcopy(before)
    change(now)
    assert breaks(before, now) != []


def test_a_change_in_a_part_within_a_part_is_found() -> None:
    before = MESSAGES["linepool.replies-opened.v1"]["schema"]
    now = deepcopy(before)
    now["$defs"]["OpenedReply"]["properties"]["reason"] = {"type": "string"}
    assert any("/replies/items/reason" in one for one in breaks(before, now))


def test_a_field_that_is_added_with_a_default_breaks_nobody() -> None:
    before = MESSAGES["linepool.group-opened.v1"]["schema"]
    now = deepcopy(before)
    now["properties"]["added"] = {"type": "string", "default": ""}
    now["description"] = "Other words."
    assert breaks(before, now) == []


def test_every_exception_is_one_that_is_still_needed() -> None:
    assert set(ALLOWED) <= set(MESSAGES)
