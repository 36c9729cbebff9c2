import asyncio
import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from services.bidding.jobs import close_boxes
from services.bidding.opener.opening import REPLIES_AT_A_TIME, Opener
from services.bidding.opening import judge_opened_boxes, tell_of_keys
from shared.messages.bidding import BidBoxReady, RepliesCompared, RepliesOpened, ReplyDisqualified
from shared.sealing import box_key_purpose, private_key, public_key_b64
from shared.signing import SEAL_KEYS, is_signed, seal_key_statement, signing_key, verifying_key_b64
from tests.memory import OPENER_SECRET, MemoryKafka, Running, open_opener
from tests.service.bidding.bidding_facts import AIKO, BRIO, CORA, Purchase, an_offer
from tests.service.bidding.bidding_talk import (
    all_of,
    announce,
    answers,
    clocks_disagree,
    deliver_only,
    one_of,
    said,
)

SECRET = bytes.fromhex(OPENER_SECRET)
CANARY = "canary-in-an-offer"


def an_offer_for(price: str) -> bytes:
    return an_offer(price).model_dump_json().encode()


async def a_box(kafka: MemoryKafka, purchase: Purchase) -> BidBoxReady:
    """Issue the request, and wait until its box has its key."""
    announce(kafka, purchase)
    await kafka.settle()
    return next(one for one in all_of(kafka, BidBoxReady) if one.purchase_id == purchase.purchase_id)


async def closed(sealing: Running, kafka: MemoryKafka, purchase: Purchase) -> None:
    """Let bidding close the box, while the opener has not looked yet."""
    kafka.event(purchase.deadline_passed)
    for topic in ("rfp.events", *(f"replies.{provider}" for provider in purchase.listed)):
        await deliver_only(sealing, topic)
    await clocks_disagree(sealing, timedelta(0))
    assert await close_boxes(sealing.runtime) == 1


async def stages(sealing: Running) -> list[str]:
    return [row["stage"] for row in await sealing.pool.fetch("SELECT stage FROM boxes")]


def standings(kafka: MemoryKafka) -> dict[str, str]:
    return {one.provider_id: one.standing for one in one_of(kafka, RepliesOpened).replies}


async def everything(dsn: str) -> str:
    """Return all rows of all tables of bidding and of the opener as text, bytes decoded."""
    connection: Any = await asyncpg.connect(dsn)
    try:
        names = await connection.fetch(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('bidding', 'opener')"
        )
        found = []
        for schema, table in names:
            for row in await connection.fetch(f'SELECT * FROM "{schema}"."{table}"'):
                found += [
                    value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
                    for value in row.values()
                ]
        return "\n".join(found)
    finally:
        await connection.close()


async def test_a_sealed_purchase_is_compared_like_an_open_one(sealing: Running, kafka: MemoryKafka) -> None:
    purchase = Purchase()
    ready = await a_box(kafka, purchase)
    for provider, price in ((AIKO, "0.12"), (BRIO, "0.10"), (CORA, "0.11")):
        kafka.from_provider(
            provider, purchase.sealed(ready, provider, content=an_offer_for(price)), at=purchase.in_time
        )
    kafka.event(purchase.deadline_passed)
    await kafka.settle()

    assert said(kafka) == ["BidBoxReady", "RepliesOpened", "RepliesCompared"]
    assert [one.provider_id for one in one_of(kafka, RepliesCompared).replies] == [BRIO, CORA, AIKO]
    assert await stages(sealing) == ["compared"]


@pytest.mark.usefixtures("sealing")
async def test_the_key_of_a_box_is_derived_and_signed_by_the_opener(kafka: MemoryKafka) -> None:
    purchase = Purchase()
    ready = await a_box(kafka, purchase)

    key = private_key(SECRET, box_key_purpose(purchase.purchase_id, 1))
    assert (ready.seal, ready.public_key) == ("hpke", public_key_b64(key))
    signer = verifying_key_b64(signing_key(SECRET, SEAL_KEYS))
    statement = seal_key_statement(purchase.purchase_id, 1, ready.public_key or "")
    assert is_signed(signer, statement, ready.key_signature or "")
    assert not is_signed(
        signer, seal_key_statement(purchase.purchase_id, 2, ready.public_key or ""), ready.key_signature or ""
    )


@pytest.mark.parametrize("ahead", [False, True], ids=["known purchase", "ahead of its request"])
async def test_an_unsealed_reply_is_rejected_and_its_content_is_kept_nowhere(
    sealing: Running, kafka: MemoryKafka, database: str, ahead: bool
) -> None:
    purchase = Purchase()
    if not ahead:
        await a_box(kafka, purchase)
    kafka.from_provider(AIKO, purchase.reply(offer=an_offer(name=CANARY)), at=purchase.in_time)
    await deliver_only(sealing, f"replies.{AIKO}")
    assert CANARY not in await everything(database)
    if ahead:
        assert await sealing.pool.fetchval("SELECT count(*) FROM held_messages") == 1
        await a_box(kafka, purchase)
    await kafka.settle()

    assert answers(kafka, AIKO) == ["not_sealed"]
    assert CANARY not in await everything(database)


