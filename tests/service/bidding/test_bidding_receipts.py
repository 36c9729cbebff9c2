import json
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from linepool.receipts.verify import Notice, Verification, verify
from services.bidding.receipt_key import receipt_key
from shared.envelope import read_headers
from shared.messages.bidding import CheckpointPublished, InclusionProved, MessageRejected, ReceiptIssued
from shared.signing import verifying_key_b64
from tests.memory import MemoryKafka, Running
from tests.service.bidding.bidding_facts import AIKO, BRIO, CORA, LISTED, UNLISTED, Purchase, an_offer
from tests.service.bidding.bidding_talk import all_of, announce, answers, deliver_only, ids_on
from tests.service.rebuilding import Copy, read_back


def notices(kafka: MemoryKafka, provider: str) -> list[Notice]:
    """What stands on a provider's topic, as the provider reads it."""
    return [
        (read_headers(record.headers).type or "", json.loads(record.value or b""))
        for record in kafka.topics[f"notices.{provider}"]
    ]


def check(desk: Running, kafka: MemoryKafka, provider: str, receipt: Any = None) -> Verification:
    return verify(provider, notices(kafka, provider), verifying_key_b64(receipt_key(desk.runtime)), receipt)


def numbers(kafka: MemoryKafka, provider: str) -> list[int]:
    """The chain number of each answer, in the topic's order."""
    return [body["chain"]["number"] for _, body in notices(kafka, provider) if body.get("chain")]


def bodies(kafka: MemoryKafka, provider: str) -> dict[str | None, bytes]:
    """What was said under each id; each id must say one thing."""
    found: dict[str | None, bytes] = {}
    for record in kafka.topics[f"notices.{provider}"]:
        id_ = read_headers(record.headers).id
        assert found.setdefault(id_, record.value or b"") == record.value
    return found


async def let_an_hour_pass(desk: Running) -> None:
    await desk.pool.execute(
        "UPDATE boxes SET checkpoints_from = checkpoints_from - interval '1 hour' WHERE checkpoints_from IS NOT NULL"
    )
    await desk.pool.execute("UPDATE published_checkpoints SET made_at = made_at - interval '1 hour'")


# One answer for each message, each in the chain.


async def test_every_answer_stands_in_its_provider_s_chain_whatever_way_it_was_given(
    desk: Running, kafka: MemoryKafka
) -> None:
    purchase = Purchase()
    kafka.from_provider(AIKO, purchase.reply(), id="held", at=purchase.in_time)
    await deliver_only(desk, f"replies.{AIKO}")
    announce(kafka, purchase)
    kafka.append(f"replies.{AIKO}", b"{", [], None, at=purchase.in_time)
    await kafka.settle()
    kafka.from_provider(AIKO, purchase.reply(), id="held", at=purchase.in_time)
    kafka.from_provider(AIKO, purchase.reply(revision=2), id="held", at=purchase.in_time)
    kafka.from_provider(AIKO, purchase.reply(revision=3), id="late", at=purchase.deadline)
    kafka.from_provider(AIKO, purchase.decline(), id="twice", at=purchase.in_time)
    kafka.from_provider(AIKO, purchase.decline(), id="twice", at=purchase.in_time)
    kafka.from_provider(BRIO, purchase.reply(), id="brio", at=purchase.in_time)
    await kafka.settle()

    found = check(desk, kafka, AIKO)
    assert (found.ok, found.answers) == (True, 5)
    assert sorted(set(numbers(kafka, AIKO))) == [1, 2, 3, 4, 5]
    assert check(desk, kafka, BRIO).answers == 1
    row = await desk.pool.fetchrow("SELECT number, head FROM chains WHERE provider_id = $1", AIKO)
    assert row["number"] == 5
    heads = {body["chain"]["number"]: body["chain"]["head"] for _, body in notices(kafka, AIKO)}
    assert row["head"].hex() == heads[5]


