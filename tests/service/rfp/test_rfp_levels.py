"""How far a party must be looked into, and what a finding rests on."""

from collections.abc import AsyncIterator
from datetime import date
from typing import Literal
from uuid import uuid4

import pytest

from services.rfp.settings import Settings
from shared.envelope import Actor
from shared.messages import Message
from shared.messages.aggregation import GroupDissolved
from shared.messages.evidence import Agency, EvidenceFiled, LetterFiled
from shared.messages.people import AddressConfirmed, BuyerInvited
from shared.messages.rfp import BuyerVerified, GroupQualified, NeedDescribed
from tests.memory import TEST_SETTINGS, MemoryKafka, Running
from tests.service.conftest import start
from tests.service.rebuilding import rebuilt
from tests.service.rfp.conftest import Purchase, soon


def filed(purchase: Purchase, sha256: str, *, of: Literal["coordinator", "buyer"] = "buyer") -> EvidenceFiled:
    party_id = purchase.buyer_ids[0] if of == "buyer" else purchase.coordinator.person_id
    return EvidenceFiled(
        purchase_id=purchase.purchase_id,
        party=of,
        party_id=party_id,
        kind="register_extract",
        sha256=sha256,
        size=7,
    )


@pytest.fixture
async def drafted(purchase: Purchase, kafka: MemoryKafka) -> Purchase:
    for fact in purchase.facts():
        kafka.event(fact)
    await kafka.settle()
    return purchase


@pytest.fixture
async def strict(database: str, kafka: MemoryKafka) -> AsyncIterator[Purchase]:
    """Return a drafted group of which every member's documents must be reviewed."""
    settings = {
        "qualification_coordinator_level": "document_reviewed",
        "qualification_buyer_level": "document_reviewed",
        "qualification_buyers": "all",
    }
    async with start("rfp", database, kafka, **settings) as service:
        purchase = Purchase(kafka, service)
        for fact in purchase.facts():
            kafka.event(fact)
        await kafka.settle()
        yield purchase


async def test_a_finding_below_the_policys_level_is_kept_but_does_not_qualify(strict: Purchase) -> None:
    for party_id in (None, *strict.buyer_ids):
        await strict.say(strict.finding(party_id), strict.officer)
    assert [one.level for one in strict.events(BuyerVerified)] == ["registry_matched"] * 3
    assert not strict.events(GroupQualified)
    for party_id in (None, *strict.buyer_ids):
        await strict.say(strict.finding(party_id, method="document"), strict.officer)
    (qualified,) = strict.events(GroupQualified)
    assert qualified.policy is not None
    assert (qualified.policy.buyer_level, qualified.policy.buyers) == ("document_reviewed", "all")


async def test_a_refused_party_may_be_verified_in_a_new_attempt(strict: Purchase) -> None:
    first, second = strict.buyer_ids
    for party_id in (None, first):
        await strict.say(strict.finding(party_id, method="visit"), strict.officer)
    await strict.say(strict.finding(second, outcome="refused", reason="Another name"), strict.officer)
    assert not strict.events(GroupQualified)
    await strict.say(strict.finding(second, method="document"), strict.officer)
    assert len(strict.events(GroupQualified)) == 1


async def test_a_group_keeps_the_policy_under_which_it_was_frozen(
    rfp: Running, drafted: Purchase, kafka: MemoryKafka, database: str
) -> None:
    await drafted.say(drafted.finding(), drafted.officer)
    kafka.services.remove(rfp)
    async with start("rfp", database, kafka, qualification_buyers="all") as again:
        drafted.service = again
        again.next = rfp.next
        await drafted.say(drafted.finding(drafted.buyer_ids[0]), drafted.officer)
    kafka.services.append(rfp)
    (qualified,) = drafted.events(GroupQualified)
    assert qualified.policy is not None
    assert qualified.policy.buyers == 1