async def test_a_search_of_the_tables_finds_what_is_there(
    desk: Running, kafka: MemoryKafka, database: str
) -> None:
    purchase = Purchase()
    announce(kafka, purchase)
    kafka.from_provider(AIKO, purchase.reply(offer=an_offer(name=CANARY)), at=purchase.in_time)
    await deliver_only(desk, f"replies.{AIKO}")
    assert CANARY in await everything(database)
    await kafka.settle()
    assert CANARY in await everything(database)


@pytest.mark.usefixtures("desk")
async def test_a_sealed_reply_to_a_box_that_is_not_sealed_is_invalid(kafka: MemoryKafka) -> None:
    purchase = Purchase()
    announce(kafka, purchase)
    key = public_key_b64(private_key(SECRET, "any"))
    ready = BidBoxReady(purchase_id=purchase.purchase_id, request_version=1, seal="hpke", public_key=key)
    kafka.from_provider(AIKO, purchase.sealed(ready, AIKO), at=purchase.in_time)
    await kafka.settle()

    assert answers(kafka, AIKO) == ["invalid"]


@pytest.mark.usefixtures("sealing")
async def test_nothing_of_a_sealed_offer_is_readable_before_its_box_is_closed(
    kafka: MemoryKafka, database: str
) -> None:
    purchase = Purchase()
    ready = await a_box(kafka, purchase)
    content = an_offer(name=CANARY).model_dump_json().encode()
    kafka.from_provider(AIKO, purchase.sealed(ready, AIKO, content=content), at=purchase.in_time)
    await kafka.settle()
    assert CANARY not in await everything(database)

    kafka.event(purchase.deadline_passed)
    await kafka.settle()
    assert CANARY in await everything(database)


