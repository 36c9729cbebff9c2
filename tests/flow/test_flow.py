"""The whole flow of all five services, in every order and under every repetition."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from random import Random

import pytest

from shared.documents import join
from shared.envelope import read_headers
from shared.messages.base import PART_BYTES
from shared.messages.bidding import (
    CustodianKeyReleased,
    MessageRejected,
    RepliesOpened,
    TermsAccepted,
    TermsDocumentPart,
)
from shared.messages.distribution import CancellationPresented
from shared.messages.notification import MailDelivered
from shared.messages.rfp import DeadlinePassed, GroupNotQualified, RequestCancelled, RequestIssued
from shared.terms_digest import terms_digest
from tests.flow.compared import decided, differing
from tests.flow.judged import judged
from tests.flow.pace import soon
from tests.flow.purchase import (
    OFFICER,
    TERMS,
    Purchase,
    bid,
    buy,
    cancelling,
    conclude,
    expected_of,
    form,
    issue,
    mails_of,
    register,
    release,
    verify,
)
from tests.flow.system import Parts, System, five_services

AIKO, BRIO, CORA = "aikoaikoaiko", "briobriobrio", "coracoracora"
CUSTODIAN = b"c" * 32
SEEDS = [*range(8), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(8, 40))]


def ahead() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=soon())


@pytest.fixture
async def purchase(system: System) -> Purchase:
    await register(system, AIKO, BRIO, CORA)
    return Purchase((AIKO, BRIO, CORA))


def mails(parts: Parts, purchase: Purchase) -> Counter[str]:
    """Count the mails at the mail server to this purchase's people, by Message-ID."""
    addresses = {purchase.contact(number).email for number in range(purchase.buyers + 1)}
    found = Counter[str]()
    for file in parts.mail.folder.glob("*.eml"):
        headers = file.read_text().partition("\n\n")[0]
        fields = dict(line.split(": ", 1) for line in headers.splitlines() if ": " in line)
        if any(address in fields["To"] for address in addresses):
            found[fields["Message-ID"]] += 1
    return found


def complete(parts: Parts, purchase: Purchase) -> None:
    """Check that nothing is missing and nothing is doubled."""
    assert parts.kafka.distinct(purchase.subjects) == expected_of(purchase)
    by_id = {
        read_headers(record.headers).id: message
        for record, message in zip(
            parts.kafka.topics["notification.events"],
            parts.kafka.messages("notification.events"),
            strict=True,
        )
    }
    delivered = [
        one
        for one in by_id.values()
        if isinstance(one, MailDelivered) and one.purchase_id == purchase.purchase_id
    ]
    assert sorted((one.person_id, one.kind) for one in delivered) == sorted(mails_of(purchase))
    assert mails(parts, purchase) == Counter(one.message_id for one in delivered)


async def test_a_purchase_runs_from_its_group_to_accepted_terms(
    system: System, parts: Parts, purchase: Purchase
) -> None:
    await buy(system, purchase, seconds=soon)
    await system.rest()
    complete(parts, purchase)


async def test_terms_of_three_megabytes_are_accepted_by_their_hash(system: System, parts: Parts) -> None:
    content = Random(3).randbytes(3 * 1024 * 1024)  # noqa: S311 # bytes to repeat, no secret
    purchase = Purchase((AIKO, BRIO, CORA), document=content)
    await register(system, AIKO, BRIO, CORA)
    await buy(system, purchase, seconds=soon)
    await system.rest()
    complete(parts, purchase)
    sent = [one for one in parts.kafka.messages("bidding.comparisons") if isinstance(one, TermsDocumentPart)]
    accepted = await system.until(TermsAccepted, purchase.purchase_id)
    assert join(sent[0].document, [one.data for one in sent]) == content
    assert accepted.terms_sha256 == terms_digest(TERMS, sent[0].document)
    assert sent[0].document.sha256 == sha256(content).hexdigest()


