"""Letters of agency and evidence are filed in parts, checked whole, and told to the officer alone."""

from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.aggregation.domain.evidence import MOST
from shared.documents import join, manifest_of, split
from shared.envelope import Actor
from shared.messages.aggregation import (
    BillingPreferencesSet,
    DissolveGroup,
    GroupAggregated,
    GroupOpened,
    UsageReported,
)
from shared.messages.base import DOCUMENT_BYTES, PART_BYTES
from shared.messages.evidence import (
    Agency,
    EvidenceFiled,
    EvidencePart,
    FileEvidence,
    FileEvidenceRefused,
    FileLetter,
    LetterFiled,
)
from tests.memory import MemoryKafka, Running
from tests.service.aggregation.conftest import Conversation, a_line
from tests.service.rebuilding import rebuilt

SMALL = b"%PDF-1.7 a letter"
TODAY = datetime.now(UTC).date()
UNMOVED = ("inbox", "positions", "log", "subjects", "orders")


def large(size: int = PART_BYTES * 2 + 100) -> bytes:
    return Random(7).randbytes(size)  # noqa: S311 # bytes to repeat, no secret


def an_agency(**other: Any) -> Agency:
    fields = {
        "services": ("voice",),
        "valid_from": TODAY,
        "valid_until": TODAY + timedelta(days=300),
        "signed_on": TODAY - timedelta(days=3),
    }
    return Agency(**{**fields, **other})


def letter(
    group: Conversation, buyer_id: UUID, content: bytes = SMALL, name: str = "letter.pdf", **agency: Any
) -> list[FileLetter]:
    manifest = manifest_of(name, content)
    return [
        FileLetter(
            purchase_id=group.purchase_id,
            buyer_id=buyer_id,
            agency=an_agency(**agency),
            signer="Ada Okafor",
            document=manifest,
            part=number,
            data=data,
        )
        for number, data in split(manifest, content)
    ]


def evidence(
    group: Conversation, party_id: UUID | None = None, content: bytes = SMALL, name: str = "extract.pdf"
) -> list[FileEvidence]:
    """File a document about a buyer, or about the coordinator (no id)."""
    manifest = manifest_of(name, content)
    return [
        FileEvidence(
            purchase_id=group.purchase_id,
            party="buyer" if party_id else "coordinator",
            party_id=party_id or group.coordinator.person_id,
            kind="register_extract",
            document=manifest,
            part=number,
            data=data,
        )
        for number, data in split(manifest, content)
    ]


def filed_parts(group: Conversation, kind: str) -> list[EvidencePart]:
    said = group.kafka.messages("aggregation.evidence")
    return sorted(
        (one for one in said if isinstance(one, EvidencePart) and one.kind == kind), key=lambda one: one.part
    )


@pytest.fixture
async def buyer_id(group: Conversation) -> UUID:
    """Return a buyer whose letter is required."""
    await group.say(group.opening(letters_required=True))
    buyer_id = uuid4()
    await group.say(group.joining(buyer_id))
    return buyer_id


@pytest.mark.parametrize("copies", [1, 3])
async def test_evidence_of_ten_mebibytes_comes_out_whole_whatever_the_order_of_its_parts(
    aggregation: Running, group: Conversation, kafka: MemoryKafka, buyer_id: UUID, copies: int
) -> None:
    kafka.copies = copies
    content = large(DOCUMENT_BYTES)
    parts = evidence(group, buyer_id, content)
    Random(7).shuffle(parts)  # noqa: S311 # an order, not a secret
    for part in parts:
        await group.say(part)
    (filed,) = group.events(EvidenceFiled)
    manifest = manifest_of("extract.pdf", content)
    assert (filed.party, filed.party_id, filed.kind) == ("buyer", buyer_id, "register_extract")
    assert (filed.sha256, filed.size) == (manifest.sha256, DOCUMENT_BYTES)
    assert join(manifest, [one.data for one in filed_parts(group, "register_extract")]) == content
    # What the officer reads stands on its topic alone: no row keeps it, and no event has its name.
    assert await aggregation.pool.fetchval("SELECT count(*) FROM document_parts") == 0
    assert all(b"extract.pdf" not in (record.value or b"") for record in kafka.topics["aggregation.events"])