@pytest.mark.parametrize("confirmed_first", [True, False])
async def test_an_address_counts_once_it_is_confirmed_in_whichever_order_that_arrives(
    database: str, kafka: MemoryKafka, confirmed_first: bool
) -> None:
    """The finding waits for the fact for as long as a command is patient."""
    levels = {
        "qualification_coordinator_level": "address_confirmed",
        "qualification_buyer_level": "address_confirmed",
    }
    async with start("rfp", database, kafka, command_patience_s=30.0, **levels) as service:
        purchase = Purchase(kafka, service)
        for fact in purchase.facts():
            kafka.event(fact)
        await kafka.settle()
        facts = [
            AddressConfirmed(person_id=person)
            for person in (purchase.coordinator.person_id, purchase.contact_ids[0])
        ]
        findings = [purchase.finding(one, method="address") for one in (None, purchase.buyer_ids[0])]
        if confirmed_first:
            for fact in facts:
                kafka.event(fact)
        for finding in findings:
            kafka.command(finding, purchase.officer)
        await kafka.settle()
        if not confirmed_first:
            assert not purchase.events(BuyerVerified, GroupQualified)
            for fact in facts:
                kafka.event(fact)
            await kafka.settle()
        await purchase.try_what_waits()
        assert [one.level for one in purchase.events(BuyerVerified)] == ["address_confirmed"] * 2
        assert len(purchase.events(GroupQualified)) == 1
        assert not purchase.refusals()


async def test_an_address_that_nobody_has_confirmed_is_no_level(
    drafted: Purchase, kafka: MemoryKafka
) -> None:
    kafka.event(AddressConfirmed(person_id=drafted.contact_ids[1]))
    await drafted.say(drafted.finding(drafted.buyer_ids[0], method="address"), drafted.officer)
    await drafted.say(drafted.finding(method="address"), drafted.officer)
    assert drafted.refusals() == ["address_unconfirmed"] * 2
    await drafted.say(drafted.finding(drafted.buyer_ids[1], method="address"), drafted.officer)
    assert [one.level for one in drafted.events(BuyerVerified)] == ["address_confirmed"]
    await drafted.say(
        drafted.finding(drafted.buyer_ids[0], method="address", outcome="refused", reason="Mail comes back"),
        drafted.officer,
    )
    assert len(drafted.refusals()) == 2


async def test_a_finding_cites_documents_that_were_filed_about_its_party(
    drafted: Purchase, kafka: MemoryKafka
) -> None:
    today = date(2026, 5, 1)
    agency = Agency(services=("voice",), valid_from=today, valid_until=date(2027, 5, 1), signed_on=today)
    buyer_id = drafted.buyer_ids[0]
    kafka.event(filed(drafted, "a" * 64))
    kafka.event(filed(drafted, "c" * 64, of="coordinator"))
    letter = LetterFiled(
        purchase_id=drafted.purchase_id, buyer_id=buyer_id, agency=agency, sha256="b" * 64, size=7
    )
    kafka.event(letter)
    for party_id, cited in (
        (buyer_id, ("a" * 64, "d" * 64)),
        (drafted.buyer_ids[1], ("a" * 64,)),
        (None, ("a" * 64,)),
    ):
        await drafted.say(drafted.finding(party_id, method="document", evidence=cited), drafted.officer)
    assert drafted.refusals() == ["evidence_unknown"] * 3
    await drafted.say(
        drafted.finding(buyer_id, method="document", evidence=("a" * 64, "b" * 64)), drafted.officer
    )
    await drafted.say(drafted.finding(method="document", evidence=("c" * 64,)), drafted.officer)
    assert len(drafted.events(GroupQualified)) == 1


async def test_a_finding_waits_for_the_document_that_it_cites(database: str, kafka: MemoryKafka) -> None:
    async with start("rfp", database, kafka, command_patience_s=30.0) as service:
        purchase = Purchase(kafka, service)
        for fact in purchase.facts():
            kafka.event(fact)
        await purchase.kafka.settle()
        kafka.command(purchase.finding(purchase.buyer_ids[0], evidence=("a" * 64,)), purchase.officer)
        await kafka.settle()
        assert not purchase.events(BuyerVerified)
        kafka.event(filed(purchase, "a" * 64))
        await kafka.settle()
        await purchase.try_what_waits()
        assert len(purchase.events(BuyerVerified)) == 1


