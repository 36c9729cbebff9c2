"""Replies that are sealed twice: opened with the custodian's key, which is taken after the deadline and not before (I5)."""

from base64 import b64decode
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest

from services.bidding.opener.opening import Opener
from services.bidding.opening import judge_opened_boxes
from shared.messages.bidding import (
    CustodianKeyReleased,
    ReleaseCustodianKeyRefused,
    RepliesCompared,
    RepliesOpened,
    ReplyDisqualified,
)
from shared.sealing import private_key, private_key_b64
from tests.memory import MemoryKafka, Running, open_opener
from tests.service.bidding.bidding_facts import AIKO, BRIO, CORA, Purchase, an_offer
from tests.service.bidding.bidding_talk import all_of, answers, one_of, said
from tests.service.bidding.test_bidding_replay import DELIVERY
from tests.service.bidding.test_bidding_seals import (
    CANARY,
    a_box,
    an_offer_for,
    closed,
    everything,
    stages,
    standings,
)
from tests.service.bidding.test_bidding_waits import steps

CUSTODIAN = b"c" * 32


def a_purchase(**changes: datetime) -> Purchase:
    return Purchase(custodian_secret=CUSTODIAN, **changes)  # type: ignore[arg-type] # a deadline


async def filled(kafka: MemoryKafka, purchase: Purchase) -> None:
    """Let two providers reply, each with two seals."""
    ready = await a_box(kafka, purchase)
    for provider, price in ((AIKO, "0.12"), (BRIO, "0.10")):
        sealed = purchase.sealed(ready, provider, content=an_offer_for(price))
        kafka.from_provider(provider, sealed, at=purchase.in_time)


def refusals(kafka: MemoryKafka) -> list[str]:
    return [one.reason for one in all_of(kafka, ReleaseCustodianKeyRefused)]


async def test_a_box_is_opened_once_its_custodian_s_key_is_handed_in(
    sealing: Running, kafka: MemoryKafka
) -> None:
    purchase = a_purchase()
    await filled(kafka, purchase)
    kafka.event(purchase.deadline_passed)
    await kafka.settle()
    assert (await stages(sealing), set(await steps(sealing))) == (["closed"], {"custodian"})
    assert await sealing.pool.fetchval("SELECT count(*) FROM opener.opened_boxes") == 0

    kafka.command(purchase.release, purchase.by_coordinator)
    await kafka.settle()
    assert said(kafka) == ["BidBoxReady", "CustodianKeyReleased", "RepliesOpened", "RepliesCompared"]
    assert [one.provider_id for one in one_of(kafka, RepliesCompared).replies] == [BRIO, AIKO]
    assert one_of(kafka, CustodianKeyReleased).public_key == purchase.request.custodian.public_key  # type: ignore[union-attr] # it has one


async def test_a_key_that_comes_before_the_deadline_is_refused_and_kept_nowhere(
    sealing: Running, kafka: MemoryKafka, database: str
) -> None:
    purchase = a_purchase(deadline=datetime.now(UTC) + timedelta(hours=1))
    await filled(kafka, purchase)
    kafka.command(purchase.release, purchase.by_coordinator)
    await kafka.settle()

    assert refusals(kafka) == ["too_early"]
    assert private_key_b64(purchase.custodian_key) not in await everything(database)
    assert await sealing.pool.fetchval("SELECT count(*) FROM parked") == 0


@pytest.mark.usefixtures("sealing")
async def test_only_the_coordinator_hands_in_a_key_only_the_right_one_and_once(kafka: MemoryKafka) -> None:
    purchase, plain = a_purchase(), Purchase()
    await filled(kafka, purchase)
    await a_box(kafka, plain)
    for one in (purchase, plain):
        kafka.event(one.deadline_passed)
    await kafka.settle()
    somebody = purchase.by_coordinator.model_copy(update={"person_id": uuid4()})
    member = purchase.by_coordinator.model_copy(update={"role": "member"})
    wrong = private_key_b64(private_key(CUSTODIAN, "another purpose"))
    for command, actor in (
        (purchase.release, somebody),
        (purchase.release, member),
        (purchase.release.model_copy(update={"private_key": wrong}), purchase.by_coordinator),
        (purchase.release.model_copy(update={"purchase_id": plain.purchase_id}), plain.by_coordinator),
    ):
        kafka.command(command, actor)
        await kafka.settle()
    assert refusals(kafka) == ["not_coordinator", "role_not_allowed", "wrong_key", "no_custodian"]
    assert not all_of(kafka, CustodianKeyReleased)

    for _ in range(2):
        kafka.command(purchase.release, purchase.by_coordinator)
        await kafka.settle()
    assert refusals(kafka)[4:] == ["released_already"]
    assert len(all_of(kafka, CustodianKeyReleased)) == 1