async def test_a_letter_is_filed_with_what_it_allows_and_its_signer_stands_on_its_own_topic_alone(
    group: Conversation, kafka: MemoryKafka, buyer_id: UUID
) -> None:
    for part in letter(group, buyer_id):
        await group.say(part)
    (filed,) = group.events(LetterFiled)
    assert (filed.buyer_id, filed.agency, filed.sha256) == (
        buyer_id,
        an_agency(),
        manifest_of("l", SMALL).sha256,
    )
    (said,) = filed_parts(group, "letter_of_agency")
    assert (said.signer, said.party, said.party_id) == ("Ada Okafor", "buyer", buyer_id)
    assert b64decode(said.data) == SMALL
    assert all(b"Okafor" not in (record.value or b"") for record in kafka.topics["aggregation.events"])


async def test_the_same_document_again_is_quiet_and_another_of_its_name_is_refused(
    group: Conversation, buyer_id: UUID
) -> None:
    for document in (SMALL, SMALL, b"another"):
        await group.say(evidence(group, buyer_id, document)[0])
    assert len(group.events(EvidenceFiled)) == 1
    assert group.refusals() == ["name_taken"]


async def test_a_newer_letter_takes_the_place_of_the_older(
    aggregation: Running, group: Conversation, buyer_id: UUID
) -> None:
    await group.say(letter(group, buyer_id, services=("data",))[0])
    first, *others = letter(group, buyer_id, large())
    await group.say(first)
    assert await aggregation.pool.fetchval("SELECT agency ->> 'services' FROM letters") == '["data"]'
    for part in others:
        await group.say(part)
    assert await aggregation.pool.fetchval("SELECT agency ->> 'services' FROM letters") == '["voice"]'
    await group.say(letter(group, buyer_id, large(), valid_until=TODAY)[0])
    await group.say(letter(group, buyer_id, b"short", name="new.pdf", services=("sms",))[0])
    assert [one.agency.services for one in group.events(LetterFiled)] == [("data",), ("voice",), ("sms",)]


async def test_an_older_letter_may_be_filed_again_in_the_place_of_the_newer(
    aggregation: Running, group: Conversation, buyer_id: UUID
) -> None:
    older = letter(group, buyer_id, services=("data",))[0]
    newer = letter(group, buyer_id, b"newer", name="newer.pdf")[0]
    for order in (older, newer, newer, older):
        await group.say(order)
    assert [one.agency.services for one in group.events(LetterFiled)] == [("data",), ("voice",), ("data",)]
    assert await aggregation.pool.fetchval("SELECT agency ->> 'services' FROM letters") == '["data"]'


async def test_a_document_with_another_hash_is_refused_and_may_be_sent_anew(
    aggregation: Running, group: Conversation, buyer_id: UUID, database: str, kafka: MemoryKafka
) -> None:
    content = large()
    right = evidence(group, buyer_id, content)
    wrong = evidence(group, buyer_id, content[::-1])
    for good, bad in zip(right, wrong, strict=True):
        last = await group.say(bad.model_copy(update={"document": good.document}))
    (refused,) = group.events(FileEvidenceRefused)
    assert (refused.reason, refused.command_id) == ("hash_wrong", last)
    assert await aggregation.pool.fetchval("SELECT count(*) FROM document_parts") == 0
    assert not group.events(EvidenceFiled)
    for part in right:
        await group.say(part)
    assert len(group.events(EvidenceFiled)) == 1
    ours = ("documents", "document_parts", "letters", "groups")
    before = {name: rows for name, rows in (await aggregation.tables()).items() if name in ours}
    said = {topic: len(records) for topic, records in kafka.topics.items()}
    async with rebuilt(
        "aggregation", aggregation, database, [one for one in said if one != "aggregation.commands"]
    ) as again:
        await kafka.settle()
        assert {name: rows for name, rows in (await again.tables()).items() if name in ours} == before
    assert {topic: len(records) for topic, records in kafka.topics.items()} == said