async def test_a_purchase_whose_replies_are_sealed_twice_waits_for_its_custodian_and_runs_to_its_end(
    system: System, parts: Parts
) -> None:
    purchase = Purchase((AIKO, BRIO, CORA), custodian_secret=CUSTODIAN)
    await register(system, AIKO, BRIO, CORA)
    await buy(system, purchase, seconds=soon)
    await system.rest()
    complete(parts, purchase)
    report = await judged(parts, purchase)
    assert report.ok, str(report)
    assert report.of("I5").outcome == "ok"


async def test_every_record_may_be_delivered_three_times(
    system: System, parts: Parts, purchase: Purchase
) -> None:
    parts.kafka.copies = 3
    await buy(system, purchase, seconds=lambda: 2 * soon())
    await system.rest()
    complete(parts, purchase)


async def test_every_message_may_be_appended_three_times(
    system: System, parts: Parts, purchase: Purchase
) -> None:
    parts.kafka.appended_times = 3
    await buy(system, purchase, seconds=lambda: 2 * soon())
    await system.rest()
    complete(parts, purchase)


@pytest.mark.parametrize("seed", SEEDS)
async def test_any_order_between_the_streams_leads_to_the_same(
    system: System, parts: Parts, purchase: Purchase, seed: int
) -> None:
    parts.kafka.random = Random(seed)  # noqa: S311 # an order to repeat, no secret
    parts.kafka.in_pieces = True
    parts.kafka.copies = 1 + seed % 2
    await buy(system, purchase, seconds=lambda: 1.6 * soon())
    await system.rest()
    complete(parts, purchase)


async def test_a_request_of_a_group_that_is_not_qualified_never_leaves(
    system: System, parts: Parts, purchase: Purchase
) -> None:
    await form(system, purchase)
    snapshot = await issue(system, purchase, ahead())
    await system.order(purchase.finding(0, snapshot), OFFICER)
    await system.order(purchase.finding(1, snapshot, refused=True), OFFICER)
    await system.until(GroupNotQualified, purchase.purchase_id)
    await system.until(RepliesOpened, purchase.purchase_id)
    await system.rest()
    said = parts.kafka.distinct(purchase.subjects)
    assert not said.keys() & {"GroupQualified", "ProviderInvited", "RequestDistributed", "RequestPresented"}
    assert not [topic for topic in parts.kafka.topics if topic.startswith("invitations.")]


async def test_a_cancellation_reaches_everyone_who_was_invited(
    system: System, parts: Parts, purchase: Purchase
) -> None:
    await form(system, purchase)
    snapshot = await issue(system, purchase, datetime.now(UTC) + timedelta(days=1))
    await verify(system, purchase, snapshot)
    await bid(system, purchase)
    await system.order(cancelling(purchase), purchase.coordinator)
    for provider_id in purchase.providers:
        await system.until(CancellationPresented, purchase.purchase_id, provider_id=provider_id)
    await system.word(AIKO, purchase.reply(0, revision=2))
    rejected = await system.until(MessageRejected, purchase.purchase_id, provider_id=AIKO)
    await system.rest()
    assert rejected.reason == "cancelled"
    said = parts.kafka.distinct(purchase.subjects)
    assert said["RequestCancelled"] == 1
    assert said["CancellationPresented"] == 3
    assert not said.keys() & {DeadlinePassed.__name__, RepliesOpened.__name__}
    for service in system.services.values():
        assert not await service.pool.fetchval("SELECT true FROM timers WHERE kind = 'deadline'")


async def test_a_purchase_without_replies_ends_with_that_news(
    system: System, parts: Parts, purchase: Purchase
) -> None:
    await form(system, purchase)
    snapshot = await issue(system, purchase, ahead())
    await verify(system, purchase, snapshot)
    opened = await system.until(RepliesOpened, purchase.purchase_id)
    await system.rest()
    assert opened.replies == ()
    kinds = Counter(
        one.kind
        for one in parts.kafka.messages("notification.events")
        if isinstance(one, MailDelivered) and one.purchase_id == purchase.purchase_id
    )
    assert kinds["no_replies"] == purchase.buyers + 1