@pytest.mark.usefixtures("sealing")
async def test_a_key_that_overtakes_the_word_of_the_deadline_waits_for_it(kafka: MemoryKafka) -> None:
    purchase = a_purchase()
    await filled(kafka, purchase)
    kafka.command(purchase.release, purchase.by_coordinator)
    await kafka.settle()
    assert not all_of(kafka, CustodianKeyReleased)
    kafka.event(purchase.deadline_passed)

    deadline = datetime.now(UTC) + timedelta(seconds=20)
    while not all_of(kafka, RepliesCompared):
        assert datetime.now(UTC) < deadline, "the waiting key was not taken"
        await kafka.settle()
    assert not refusals(kafka)


@pytest.mark.usefixtures("sealing")
async def test_what_is_not_sealed_twice_is_invalid_with_a_reason_that_says_so_and_harms_no_other(
    kafka: MemoryKafka,
) -> None:
    purchase = a_purchase()
    ready = await a_box(kafka, purchase)
    # A kit that knows of no custodian seals once; CORA seals for a custodian that is not this request's.
    once = Purchase(purchase_id=purchase.purchase_id, deadline=purchase.deadline)
    other = Purchase(purchase_id=purchase.purchase_id, deadline=purchase.deadline, custodian_secret=b"o" * 32)
    for provider, by in ((AIKO, once), (BRIO, purchase), (CORA, other)):
        kafka.from_provider(provider, by.sealed(ready, provider), at=purchase.in_time)
    kafka.event(purchase.deadline_passed)
    await kafka.settle()
    kafka.command(purchase.release, purchase.by_coordinator)
    await kafka.settle()

    assert [answers(kafka, provider) for provider in (AIKO, BRIO, CORA)] == [["received"]] * 3
    assert standings(kafka) == {AIKO: "invalid", BRIO: "evaluated", CORA: "invalid"}
    for provider in (AIKO, CORA):
        assert "custodian" in one_of(kafka, ReplyDisqualified, f"notices.{provider}").reason
    assert [one.provider_id for one in one_of(kafka, RepliesCompared).replies] == [BRIO]


async def test_nothing_of_an_offer_is_readable_without_the_custodian_s_key_even_where_the_box_is_closed(
    sealing: Running, kafka: MemoryKafka, opener: Opener, database: str
) -> None:
    purchase = a_purchase()
    ready = await a_box(kafka, purchase)
    content = an_offer(name=CANARY).model_dump_json().encode()
    kafka.from_provider(AIKO, purchase.sealed(ready, AIKO, content=content), at=purchase.in_time)
    await closed(sealing, kafka, purchase)
    assert await opener.open_box(purchase.purchase_id) == "waits_for_custodian"
    assert await opener.open_boxes() == 0
    assert CANARY not in await everything(database)

    # Nor with a row that somebody writes by hand.
    key = private_key_b64(private_key(CUSTODIAN, "another purpose"))
    await sealing.pool.execute(
        "INSERT INTO released_keys VALUES ($1, $2, now(), $3)", purchase.purchase_id, key, uuid4()
    )
    assert await opener.open_box(purchase.purchase_id) == "wrong_custodian_key"
    assert await opener.open_boxes() == 0
    assert opener.figures.alarms.labels(kind="box_stays_sealed")._value.get() == 1
    assert CANARY not in await everything(database)