def _changed(part: FileEvidence, **changes: object) -> FileEvidence:
    return FileEvidence.model_validate(
        {**part.model_dump(), "document": {**part.document.model_dump(), **changes}}
    )


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (lambda one: _changed(one, size=DOCUMENT_BYTES + 1, parts=28), "document_too_large"),
        (lambda one: _changed(one, parts=9), "parts_wrong"),
        (lambda one: one.model_copy(update={"part": 4}), "parts_wrong"),
        (lambda one: _changed(one, name="map.pdf"), "name_taken"),
        (lambda one: one.model_copy(update={"data": one.data[:-3]}), "part_unreadable"),
        (lambda one: one.model_copy(update={"data": one.data[4:]}), "part_size_wrong"),
        (
            lambda one: one.model_copy(update={"data": b64encode(b64decode(one.data) + b"more").decode()}),
            "part_size_wrong",
        ),
        (lambda one: one.model_copy(update={"party_id": uuid4()}), "buyer_unknown"),
        (lambda one: one.model_copy(update={"party": "coordinator"}), "party_unknown"),
    ],
)
async def test_what_cannot_be_filed_is_refused_with_its_reason_and_loses_nothing(
    aggregation: Running,
    group: Conversation,
    buyer_id: UUID,
    bad: Callable[[FileEvidence], FileEvidence],
    reason: str,
) -> None:
    await group.say(evidence(group, buyer_id, name="map.pdf")[0])
    first, second, third = evidence(group, buyer_id, large())
    await group.say(second)
    before = await aggregation.tables(without=UNMOVED)
    await group.say(bad(first))
    assert group.refusals() == [reason]
    assert await aggregation.tables(without=UNMOVED) == before
    await group.say(first)
    await group.say(third)
    assert len(group.events(EvidenceFiled)) == 2


async def test_a_party_has_at_most_twenty_documents(group: Conversation, buyer_id: UUID) -> None:
    await group.say(letter(group, buyer_id)[0])
    for number in range(MOST):
        await group.say(evidence(group, buyer_id, name=f"{number}.pdf")[0])
    assert group.refusals() == ["too_many_documents"]
    await group.say(letter(group, buyer_id, b"renewed")[0])
    await group.say(evidence(group)[0])
    assert group.refusals() == ["too_many_documents"]


@pytest.mark.parametrize(
    ("agency", "reason"),
    [
        ({"signed_on": TODAY + timedelta(days=1), "valid_from": TODAY}, "signed_late"),
        (
            {"signed_on": TODAY + timedelta(days=3), "valid_from": TODAY + timedelta(days=3)},
            "signed_in_future",
        ),
    ],
)
async def test_a_letter_is_signed_before_it_begins_and_not_in_the_future(
    group: Conversation, buyer_id: UUID, agency: dict[str, Any], reason: str
) -> None:
    await group.say(letter(group, buyer_id, **agency)[0])
    assert group.refusals() == [reason]
    assert not group.events(LetterFiled)


async def test_a_member_files_for_its_own_buyer_and_the_coordinator_for_all(group: Conversation) -> None:
    await group.say(group.opening())
    person_id, own_id, other_id = uuid4(), uuid4(), uuid4()
    member = Actor(person_id=person_id, role="member")
    await group.say(group.joining(own_id, contact_id=person_id))
    await group.say(group.joining(other_id))
    for party_id in (own_id, other_id):
        await group.say(evidence(group, party_id)[0], member)
        await group.say(letter(group, party_id)[0], member)
    await group.say(evidence(group)[0], member)
    assert group.refusals() == ["not_member", "not_member", "not_coordinator"]
    await group.say(evidence(group, other_id)[0])
    await group.say(evidence(group)[0])
    await group.say(letter(group, other_id)[0])
    assert [one.party_id for one in group.events(EvidenceFiled)] == [
        own_id,
        other_id,
        group.coordinator.person_id,
    ]
    assert [one.buyer_id for one in group.events(LetterFiled)] == [own_id, other_id]