async def test_the_same_again_gets_the_same_place_in_the_chain_again(
    desk: Running, kafka: MemoryKafka
) -> None:
    purchase = Purchase()
    announce(kafka, purchase)
    for _ in range(3):
        kafka.from_provider(AIKO, purchase.reply(), id="first", at=purchase.in_time)
        kafka.from_provider(AIKO, purchase.reply(revision=2), id="first", at=purchase.in_time)
        kafka.from_provider(AIKO, purchase.reply(revision=3), id="first", at=purchase.deadline)
        await kafka.settle()
        await desk.pool.execute("DELETE FROM inbox")

    assert len(bodies(kafka, AIKO)) == 3
    assert sorted(answers(kafka, AIKO)) == sorted(["received", "id_reused", "id_reused"] * 3)
    assert sorted(numbers(kafka, AIKO)) == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert check(desk, kafka, AIKO).ok


async def test_a_reused_id_is_rejected_with_its_purchase_and_its_own_append_time(
    desk: Running, kafka: MemoryKafka
) -> None:
    purchase = Purchase()
    announce(kafka, purchase)
    kafka.from_provider(AIKO, purchase.reply(), id="first", at=purchase.in_time)
    kafka.from_provider(AIKO, purchase.reply(revision=2), id="first", at=purchase.deadline)
    await kafka.settle()

    (rejected,) = all_of(kafka, MessageRejected, f"notices.{AIKO}")
    assert (rejected.reason, rejected.purchase_id, rejected.appended_at, rejected.message_id) == (
        "id_reused",
        purchase.purchase_id,
        purchase.deadline,
        "first",
    )
    assert check(desk, kafka, AIKO).ok


async def test_a_batch_that_had_to_be_taken_apart_leaves_one_chain(desk: Running, kafka: MemoryKafka) -> None:
    purchase = Purchase()
    announce(kafka, purchase)
    await kafka.settle()
    await desk.pool.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF NEW.message_id = 'n7' THEN RAISE EXCEPTION 'not now'; END IF; RETURN NEW; END $$"
    )
    await desk.pool.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON provider_messages FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    for number in range(20):
        provider = (AIKO, BRIO)[number % 2]
        kafka.from_provider(
            provider, purchase.reply(revision=number + 1), id=f"n{number}", at=purchase.in_time
        )
    (stream,) = [one for one in desk.service.wiring.streams.values() if one.kind == "batches"]
    records = [record for topic in (AIKO, BRIO) for record in kafka.topics[f"replies.{topic}"]]
    await stream.subscriber.process_message(tuple(records))
    await desk.send()
    assert (len(answers(kafka, AIKO)), len(answers(kafka, BRIO))) == (10, 3)

    await desk.pool.execute("DROP TRIGGER refuse ON provider_messages")
    await desk.pool.execute("UPDATE parked SET retry_at = now()")
    await kafka.settle()

    assert answers(kafka, AIKO) == answers(kafka, BRIO) == ["received"] * 10
    for provider in (AIKO, BRIO):
        found = check(desk, kafka, provider)
        assert (found.ok, found.answers) == (True, 10)


async def test_the_database_itself_gives_no_number_of_a_chain_twice(
    desk: Running, kafka: MemoryKafka
) -> None:
    purchase = Purchase()
    announce(kafka, purchase)
    kafka.from_provider(AIKO, purchase.reply(), at=purchase.in_time)
    await kafka.settle()
    await desk.pool.execute("UPDATE chains SET number = 0")

    with pytest.raises(asyncpg.UniqueViolationError, match="answers_have_each_number_once"):
        await desk.pool.execute(
            "INSERT INTO provider_messages (id, provider_id, sha256, appended_at, outcome, reason, detail, chain_number, "
            "chain_head) SELECT gen_random_uuid(), provider_id, '', now(), 'rejected', 'late', '', 1, chain_head "
            "FROM provider_messages"
        )