async def test_the_whole_log_again_changes_nothing(system: System, parts: Parts, purchase: Purchase) -> None:
    cancelled = Purchase((AIKO, BRIO))
    await buy(system, purchase, seconds=soon)
    await form(system, cancelled)
    snapshot = await issue(system, cancelled, datetime.now(UTC) + timedelta(days=1))
    await verify(system, cancelled, snapshot)
    await bid(system, cancelled)
    await system.order(cancelling(cancelled), cancelled.coordinator)
    await system.until(RequestCancelled, cancelled.purchase_id)
    await system.rest()
    tables, topics = await system.tables(), parts.kafka.records()
    sent = mails(parts, purchase) + mails(parts, cancelled)
    for service in system.services.values():
        await service.pool.execute("TRUNCATE inbox, positions")
        service.rewind()
    await system.rest()
    # Each answer has its own number on its provider's topic, so an answer that is repeated takes the next one.
    assert differing(await system.tables(), tables).keys() <= {"bidding.subjects"}
    # Receipts are answers: whoever says the same again is answered the same again.
    assert parts.kafka.records(without=("notices.",)) == {
        topic: records for topic, records in topics.items() if not topic.startswith("notices.")
    }
    for topic, records in parts.kafka.records().items():
        assert set(records) == set(topics[topic])
    assert mails(parts, purchase) + mails(parts, cancelled) == sent


Step = Callable[[System, Purchase], object]


async def _issued(system: System, purchase: Purchase) -> None:
    await issue(system, purchase, datetime.now(UTC) + timedelta(seconds=2 * soon()))


async def _verified(system: System, purchase: Purchase) -> None:
    issued = await system.until(RequestIssued, purchase.purchase_id)
    await verify(system, purchase, issued.snapshot)


async def _released(system: System, purchase: Purchase) -> None:
    if purchase.custodian_secret is not None:
        await release(system, purchase)
        await system.until(CustodianKeyReleased, purchase.purchase_id)


async def _compared(system: System, purchase: Purchase) -> None:
    await system.until(RepliesOpened, purchase.purchase_id)


STEPS = {
    "formed": form,
    "issued": _issued,
    "verified": _verified,
    "bid": bid,
    "released": _released,
    "opened": _compared,
}
SEALED_ONCE = [(step, None) for step in STEPS if step != "released"]
SEALED_TWICE = [(step, CUSTODIAN) for step in ("bid", "released")]


@pytest.mark.parametrize(("step", "custodian"), [*SEALED_ONCE, *SEALED_TWICE])
async def test_a_restored_database_catches_up_and_contradicts_nothing(
    parts: Parts, postgres_copy: Callable[[str], object], step: str, custodian: bytes | None
) -> None:
    purchase = Purchase((AIKO, BRIO, CORA), document=b"x" * (PART_BYTES + 1), custodian_secret=custodian)
    async with five_services(parts) as system:
        await register(system, AIKO, BRIO, CORA)
        for name, do in STEPS.items():
            await do(system, purchase)
            if name == step:
                break
    copy = await postgres_copy(parts.dsn)
    async with five_services(parts) as system:
        for name in list(STEPS)[list(STEPS).index(step) + 1 :]:
            await STEPS[name](system, purchase)
        await conclude(system, purchase)
        await system.rest()
        complete(parts, purchase)
        tables = await decided(system)
    topics = parts.kafka.records()
    sent = mails(parts, purchase)
    async with five_services(Parts(copy, parts.kafka, parts.mail, parts.worker)) as system:
        await system.rest()
        complete_again = parts.kafka.distinct(purchase.subjects)
        restored = await decided(system)
    assert complete_again == expected_of(purchase)
    for topic, records in parts.kafka.records().items():
        assert set(records) == set(topics[topic]), topic
    assert mails(parts, purchase).keys() == sent.keys()
    assert differing(restored, tables) == {}