async def test_documents_are_filed_after_the_group_is_closed_but_not_after_it_is_given_up(
    group: Conversation, aggregation: Running, kafka: MemoryKafka
) -> None:
    await group.say(group.opening())
    buyer_id = uuid4()
    await group.say(group.joining(buyer_id))
    await group.say(group.report(buyer_id))
    await group.say(group.closing())
    await group.say(evidence(group, buyer_id)[0])
    assert len(group.events(EvidenceFiled)) == 1
    other = Conversation(kafka, aggregation)
    await other.say(other.opening())
    await other.say(DissolveGroup(purchase_id=other.purchase_id, reason="Too few towns"))
    await other.say(evidence(other)[0])
    assert group.refusals()[-1] == "group_dissolved"


async def test_the_group_says_whether_it_requires_letters(group: Conversation) -> None:
    await group.say(group.opening(letters_required=True))
    (opened,) = group.events(GroupOpened)
    assert opened.letters_required


async def test_the_coordinator_acts_for_a_buyer_only_with_its_letter_and_in_its_name(
    group: Conversation, buyer_id: UUID
) -> None:
    acting = group.coordinator.model_copy(update={"on_behalf_of": buyer_id})
    await group.say(group.report(buyer_id), acting)
    await group.say(group.preferring(buyer_id), acting)
    assert group.refusals() == ["letter_missing"] * 2
    await group.say(letter(group, buyer_id)[0])
    await group.say(group.report(buyer_id))
    await group.say(
        group.preferring(buyer_id), group.coordinator.model_copy(update={"on_behalf_of": uuid4()})
    )
    assert group.refusals()[2:] == ["not_on_behalf"] * 2
    await group.say(group.report(buyer_id), acting)
    await group.say(group.preferring(buyer_id), acting)
    assert len(group.events(UsageReported, BillingPreferencesSet)) == 2


async def test_a_member_needs_no_letter_to_speak_for_itself(group: Conversation) -> None:
    await group.say(group.opening(letters_required=True))
    person_id, buyer_id = uuid4(), uuid4()
    await group.say(group.joining(buyer_id, contact_id=person_id))
    await group.say(group.report(buyer_id), Actor(person_id=person_id, role="member"))
    assert len(group.events(UsageReported)) == 1


@pytest.mark.parametrize(
    "agency",
    [
        {"services": ("data", "voice.night")},
        {"valid_from": TODAY + timedelta(days=2), "valid_until": TODAY + timedelta(days=9)},
        {
            "signed_on": TODAY - timedelta(days=9),
            "valid_from": TODAY - timedelta(days=9),
            "valid_until": TODAY - timedelta(days=1),
        },
    ],
)
async def test_a_group_closes_only_with_letters_that_are_valid_today_and_cover_what_is_used(
    group: Conversation, buyer_id: UUID, agency: dict[str, Any]
) -> None:
    person_id, other_id = uuid4(), uuid4()
    await group.say(group.joining(other_id, contact_id=person_id))
    await group.say(group.report(other_id, a_line("L1")), Actor(person_id=person_id, role="member"))
    await group.say(letter(group, buyer_id, **agency)[0])
    await group.say(group.report(buyer_id), group.coordinator.model_copy(update={"on_behalf_of": buyer_id}))
    await group.say(letter(group, other_id)[0])
    await group.say(group.closing())
    assert group.refusals() == ["letters_missing"]
    await group.say(letter(group, buyer_id)[0])
    await group.say(group.closing())
    assert len(group.events(GroupAggregated)) == 1