async def test_an_answer_from_before_there_were_chains_is_repeated_as_it_was(
    desk: Running, kafka: MemoryKafka
) -> None:
    purchase = Purchase()
    announce(kafka, purchase)
    kafka.from_provider(AIKO, purchase.reply(), id="old", at=purchase.in_time)
    await kafka.settle()
    await desk.pool.execute("UPDATE provider_messages SET chain_number = NULL, chain_head = NULL")
    kafka.from_provider(AIKO, purchase.reply(), id="old", at=purchase.in_time)
    await kafka.settle()

    assert [one.chain is None for one in all_of(kafka, ReceiptIssued, f"notices.{AIKO}")] == [False, True]


# Checkpoints.


async def test_checkpoints_are_published_on_schedule_and_are_the_same_for_everybody(
    desk: Running, kafka: MemoryKafka
) -> None:
    purchase = Purchase()
    announce(kafka, purchase)
    kafka.event(purchase.qualified)
    kafka.from_provider(AIKO, purchase.reply(), at=purchase.in_time)
    await kafka.settle()
    assert published(kafka, LISTED) == []
    for hours in (1, 1, 3):
        for _ in range(hours):
            await let_an_hour_pass(desk)
        await kafka.settle()
        await kafka.settle()

    assert [one.number for one in published(kafka, LISTED)] == [1, 2, 3]
    told = [[record.value for record in kafka.topics[f"notices.{one}"]][-3:] for one in LISTED]
    assert told[0] == told[1] == told[2]
    found = check(desk, kafka, CORA)
    assert found.ok
    assert found.unproved == tuple((str(purchase.purchase_id), number) for number in (1, 2, 3))
    assert not kafka.topics[f"notices.{UNLISTED}"]


def published(kafka: MemoryKafka, providers: Iterable[str]) -> list[CheckpointPublished]:
    """The checkpoints that each of these providers was told."""
    first, *others = [all_of(kafka, CheckpointPublished, f"notices.{one}") for one in providers]
    assert all(other == first for other in others)
    return first


async def test_no_provider_hears_of_a_purchase_before_its_group_was_qualified(
    desk: Running, kafka: MemoryKafka
) -> None:
    purchase = Purchase()
    announce(kafka, purchase)
    kafka.event(purchase.deadline_passed)
    await kafka.settle()
    assert published(kafka, LISTED) == []

    other = Purchase()
    kafka.event(other.qualified)
    kafka.event(other.request)
    await kafka.settle()
    await let_an_hour_pass(desk)
    await kafka.settle()
    assert [one.purchase_id for one in published(kafka, LISTED)] == [other.purchase_id]


async def test_once_the_box_was_opened_everybody_can_prove_each_of_its_answers(
    desk: Running, kafka: MemoryKafka
) -> None:
    purchase = Purchase()
    announce(kafka, purchase)
    kafka.event(purchase.qualified)
    await kafka.settle()
    kafka.from_provider(AIKO, purchase.reply(), at=purchase.in_time)
    await kafka.settle()
    await let_an_hour_pass(desk)
    await kafka.settle()
    kafka.from_provider(AIKO, purchase.reply(revision=2), at=purchase.in_time)
    kafka.from_provider(BRIO, purchase.decline(), at=purchase.in_time)
    await kafka.settle()
    assert all_of(kafka, InclusionProved, f"notices.{AIKO}") == []
    kafka.event(purchase.deadline_passed)
    await kafka.settle()
    await let_an_hour_pass(desk)
    await kafka.settle()

    assert [one.number for one in published(kafka, LISTED)] == [1, 2]
    ids = tuple((str(purchase.purchase_id), number) for number in (1, 2))
    for provider in LISTED:
        found = check(desk, kafka, provider)
        assert found.ok
        assert found.proved == ids
    first, second = all_of(kafka, ReceiptIssued, f"notices.{AIKO}")
    for receipt, by in ((first, ids[0]), (second, ids[1])):
        found = check(desk, kafka, AIKO, receipt.model_dump(mode="json"))
        assert (found.receipt, found.receipt_proved_by) == ("proved", by)
    empty = all_of(kafka, InclusionProved, f"notices.{CORA}")
    assert [one.chain_number for one in empty] == [0, 0]