async def test_a_purchase_that_waits_for_its_custodian_can_be_called_off(
    sealing: Running, kafka: MemoryKafka
) -> None:
    purchase = a_purchase()
    await filled(kafka, purchase)
    kafka.event(purchase.deadline_passed)
    await kafka.settle()
    kafka.event(purchase.cancelled)
    await kafka.settle()
    kafka.command(purchase.release, purchase.by_coordinator)
    await kafka.settle()

    assert (await stages(sealing), await steps(sealing)) == (["cancelled"], {})
    assert refusals(kafka) == ["cancelled"]
    assert not all_of(kafka, RepliesOpened)


async def test_a_request_with_a_custodian_is_sealed_where_others_are_not(
    desk: Running, kafka: MemoryKafka, database: str
) -> None:
    purchase = a_purchase()
    async with open_opener(database) as opener:

        async def make_keys(_runtime: object) -> int:
            return await opener.make_keys()

        from services.bidding.opening import tell_of_keys  # noqa: PLC0415 # the fixture's service seals nothing

        desk.steps += [make_keys, tell_of_keys]
        ready = await a_box(kafka, purchase)
        assert ready.seal == "hpke"
        kafka.from_provider(AIKO, purchase.reply(), at=purchase.in_time)
        await kafka.settle()
    assert answers(kafka, AIKO) == ["not_sealed"]


async def test_an_opener_that_knows_of_no_custodian_can_open_no_box_that_has_one(
    sealing: Running, kafka: MemoryKafka, opener: Opener
) -> None:
    purchase = a_purchase()
    await filled(kafka, purchase)
    await closed(sealing, kafka, purchase)
    with pytest.raises(asyncpg.RestrictViolationError):
        await opener.pool.execute(
            "INSERT INTO opened_boxes (purchase_id, request_version, replies) VALUES ($1, 1, 2)",
            purchase.purchase_id,
        )


async def test_with_the_opener_s_schema_lost_the_same_openings_come_out_again(
    sealing: Running, kafka: MemoryKafka, database: str
) -> None:
    purchase = a_purchase()
    sealing.steps.pop()  # Nothing is compared: what is compared is never opened again.
    await filled(kafka, purchase)
    kafka.event(purchase.deadline_passed)
    await kafka.settle()
    kafka.command(purchase.release, purchase.by_coordinator)
    await kafka.settle()
    openings = await sealing.pool.fetch("SELECT * FROM opener.openings ORDER BY reply_id")
    assert [one["failure"] for one in openings] == [None, None]

    await sealing.pool.execute("DROP SCHEMA opener CASCADE")
    await sealing.pool.execute("CREATE SCHEMA opener AUTHORIZATION opener")
    async with open_opener(database) as opener:
        await opener.work()
    assert await sealing.pool.fetch("SELECT * FROM opener.openings ORDER BY reply_id") == openings
    assert await judge_opened_boxes(sealing.runtime) == 0


async def test_the_whole_log_again_leaves_the_released_key_as_it_is_and_says_nothing_new(
    sealing: Running, kafka: MemoryKafka
) -> None:
    purchase = a_purchase()
    await filled(kafka, purchase)
    kafka.event(purchase.deadline_passed)
    await kafka.settle()
    kafka.command(purchase.release, purchase.by_coordinator)
    await kafka.settle()
    tables, events = await sealing.tables(without=DELIVERY), len(kafka.topics["bidding.events"])

    await sealing.pool.execute("DELETE FROM inbox")
    await sealing.pool.execute("DELETE FROM positions")
    sealing.rewind()
    await kafka.settle()
    assert await sealing.tables(without=DELIVERY) == tables
    assert len(kafka.topics["bidding.events"]) == events


async def test_the_private_key_stands_on_no_event_and_the_inner_box_in_no_opening(
    sealing: Running, kafka: MemoryKafka
) -> None:
    purchase = a_purchase()
    await filled(kafka, purchase)
    kafka.event(purchase.deadline_passed)
    await kafka.settle()
    kafka.command(purchase.release, purchase.by_coordinator)
    await kafka.settle()
    key = private_key_b64(purchase.custodian_key)
    for topic, records in kafka.topics.items():
        if topic != "bidding.commands":
            assert not any(key.encode() in (one.value or b"") for one in records), topic
            assert not any(b64decode(key) in (one.value or b"") for one in records), topic
    contents = await sealing.pool.fetch("SELECT content FROM opener.openings")
    assert all(row["content"].startswith(b"{") for row in contents)