HOSTILE: dict[str, bytes] = {
    "no JSON": b"\xff\x00",
    "nothing": b" ",
    "deep": b"[" * 100_000,
    "no offer": b"{}",
    "unknown field": json.dumps({**an_offer().model_dump(mode="json"), CANARY: 1}).encode(),
    "unknown kind": json.dumps(
        {**an_offer().model_dump(mode="json"), "components": [{"kind": CANARY}]}
    ).encode(),
    "a number for money": an_offer().model_dump_json().replace('"0.10"', "0.10").encode(),
    "another currency": an_offer(currency="USD").model_dump_json().encode(),
    "too short a contract": an_offer(contract_months=12).model_dump_json().encode(),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.usefixtures("sealing")
async def test_whatever_is_in_a_seal_is_invalid_with_its_reason_and_harms_no_other(
    kafka: MemoryKafka, content: bytes
) -> None:
    purchase = Purchase()
    ready = await a_box(kafka, purchase)
    kafka.from_provider(AIKO, purchase.sealed(ready, AIKO, content=content), at=purchase.in_time)
    kafka.from_provider(BRIO, purchase.sealed(ready, BRIO), at=purchase.in_time)
    kafka.event(purchase.deadline_passed)
    await kafka.settle()

    assert answers(kafka, AIKO) == ["received"]
    assert standings(kafka) == {AIKO: "invalid", BRIO: "evaluated"}
    told = one_of(kafka, ReplyDisqualified, f"notices.{AIKO}")
    opened = {one.provider_id: one.reason for one in one_of(kafka, RepliesOpened).replies}
    assert told.reason
    assert told.reason == opened[AIKO]
    assert CANARY not in told.reason
    assert [one.provider_id for one in one_of(kafka, RepliesCompared).replies] == [BRIO]


@pytest.mark.parametrize("what", ["foreign", "older revision", "other purchase", "garbage", "other key"])
@pytest.mark.usefixtures("sealing")
async def test_a_seal_opens_only_for_its_purchase_version_provider_and_revision(
    kafka: MemoryKafka, what: str
) -> None:
    purchase, other = Purchase(), Purchase()
    ready, other_ready = await a_box(kafka, purchase), await a_box(kafka, other)
    own = purchase.sealed(ready, AIKO, revision=2)
    wrong = {
        # CORA sends what stood on AIKO's topic.
        "foreign": purchase.sealed(ready, AIKO, revision=2),
        "older revision": purchase.sealed(ready, CORA, revision=1, claimed_revision=2),
        "other purchase": purchase.sealed(ready, CORA, revision=2).model_copy(
            update={"sealed_offer": other.sealed(other_ready, CORA, revision=2).sealed_offer}
        ),
        "garbage": own.model_copy(update={"sealed_offer": b64encode(b"x" * 100).decode()}),
        "other key": purchase.sealed(
            ready.model_copy(update={"public_key": other_ready.public_key}), CORA, revision=2
        ),
    }[what]
    kafka.from_provider(AIKO, own, at=purchase.in_time)
    kafka.from_provider(CORA, wrong, at=purchase.in_time)
    kafka.event(purchase.deadline_passed)
    await kafka.settle()

    assert standings(kafka) == {AIKO: "evaluated", CORA: "invalid"}
    assert one_of(kafka, ReplyDisqualified, f"notices.{CORA}").reason.startswith("does not open")


@pytest.mark.usefixtures("sealing")
async def test_a_reply_that_does_not_open_brings_back_none_of_its_providers_earlier_ones(
    kafka: MemoryKafka,
) -> None:
    purchase = Purchase()
    ready = await a_box(kafka, purchase)
    kafka.from_provider(AIKO, purchase.sealed(ready, AIKO), at=purchase.in_time)
    wrong = purchase.sealed(ready, AIKO, revision=1, claimed_revision=2)
    kafka.from_provider(AIKO, wrong, at=purchase.in_time)
    kafka.event(purchase.deadline_passed)
    await kafka.settle()

    found = {one.revision: one.standing for one in one_of(kafka, RepliesOpened).replies}
    assert found == {1: "replaced", 2: "invalid"}


async def test_only_what_stands_is_opened(sealing: Running, kafka: MemoryKafka) -> None:
    purchase = Purchase()
    ready = await a_box(kafka, purchase)
    for revision in (1, 2):
        kafka.from_provider(AIKO, purchase.sealed(ready, AIKO, revision=revision), at=purchase.in_time)
    kafka.from_provider(BRIO, purchase.sealed(ready, BRIO), at=purchase.in_time)
    await kafka.settle()
    brios = await sealing.pool.fetchval("SELECT id FROM replies WHERE provider_id = $1", BRIO)
    kafka.from_provider(BRIO, purchase.withdraw(brios), at=purchase.in_time)
    kafka.event(purchase.deadline_passed)
    await kafka.settle()

    opened = await sealing.pool.fetch(
        "SELECT provider_id, revision FROM opener.openings JOIN replies ON reply_id = replies.id"
    )
    assert [tuple(row) for row in opened] == [(AIKO, 2)]
    assert await sealing.pool.fetchval("SELECT replies FROM opener.opened_boxes") == 1


async def test_a_box_that_is_still_open_is_not_opened_whatever_its_row_says(
    sealing: Running, kafka: MemoryKafka, opener: Opener
) -> None:
    purchase = Purchase(deadline=datetime.now(UTC) + timedelta(hours=1))
    ready = await a_box(kafka, purchase)
    kafka.from_provider(AIKO, purchase.sealed(ready, AIKO))
    await kafka.settle()
    assert await opener.open_boxes() == 0

    # Bidding alone cannot have it opened before its deadline.
    await sealing.pool.execute(
        "UPDATE boxes SET stage = 'closed', closed_at = deadline, deadline_passed_by = purchase_id, "
        "last_version = 1, closing_ends = $1",
        json.dumps([[f"replies.{provider}", 0, 0] for provider in purchase.listed]),
    )
    assert await opener.open_boxes() == 0
    assert await opener.open_box(purchase.purchase_id) == "allowance"
    await sealing.pool.execute(
        "UPDATE boxes SET deadline = clock_timestamp() - interval '1 minute', closed_at = clock_timestamp()"
    )
    assert await opener.open_box(purchase.purchase_id) == "deadline_changed"
    assert await sealing.pool.fetchval("SELECT count(*) FROM opener.openings") == 0


async def test_a_reply_that_comes_once_the_box_is_closed_is_late_and_not_opened(
    sealing: Running, kafka: MemoryKafka, opener: Opener
) -> None:
    purchase = Purchase()
    ready = await a_box(kafka, purchase)
    kafka.from_provider(AIKO, purchase.sealed(ready, AIKO), at=purchase.in_time)
    await closed(sealing, kafka, purchase)
    kafka.from_provider(BRIO, purchase.sealed(ready, BRIO), at=purchase.in_time)
    arriving = asyncio.create_task(deliver_only(sealing, f"replies.{BRIO}"))
    assert await opener.open_boxes() == 1
    await arriving
    await kafka.settle()

    assert answers(kafka, BRIO) == ["late"]
    assert standings(kafka) == {AIKO: "evaluated"}


async def test_a_box_that_is_called_off_is_not_opened_and_one_that_was_is_not_judged(
    sealing: Running, kafka: MemoryKafka, opener: Opener
) -> None:
    before, after = Purchase(), Purchase()
    boxes = [(purchase, await a_box(kafka, purchase)) for purchase in (before, after)]
    for purchase, ready in boxes:
        kafka.from_provider(AIKO, purchase.sealed(ready, AIKO), at=purchase.in_time)
        await closed(sealing, kafka, purchase)
    kafka.event(before.cancelled)
    await deliver_only(sealing, "rfp.events")
    assert await opener.open_boxes() == 1
    assert await opener.open_box(before.purchase_id) == "cancelled"
    kafka.event(after.cancelled)
    await deliver_only(sealing, "rfp.events")

    assert await judge_opened_boxes(sealing.runtime) == 0
    await kafka.settle()
    assert not all_of(kafka, RepliesOpened)


async def test_two_openers_at_once_open_a_box_once(
    sealing: Running, kafka: MemoryKafka, database: str
) -> None:
    purchase = Purchase()
    ready = await a_box(kafka, purchase)
    for provider in purchase.listed:
        kafka.from_provider(provider, purchase.sealed(ready, provider), at=purchase.in_time)
    await closed(sealing, kafka, purchase)
    async with open_opener(database) as first, open_opener(database) as second:
        opened = await asyncio.gather(*(one.open_boxes() for one in (first, second)))
        assert sum(opened) == 1
        assert [await one.open_boxes() for one in (first, second)] == [0, 0]
    assert await sealing.pool.fetchval("SELECT count(*) FROM opener.openings") == 3


async def test_an_opener_that_dies_in_the_middle_leaves_nothing_half_open(
    sealing: Running, kafka: MemoryKafka, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    purchase = Purchase(listed=tuple(f"p{number:011}" for number in range(REPLIES_AT_A_TIME * 2 + 1)))
    ready = await a_box(kafka, purchase)
    for provider in purchase.listed:
        kafka.from_provider(provider, purchase.sealed(ready, provider), at=purchase.in_time)
    await closed(sealing, kafka, purchase)

    def die(point: str) -> None:
        if point == "before_commit":
            raise OSError

    with monkeypatch.context() as patched:
        patched.setattr("services.bidding.opener.opening.crash", die)
        with pytest.raises(OSError):  # noqa: PT011 # it is the very error, without words
            await opener.open_boxes()
    assert await sealing.pool.fetchval("SELECT count(*) FROM opener.openings") == 0
    assert await opener.open_boxes() == 1
    assert await sealing.pool.fetchval("SELECT count(*) FROM opener.openings") == len(purchase.listed)
    await kafka.settle()
    assert set(standings(kafka).values()) == {"evaluated"}


async def test_with_the_openers_schema_lost_the_same_keys_and_openings_come_out_again(
    sealing: Running, kafka: MemoryKafka, database: str
) -> None:
    purchase, running_on = Purchase(), Purchase(deadline=datetime.now(UTC) + timedelta(hours=1))
    ready = await a_box(kafka, purchase)
    await a_box(kafka, running_on)
    for provider in (AIKO, BRIO):
        kafka.from_provider(provider, purchase.sealed(ready, provider), at=purchase.in_time)
    kafka.from_provider(CORA, purchase.sealed(ready, AIKO), at=purchase.in_time)
    await closed(sealing, kafka, purchase)
    async with open_opener(database) as opener:
        assert await opener.work() == 1
    keys = await sealing.pool.fetch("SELECT * FROM opener.keys ORDER BY purchase_id")
    openings = await sealing.pool.fetch("SELECT * FROM opener.openings ORDER BY reply_id")
    assert len(keys) == 2
    assert len(openings) == 3

    await sealing.pool.execute("DROP SCHEMA opener CASCADE")
    await sealing.pool.execute("CREATE SCHEMA opener AUTHORIZATION opener")
    async with open_opener(database) as opener:
        await opener.work()
    assert await sealing.pool.fetch("SELECT * FROM opener.keys ORDER BY purchase_id") == keys
    assert await sealing.pool.fetch("SELECT * FROM opener.openings ORDER BY reply_id") == openings
    assert await tell_of_keys(sealing.runtime) == 0
    assert await judge_opened_boxes(sealing.runtime) == 1


async def test_a_service_whose_opener_never_ran_says_so_once_and_goes_on(
    database: str, kafka: MemoryKafka
) -> None:
    from tests.service.conftest import start  # noqa: PLC0415 # the fixture would start the opener

    async with start("bidding", database, kafka) as bidding:
        announce(kafka, Purchase())
        await deliver_only(bidding, "rfp.events")
        assert [await tell_of_keys(bidding.runtime) for _ in range(2)] == [0, 0]
        assert bidding.runtime.metrics.alarms.labels(kind="opener_never_ran")._value.get() >= 1
        async with open_opener(database) as opener:
            assert await opener.make_keys() == 1
        assert await tell_of_keys(bidding.runtime) == 1