async def test_a_cancelled_purchase_gets_its_last_checkpoint_and_its_proofs(
    desk: Running, kafka: MemoryKafka
) -> None:
    purchase = Purchase()
    announce(kafka, purchase)
    kafka.event(purchase.qualified)
    kafka.from_provider(AIKO, purchase.reply(), at=purchase.in_time)
    await kafka.settle()
    kafka.event(purchase.cancelled)
    await kafka.settle()

    found = check(desk, kafka, AIKO)
    assert (found.ok, found.proved) == (True, ((str(purchase.purchase_id), 1),))


async def test_a_checkpoint_that_does_not_prove_with_this_secret_is_alarmed_and_holds_up_no_other(
    desk: Running, kafka: MemoryKafka
) -> None:
    good, bad = sorted((Purchase(), Purchase()), key=lambda one: one.purchase_id, reverse=True)
    for purchase in (good, bad):
        announce(kafka, purchase)
        kafka.event(purchase.qualified)
    await kafka.settle()
    await let_an_hour_pass(desk)
    await kafka.settle()
    await desk.pool.execute(
        "UPDATE published_checkpoints SET root = sha256('') WHERE purchase_id = $1", bad.purchase_id
    )
    for purchase in (good, bad):
        kafka.event(purchase.deadline_passed)
    await kafka.settle()

    proved = all_of(kafka, InclusionProved, f"notices.{AIKO}")
    assert {one.checkpoint for one in proved if one.purchase_id == good.purchase_id} == {1, 2}
    assert {one.checkpoint for one in proved if one.purchase_id == bad.purchase_id} == {2}
    alarms = desk.runtime.metrics.registry.get_sample_value(
        "linepool_alarms_total", {"kind": "checkpoint_not_proved"}
    )
    assert alarms


# Restores.


async def live_until_the_copy(kafka: MemoryKafka, purchase: Purchase) -> None:
    announce(kafka, purchase)
    kafka.event(purchase.qualified)
    kafka.from_provider(AIKO, purchase.reply(), id="a1", at=purchase.in_time)
    kafka.from_provider(BRIO, purchase.reply(), id="b1", at=purchase.in_time)
    await kafka.settle()


async def live_on(desk: Running, kafka: MemoryKafka, purchase: Purchase) -> None:
    """Receipts and rejections of all kinds, repetitions and checkpoints among them."""
    kafka.from_provider(AIKO, purchase.reply(revision=2), id="a2", at=purchase.in_time)
    kafka.from_provider(AIKO, purchase.reply(revision=3), id="a1", at=purchase.in_time)
    kafka.from_provider(AIKO, purchase.reply(), id="a1", at=purchase.in_time)
    kafka.from_provider(UNLISTED, purchase.reply(), id="u1", at=purchase.in_time)
    await kafka.settle()
    await let_an_hour_pass(desk)
    await kafka.settle()
    kafka.from_provider(AIKO, purchase.reply(revision=4), id="a4", at=purchase.in_time)
    kafka.from_provider(CORA, purchase.decline(), id="c1", at=purchase.in_time)
    kafka.from_provider(CORA, purchase.reply(), id="c2", at=purchase.deadline)
    await kafka.settle()


async def finish(kafka: MemoryKafka, purchase: Purchase) -> None:
    kafka.from_provider(AIKO, purchase.reply(revision=5), id="a5", at=purchase.in_time)
    kafka.from_provider(
        BRIO, purchase.reply(revision=2, offer=an_offer("0.09")), id="b2", at=purchase.in_time
    )
    kafka.from_provider(CORA, purchase.reply(), id="c3", at=purchase.in_time)
    kafka.event(purchase.deadline_passed)
    await kafka.settle()