async def test_an_officer_who_was_invited_into_the_group_does_not_verify_it(
    purchase: Purchase, kafka: MemoryKafka
) -> None:
    invited = Actor(person_id=uuid4(), role="officer")
    kafka.event(
        BuyerInvited(
            purchase_id=purchase.purchase_id,
            invitation_id=uuid4(),
            number=1,
            legal_name="Town of Cel",
            contact_id=invited.person_id,
            expires_at=soon(),
        )
    )
    for fact in purchase.facts():
        kafka.event(fact)
    await kafka.settle()
    await purchase.say(purchase.finding(), invited)
    assert purchase.refusals() == ["officer_is_member"]


async def test_a_group_that_was_given_up_asks_for_nothing(purchase: Purchase, kafka: MemoryKafka) -> None:
    kafka.event(purchase.opened())
    await purchase.say(purchase.describing())
    kafka.event(GroupDissolved(purchase_id=purchase.purchase_id, reason="Too few towns"))
    await kafka.settle()
    await purchase.say(purchase.describing())
    await purchase.say(purchase.issuing())
    assert len(purchase.events(NeedDescribed)) == 1
    assert [type(one).__name__ for one in _refused(purchase)] == [
        "DescribeNeedRefused",
        "IssueRequestRefused",
    ]
    assert purchase.refusals() == ["group_dissolved"] * 2


def _refused(purchase: Purchase) -> list[Message]:
    return [one for one in purchase.kafka.messages("rfp.events") if type(one).__name__.endswith("Refused")]


async def test_a_lost_database_finds_the_same_findings_counting(
    rfp: Running, drafted: Purchase, kafka: MemoryKafka, database: str
) -> None:
    """The findings come again before the facts that they rest on."""
    kafka.event(filed(drafted, "a" * 64))
    kafka.event(AddressConfirmed(person_id=drafted.coordinator.person_id))
    await drafted.say(drafted.finding(drafted.buyer_ids[0], evidence=("a" * 64,)), drafted.officer)
    await drafted.say(drafted.finding(method="address"), drafted.officer)
    await drafted.say(drafted.finding(), drafted.officer)
    await drafted.say(drafted.finding(method="address", evidence=("f" * 64,)), drafted.officer)
    assert len(drafted.events(GroupQualified)) == 1
    ours = ("verifications", "requests", "evidence", "confirmed_addresses", "buyers")
    before = {name: rows for name, rows in (await rfp.tables()).items() if name in ours}
    said = {topic: len(records) for topic, records in kafka.topics.items() if records}
    facts = kafka.topics.pop("aggregation.events")
    async with rebuilt("rfp", rfp, database, ["rfp.events", "rfp.documents"]) as again:
        drafted.service = again
        await kafka.settle()
        kafka.topics["aggregation.events"] = facts
        await kafka.settle()
        await drafted.try_what_waits()
        assert {name: rows for name, rows in (await again.tables()).items() if name in ours} == before
    assert {topic: len(records) for topic, records in kafka.topics.items() if records} == said


@pytest.mark.parametrize("buyers", ["0", "some", "-1"])
def test_a_policy_that_nobody_can_mean_is_refused_at_start(buyers: str) -> None:
    with pytest.raises(ValueError, match="qualification_buyers"):
        Settings(**{**TEST_SETTINGS, "postgres_dsn": "postgresql://x", "qualification_buyers": buyers})


def test_the_policy_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINEPOOL_QUALIFICATION_BUYERS", "3")
    monkeypatch.setenv("LINEPOOL_QUALIFICATION_BUYER_LEVEL", "address_confirmed")
    settings = Settings(**{**TEST_SETTINGS, "postgres_dsn": "postgresql://x"})
    assert (settings.policy.buyers, settings.policy.buyer_level) == (3, "address_confirmed")
