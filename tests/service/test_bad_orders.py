"""Orders that people and their tools get wrong: each is refused in one sentence that names the place."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.aggregation.app import build
from services.aggregation.settings import Settings
from shared.envelope import Actor, command_headers
from shared.messages import registry
from shared.messages.base import Refused
from shared.sealing import private_key, public_key_b64
from tests.contract.test_messages import EXAMPLES
from tests.memory import TEST_SETTINGS, MemoryKafka, running

PERSON = uuid4()
PURCHASE = uuid4()


def example(name: str, **changes: Any) -> tuple[str, dict[str, Any]]:
    type_ = f"linepool.{name}.v1"
    body = json.loads((EXAMPLES / f"{type_}.json").read_text()) | {"purchase_id": str(PURCHASE)} | changes
    return type_, body


def opening(**changes: Any) -> tuple[str, dict[str, Any]]:
    contact = {"person_id": str(PERSON), "name": "Ada", "email": "ada@example.org"}
    return example("open-group", contact=contact, currency="EUR", **changes)


def give(kafka: MemoryKafka, type_: str, body: dict[str, Any]) -> UUID:
    """Append an order whose body no model of ours has checked."""
    id_ = uuid4()
    model = registry[type_]
    sound = model.model_validate_json((EXAMPLES / f"{type_}.json").read_bytes())
    actor = Actor(person_id=PERSON, role="coordinator")
    now = datetime.now(UTC)
    headers = [
        (name, value)
        for name, value in command_headers(sound, id=id_, actor=actor, source="/test", time=now)
        if name != "ce_subject"
    ]
    headers.append(("ce_subject", str(PURCHASE).encode()))
    kafka.append(model.stream, json.dumps(body).encode(), headers, str(PURCHASE).encode())
    return id_


def lines(count: int) -> list[dict[str, Any]]:
    return [
        {
            "line_id": f"L-{number:05d}",
            "services": [{"service": "voice.day", "quantity": "10.5", "unit": "MIN", "charged": "1.79"}],
            "recurring_charged": "0.00",
            "exit_fee": "0.00",
        }
        for number in range(count)
    ]


@pytest.fixture
def sealing_key() -> str:
    return public_key_b64(private_key(b"n" * 32, "test"))


async def refusals(
    database: str, sealing_key: str, *orders: tuple[str, dict[str, Any]]
) -> list[tuple[str, str]]:
    """Give orders to a running service; return (reason, detail) of each that was refused, in order."""
    kafka = MemoryKafka()
    settings = Settings(**{**TEST_SETTINGS, "postgres_dsn": database, "notification_public_key": sealing_key})
    async with running(build(settings), kafka):
        for order in orders:
            give(kafka, *order)
        await kafka.settle()
    return [
        (one.reason, one.detail) for one in kafka.messages("aggregation.events") if isinstance(one, Refused)
    ]


async def test_an_unknown_currency_is_refused(database: str, sealing_key: str) -> None:
    type_, body = opening()
    [(reason, detail)] = await refusals(database, sealing_key, (type_, body | {"currency": "ZZZ"}))
    assert reason == "invalid"
    assert detail.startswith("currency: ")


async def test_a_buyer_twice_is_refused_the_second_time(database: str, sealing_key: str) -> None:
    type_, buyer = example("add-buyer")
    renamed = (type_, buyer | {"legal_name": "Another name"})
    under_another_id = (type_, buyer | {"buyer_id": str(uuid4())})
    # Exactly the same once more changes nothing, and is no fault.
    orders = [opening(), (type_, buyer), (type_, buyer), renamed, under_another_id]
    found = await refusals(database, sealing_key, *orders)
    assert [reason for reason, _ in found] == ["buyer_exists", "organisation_is_member"]


@pytest.mark.parametrize("charged", ["-1.79", 1.79, "1.799", "NaN", "1e3", "1,79", None])
async def test_an_amount_that_is_none_names_its_line(database: str, sealing_key: str, charged: Any) -> None:
    type_, buyer = example("add-buyer")
    report_type, report = example("report-usage", buyer_id=buyer["buyer_id"], part=1, parts=1)
    report["lines"] = lines(3)
    report["lines"][1]["services"][0]["charged"] = charged
    [(reason, detail)] = await refusals(
        database, sealing_key, opening(), (type_, buyer), (report_type, report)
    )
    assert reason == "invalid"
    assert detail.startswith("lines.1 (L-00001).services.0.charged: ")


async def test_one_bad_line_of_5001_refuses_its_report_and_is_named(database: str, sealing_key: str) -> None:
    type_, buyer = example("add-buyer")
    every = lines(5001)
    every[4711]["exit_fee"] = "-0.01"
    orders = [opening(), (type_, buyer)]
    parts = range(0, len(every), 500)
    for number, start in enumerate(parts, start=1):
        report_type, report = example(
            "report-usage",
            buyer_id=buyer["buyer_id"],
            part=number,
            parts=len(parts),
            lines=every[start : start + 500],
        )
        orders.append((report_type, report))
    orders.append(example("close-group"))
    bad, closing = await refusals(database, sealing_key, *orders)
    assert bad == ("invalid", "lines.211 (L-04711).exit_fee: Value error, must not be negative")
    assert closing[0] == "parts_missing"


async def test_an_order_of_nobody_or_of_the_wrong_role_is_refused(database: str, sealing_key: str) -> None:
    kafka = MemoryKafka()
    settings = Settings(**{**TEST_SETTINGS, "postgres_dsn": database, "notification_public_key": sealing_key})
    type_, body = opening()
    order = registry[type_].model_validate_json(json.dumps(body))
    async with running(build(settings), kafka):
        kafka.command(order, Actor(person_id=PERSON, role="member"))
        kafka.command(order, Actor(person_id=PERSON, role="officer"))
        kafka.append(order.stream, order.to_bytes(), [("ce_type", type_.encode())], order.subject.encode())
        await kafka.settle()
    reasons = [one.reason for one in kafka.messages("aggregation.events") if isinstance(one, Refused)]
    assert reasons == ["role_not_allowed", "role_not_allowed", "no_actor"]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"buyers": 10**10}, "buyers"),
        ({"lines": -1}, "lines"),
        ({"decide_by": "9999-12-31T23:59:59-14:00"}, "decide_by"),
        ({"decide_by": "0001-01-01T00:00:00+14:00"}, "decide_by"),
        ({"decide_by": "2026-05-01T12:00:00"}, "decide_by"),
        ({"otherwise": "hope"}, "otherwise"),
    ],
)
async def test_a_minimum_that_nobody_can_mean_is_refused_and_stops_nothing(
    database: str, sealing_key: str, change: dict[str, Any], place: str
) -> None:
    type_, minimum = example("set-minimum", decide_by="2099-12-31T12:00:00Z")
    orders = [opening(), (type_, minimum | change), (type_, minimum), example("close-group")]
    bad, closing = await refusals(database, sealing_key, *orders)
    assert bad[0] == "invalid"
    assert bad[1].startswith(f"{place}: ")
    assert closing[0] == "no_buyers"


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"valid_until": "2020-01-01"}, "agency: "),
        ({"services": []}, "agency.services: "),
        ({"signed_on": "yesterday"}, "agency.signed_on: "),
    ],
)
async def test_a_letter_that_says_nothing_sound_is_refused_and_stops_nothing(
    database: str, sealing_key: str, change: dict[str, Any], place: str
) -> None:
    type_, letter = example("file-letter")
    bad_letter = (type_, letter | {"agency": letter["agency"] | change})
    bad, closing = await refusals(database, sealing_key, opening(), bad_letter, example("close-group"))
    assert bad[0] == "invalid"
    assert bad[1].startswith(place)
    assert closing[0] == "no_buyers"