PROVIDERS = (*LISTED, UNLISTED)


@pytest.mark.parametrize("moment", ["in the middle", "to an empty one"])
async def test_after_a_restore_what_was_said_keeps_its_place_and_the_chain_goes_on_behind_it(
    desk: Running, kafka: MemoryKafka, moment: str
) -> None:
    purchase = Purchase()
    empty = await Copy.of(desk)
    await live_until_the_copy(kafka, purchase)
    copy = await Copy.of(desk) if moment == "in the middle" else empty
    await live_on(desk, kafka, purchase)
    before = {provider: bodies(kafka, provider) for provider in PROVIDERS}
    ends = {provider: len(kafka.topics[f"notices.{provider}"]) for provider in PROVIDERS}

    await copy.restore(desk)
    await kafka.settle()
    for provider in PROVIDERS:
        assert bodies(kafka, provider) == before[provider]
    await read_back(desk)
    await finish(kafka, purchase)

    for provider in PROVIDERS:
        assert bodies(kafka, provider).items() >= before[provider].items()
        found = check(desk, kafka, provider)
        assert found.ok, found.faults
        assert len(kafka.topics[f"notices.{provider}"]) >= ends[provider]
    for provider in LISTED:
        assert len(check(desk, kafka, provider).proved) == 2
    assert {one: check(desk, kafka, one).answers for one in PROVIDERS} == {
        AIKO: 5,
        BRIO: 2,
        CORA: 3,
        UNLISTED: 1,
    }
    rows = await desk.pool.fetch("SELECT provider_id, count(*) FROM replies GROUP BY 1")
    assert {row["provider_id"]: row["count"] for row in rows} == {AIKO: 4, BRIO: 2, CORA: 1}


async def test_after_a_restore_answers_may_come_in_another_order_than_before(
    desk: Running, kafka: MemoryKafka
) -> None:
    first, second = Purchase(), Purchase()
    copy = await Copy.of(desk)
    kafka.event(first.request)
    await kafka.settle()
    # The answer of what was held came after that of what was said later; after the restore it is the other way round.
    kafka.from_provider(AIKO, second.reply(), id="second", at=second.in_time)
    await deliver_only(desk, f"replies.{AIKO}")
    kafka.from_provider(AIKO, first.reply(), id="first", at=first.in_time)
    await deliver_only(desk, f"replies.{AIKO}")
    kafka.event(second.request)
    await kafka.settle()
    before = bodies(kafka, AIKO)
    assert [one.message_id for one in all_of(kafka, ReceiptIssued, f"notices.{AIKO}")] == ["first", "second"]

    await copy.restore(desk)
    await deliver_only(desk, "rfp.events")
    await deliver_only(desk, f"replies.{AIKO}")
    kafka.from_provider(AIKO, first.reply(revision=2), id="third", at=first.in_time)
    for id_, purchase in (("second", second), ("first", first)):
        kafka.from_provider(AIKO, purchase.reply(), id=id_, at=purchase.in_time)
    await kafka.settle()

    rows = await desk.pool.fetch("SELECT message_id, chain_number FROM provider_messages")
    assert {row["message_id"]: row["chain_number"] for row in rows} == {"first": 1, "second": 2, "third": 3}
    assert bodies(kafka, AIKO).items() >= before.items()
    assert sorted(numbers(kafka, AIKO)) == [1, 1, 2, 2, 3]
    assert check(desk, kafka, AIKO).ok


async def test_after_a_restore_an_answer_stands_though_by_now_another_would_be_given(
    desk: Running, kafka: MemoryKafka
) -> None:
    """Receipted before the purchase was called off; rejected before the list was known."""
    purchase, later = Purchase(), Purchase()
    copy = await Copy.of(desk)
    kafka.event(purchase.request)
    kafka.from_provider(AIKO, purchase.reply(), id="taken", at=purchase.in_time)
    kafka.from_provider(BRIO, later.reply(), id="unknown", at=later.in_time)
    await kafka.settle()
    kafka.event(purchase.cancelled)
    kafka.event(later.request)
    await kafka.settle()
    before = [bodies(kafka, one) for one in (AIKO, BRIO)]
    assert (answers(kafka, AIKO), answers(kafka, BRIO)) == (["received"], ["unknown_purchase"])

    await copy.restore(desk)
    await deliver_only(desk, "rfp.events")
    await kafka.settle()
    assert [bodies(kafka, one) for one in (AIKO, BRIO)] == before
    kafka.from_provider(AIKO, purchase.reply(), id="taken", at=purchase.in_time)
    kafka.from_provider(BRIO, later.reply(), id="unknown", at=later.in_time)
    await kafka.settle()

    assert [bodies(kafka, one) for one in (AIKO, BRIO)] == before
    assert len(ids_on(kafka, f"notices.{AIKO}")) == len(ids_on(kafka, f"notices.{BRIO}")) == 2
    assert await desk.pool.fetchval("SELECT count(*) FROM replies") == 0


async def test_what_another_service_says_on_the_same_topic_is_not_taken_for_an_own_word(
    desk: Running, kafka: MemoryKafka
) -> None:
    purchase = Purchase()
    copy = await Copy.of(desk)
    announce(kafka, purchase)
    kafka.from_provider(AIKO, purchase.reply(), at=purchase.in_time)
    await kafka.settle()
    (mine,) = kafka.topics[f"notices.{AIKO}"]
    others = [
        (name, {"ce_source": b"/linepool/notification", "ce_id": str(UUID(int=7)).encode()}.get(name, value))
        for name, value in mine.headers
    ]
    kafka.append(f"notices.{AIKO}", mine.value, others, mine.key)

    await copy.restore(desk)

    assert await desk.pool.fetchval("SELECT count(*) FROM adopted WHERE stream LIKE 'notices.%'") == 1


async def test_a_checkpoint_whose_copies_were_lost_in_part_is_said_to_the_others_and_proved_to_all(
    desk: Running, kafka: MemoryKafka
) -> None:
    purchase = Purchase()
    await live_until_the_copy(kafka, purchase)
    copy = await Copy.of(desk)
    await let_an_hour_pass(desk)
    await kafka.settle()
    (lost,) = kafka.topics[f"notices.{BRIO}"][1:]
    del kafka.topics[f"notices.{BRIO}"][1:]

    await copy.restore(desk)
    kafka.event(purchase.deadline_passed)
    await kafka.settle()

    assert lost.value in [record.value for record in kafka.topics[f"notices.{BRIO}"]]
    for provider in LISTED:
        found = check(desk, kafka, provider)
        assert (found.ok, len(found.proved)) == (True, 2)


async def test_a_checkpoint_over_answers_that_were_lost_is_never_made_anew_and_cannot_be_proved(
    desk: Running, kafka: MemoryKafka
) -> None:
    purchase = Purchase()
    await live_until_the_copy(kafka, purchase)
    copy = await Copy.of(desk)
    kafka.from_provider(BRIO, purchase.reply(revision=2), at=purchase.in_time)
    await kafka.settle()
    await let_an_hour_pass(desk)
    await kafka.settle()
    del kafka.topics[f"notices.{BRIO}"][1:]

    await copy.restore(desk)
    kafka.event(purchase.deadline_passed)
    await kafka.settle()

    for provider in (AIKO, CORA):
        found = check(desk, kafka, provider)
        assert found.ok
        assert found.proved == ((str(purchase.purchase_id), 2),)
        assert found.unproved == ((str(purchase.purchase_id), 1),)
    alarms = desk.runtime.metrics.registry.get_sample_value(
        "linepool_alarms_total", {"kind": "checkpoint_not_provable"}
    )
    assert alarms == 1
