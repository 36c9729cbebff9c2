"""A person is erased once no purchase needs them, under every key that said anything of them."""

import asyncio
import json
from base64 import b64encode
from datetime import UTC, date, datetime
from hashlib import sha256
from uuid import UUID, uuid4

import pytest

from services.aggregation.domain.groups import Buyer
from services.aggregation.passwords import Assigner
from services.aggregation.store import groups, people
from shared.adoption import load
from shared.envelope import Actor
from shared.messages.aggregation import BuyerJoined, ContactRecorded, DissolveGroup
from shared.messages.base import PART_BYTES, Document
from shared.messages.bidding import TermsAccepted
from shared.messages.evidence import Agency, FileEvidence, FileLetter
from shared.messages.people import (
    AuditorAppointed,
    BuyerInvited,
    ChangePassword,
    ContactErased,
    CredentialErased,
    DisableSecondFactor,
    EnableSecondFactor,
    ErasePerson,
    PersonErased,
    PersonOrderRefused,
    ReissuePassword,
    RequestAddressCode,
    RevokeInvitation,
    SpendPassword,
)
from shared.messages.rfp import RequestCancelled
from tests.memory import MemoryKafka, Running
from tests.service.aggregation.conftest import Conversation, settled
from tests.service.aggregation.persons import a_minute_later, appointing, changing, confirming, inviting
from tests.service.aggregation.test_aggregation_evidence import SMALL, evidence, large, letter
from tests.service.rebuilding import rebuilt

OPERATOR = Actor(person_id=UUID(int=99), role="operator")
VERIFIER = "$argon2id$v=19$m=65536,t=3,p=4$2cM4Tg9/DSHIXS05mNo3yw$Bm/m3IgsclYKxt6do3GyB1suo1TRl+GiP+CNN61W+l0"


async def erase(kafka: MemoryKafka, person_id: UUID) -> None:
    kafka.command(ErasePerson(person_id=person_id), OPERATOR)
    await settled(kafka.services[0])


def refused(kafka: MemoryKafka) -> list[str]:
    return [one.reason for one in kafka.messages("aggregation.events") if isinstance(one, PersonOrderRefused)]


async def test_whoever_a_running_purchase_needs_is_not_erased(
    group: Conversation, kafka: MemoryKafka
) -> None:
    await group.say(group.opening())
    await erase(kafka, group.coordinator.person_id)
    assert refused(kafka) == ["person_needed"]
    assert not group.events(PersonErased, ContactErased)


@pytest.mark.parametrize("end", ["dissolved", "cancelled", "complete"])
async def test_once_their_purchase_is_over_a_person_is_erased_under_every_key(
    end: str, group: Conversation, kafka: MemoryKafka
) -> None:
    person_id, purchase_id = group.coordinator.person_id, group.purchase_id
    await group.say(group.opening())
    await group.say(SpendPassword(purchase_id=purchase_id, number=1, verifier=VERIFIER))
    if end == "dissolved":
        await group.say(DissolveGroup(purchase_id=purchase_id, reason="Too few."))
    elif end == "cancelled":
        kafka.event(RequestCancelled(purchase_id=purchase_id, reason="Called off."))
    else:
        kafka.event(
            TermsAccepted(
                purchase_id=purchase_id,
                award=1,
                provider_id="aikoaikoaiko",
                terms_sha256="0" * 64,
                accepted_by=person_id,
            )
        )
    await kafka.settle()
    await erase(kafka, person_id)
    assert refused(kafka) == []
    assert [one.person_id for one in group.events(PersonErased)] == [person_id]
    last = {(record.key, record.value) for record in kafka.topics["aggregation.contacts"][-1:]}
    assert last == {(str(person_id).encode(), None)}
    keys = {one.key for one in group.events(CredentialErased)}
    assert keys == {f"{person_id}/{purchase_id}", str(person_id)}


async def test_erased_twice_nothing_more_is_said_and_a_stranger_is_unknown(
    group: Conversation, kafka: MemoryKafka
) -> None:
    await group.say(group.opening())
    await group.say(DissolveGroup(purchase_id=group.purchase_id, reason="Too few."))
    for _ in range(2):
        await erase(kafka, group.coordinator.person_id)
    assert len(group.events(PersonErased)) == 1
    await erase(kafka, uuid4())
    assert refused(kafka) == ["person_unknown"]


async def erased_coordinator(group: Conversation, kafka: MemoryKafka) -> UUID:
    """Open a group, let its coordinator choose a password, give it up, and let them be erased."""
    person_id = group.coordinator.person_id
    await group.say(group.opening())
    await group.say(SpendPassword(purchase_id=group.purchase_id, number=1, verifier=VERIFIER))
    await group.say(DissolveGroup(purchase_id=group.purchase_id, reason="Too few."))
    await erase(kafka, person_id)
    return person_id


async def test_nobody_brings_an_erased_person_back_by_naming_them(
    group: Conversation, kafka: MemoryKafka
) -> None:
    gone = await erased_coordinator(group, kafka)
    before = len(group.events(ContactRecorded))
    await group.say(group.opening().model_copy(update={"purchase_id": uuid4()}))
    other = Conversation(kafka, group.service)
    await other.say(other.opening())
    await other.say(other.joining(uuid4(), contact_id=gone))
    await other.say(inviting(other, other.contact(gone)))
    await other.say(appointing(other, other.contact(gone)), OPERATOR)
    assert group.refusals()[-4:] == ["person_erased"] * 4
    assert len(group.events(ContactRecorded)) == before + 1
    assert not group.events(BuyerJoined, BuyerInvited, AuditorAppointed)


async def test_an_erased_person_who_orders_late_says_nothing_more_under_their_keys(
    group: Conversation, kafka: MemoryKafka
) -> None:
    contact = group.contact(await erased_coordinator(group, kafka))
    topics = ("aggregation.contacts", "aggregation.credentials")
    said = [len(kafka.topics[topic]) for topic in topics]
    orders = [
        ReissuePassword(purchase_id=group.purchase_id),
        SpendPassword(purchase_id=group.purchase_id, number=1, verifier=VERIFIER),
        ChangePassword(person_id=contact.person_id, verifier=VERIFIER),
        changing(contact, "new@example.org"),
        RequestAddressCode(person_id=contact.person_id),
        confirming(contact),
        EnableSecondFactor(person_id=contact.person_id, number=1),
        DisableSecondFactor(person_id=contact.person_id),
    ]
    await a_minute_later(group.service)
    for order in orders:
        await group.say(order)
    assert group.refusals()[-len(orders) :] == ["person_erased"] * len(orders)
    assert [len(kafka.topics[topic]) for topic in topics] == said


async def test_an_invitation_to_an_erased_person_cannot_be_taken_back_under_their_key(
    group: Conversation, kafka: MemoryKafka
) -> None:
    invited, invitation_id = uuid4(), uuid4()
    await group.say(group.opening())
    await group.say(inviting(group, group.contact(invited), invitation_id))
    await group.say(DissolveGroup(purchase_id=group.purchase_id, reason="Too few."))
    await erase(kafka, invited)
    said = len(kafka.topics["aggregation.credentials"])
    await group.say(RevokeInvitation(purchase_id=group.purchase_id, invitation_id=invitation_id))
    assert len(kafka.topics["aggregation.credentials"]) == said


async def test_documents_of_an_erased_person_and_what_they_were_named_by_are_gone(
    group: Conversation, kafka: MemoryKafka, aggregation: Running
) -> None:
    contact = group.contact(group.coordinator.person_id)
    await group.say(group.opening())
    buyer_id, member = uuid4(), uuid4()
    await group.say(group.joining(buyer_id, contact_id=member))
    data = b"passport of Ann Example" * 20_000
    document = Document(name="ann example.pdf", sha256=sha256(data).hexdigest(), size=len(data), parts=2)
    filing = {"purchase_id": group.purchase_id, "part": 1, "data": b64encode(data[:PART_BYTES]).decode()}
    await group.say(
        FileEvidence(
            party="coordinator",
            party_id=contact.person_id,
            kind="identity_document",
            document=document,
            **filing,
        )
    )
    agency = Agency(
        services=("voice",),
        valid_from=date(2026, 1, 1),
        valid_until=date(2026, 12, 31),
        signed_on=date(2025, 12, 1),
    )
    await group.say(
        FileLetter(buyer_id=buyer_id, agency=agency, signer="Tom Hall", document=document, **filing)
    )
    assert await aggregation.pool.fetchval("SELECT count(*) FROM document_parts") == 2
    await group.say(DissolveGroup(purchase_id=group.purchase_id, reason="Too few."))
    for person_id in (contact.person_id, member):
        await erase(kafka, person_id)
    tables = json.dumps(await aggregation.tables())
    for word in ("ann example.pdf", "Tom Hall", b64encode(b"passport of Ann Exa").decode()[:20]):
        assert word not in tables
    digests = await aggregation.pool.fetch(
        "SELECT address_digest FROM people UNION ALL SELECT address_digest FROM credentials"
    )
    assert {row["address_digest"] for row in digests} == {None}


async def test_a_parked_order_that_names_an_erased_person_is_refused_and_gone(
    group: Conversation, kafka: MemoryKafka, aggregation: Running
) -> None:
    invited, other = uuid4(), Conversation(kafka, group.service)
    await group.say(group.opening())
    await other.say(other.opening())
    await group.say(inviting(group, group.contact(invited)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Assigner, "link", broken)
        await other.say(inviting(other, other.contact(invited)))
    await aggregation.pool.execute("UPDATE parked SET state = 'stuck'")
    assert await aggregation.pool.fetchval("SELECT count(*) FROM parked") == 1
    await group.say(DissolveGroup(purchase_id=group.purchase_id, reason="Too few."))
    await erase(kafka, invited)
    assert await aggregation.pool.fetchval("SELECT count(*) FROM parked") == 0
    assert group.refusals()[-1] == "person_erased"


def broken(*_: object) -> None:
    raise RuntimeError


async def test_a_purchase_that_nobody_ends_needs_nobody_after_400_days(
    group: Conversation, kafka: MemoryKafka, aggregation: Running
) -> None:
    await group.say(group.opening())
    age = "UPDATE groups SET opened_at = clock_timestamp() - make_interval(days => $1)"
    for days in (399, 401):
        await aggregation.pool.execute(age, days)
        await erase(kafka, group.coordinator.person_id)
    assert refused(kafka) == ["person_needed"]
    assert len(group.events(PersonErased)) == 1


async def test_who_is_named_while_they_are_erased_is_needed_or_refused(
    group: Conversation, kafka: MemoryKafka, aggregation: Running
) -> None:
    invited = uuid4()
    await group.say(group.opening())
    await group.say(inviting(group, group.contact(invited)))
    await group.say(DissolveGroup(purchase_id=group.purchase_id, reason="Too few."))
    other = Conversation(kafka, group.service)
    await other.say(other.opening())
    async with aggregation.pool.acquire() as slow:
        # Another process adds a buyer, and has come as far as naming its contact.
        adding = slow.transaction()
        await adding.start()
        joined = Buyer(uuid4(), "Town of Aal", (), invited, left=False)
        await groups.lock_group(slow, other.purchase_id)
        await people.lock_person(slow, invited)
        await groups.add_buyer(slow, other.purchase_id, joined, datetime.now(UTC))
        kafka.command(ErasePerson(person_id=invited), OPERATOR)
        erasing = asyncio.create_task(settled(aggregation))
        await until_somebody_waits(aggregation)
        await adding.commit()
        await erasing
    assert refused(kafka) == ["person_needed"]
    assert not group.events(PersonErased)


async def until_somebody_waits(service: Running) -> None:
    async with asyncio.timeout(15):
        while not await service.pool.fetchval("SELECT true FROM pg_locks WHERE NOT granted LIMIT 1"):  # noqa: ASYNC110 # Postgres tells nobody
            await asyncio.sleep(0.02)


async def test_after_a_restore_an_erasure_waits_for_what_taught_the_person(
    aggregation: Running, group: Conversation, kafka: MemoryKafka, database: str
) -> None:
    person_id = await erased_coordinator(group, kafka)
    commands = kafka.topics.pop("aggregation.commands")
    own = [topic for topic in kafka.topics if topic != "aggregation.administration"]
    said = {topic: len(kafka.topics[topic]) for topic in own}
    async with rebuilt("aggregation", aggregation, database, own) as again:
        await kafka.settle()
        assert await again.pool.fetchval("SELECT count(*) FROM people") == 0
        kafka.topics["aggregation.commands"] = commands
        await again.pool.execute("UPDATE parked SET retry_at = clock_timestamp()")
        await settled(again)
        assert await again.pool.fetchval("SELECT erased_at FROM people WHERE person_id = $1", person_id)
    assert {topic: len(kafka.topics[topic]) for topic in own} == said


async def a_filed_and_erased_group(group: Conversation, kafka: MemoryKafka, member: UUID) -> None:
    """Let papers be filed about the coordinator and a buyer, one of them in part only, and both persons be erased."""
    buyer_id = uuid4()
    await group.say(group.opening(letters_required=True))
    await group.say(group.joining(buyer_id, contact_id=member))
    for order in (
        *letter(group, buyer_id, large(), name=NAMES[0]),
        *evidence(group, content=SMALL, name=NAMES[1]),
        *evidence(group, content=large(), name=NAMES[2])[:-1],
        *evidence(group, content=large(), name=NAMES[3])[:-1],
    ):
        await group.say(order)
    # The last part of one is of another document: all together are refused.
    wrong = evidence(group, content=large(), name=NAMES[3])[-1]
    other = evidence(group, content=large()[:-100] + bytes(100), name=NAMES[3])[-1]
    await group.say(wrong.model_copy(update={"data": other.data}))
    await group.say(DissolveGroup(purchase_id=group.purchase_id, reason="Too few."))
    for person_id in (group.coordinator.person_id, member):
        await erase(kafka, person_id)


NAMES = ("tom hall letter.pdf", "ann example extract.pdf", "ann example begun.pdf", "ann example wrong.pdf")


async def test_after_a_restore_no_paper_of_who_was_erased_comes_back_whichever_order_comes_first(
    aggregation: Running, group: Conversation, kafka: MemoryKafka, database: str
) -> None:
    member = uuid4()
    await a_filed_and_erased_group(group, kafka, member)
    said = {topic: len(records) for topic, records in kafka.topics.items()}
    log = "SELECT * FROM log ORDER BY stream, subject, sequence"
    letters = "SELECT * FROM letters"
    before = [[dict(row) for row in await aggregation.pool.fetch(query)] for query in (log, letters)]
    commands = kafka.topics.pop("aggregation.commands")
    own = [topic for topic in kafka.topics if topic != "aggregation.administration"]
    async with rebuilt("aggregation", aggregation, database, own) as again:
        # Both persons are known, and erased, before any paper is filed.
        kafka.topics["aggregation.commands"] = commands[:2]
        await settled(again)
        assert await again.pool.fetchval("SELECT count(erased_at) FROM people") == 2
        kafka.topics["aggregation.commands"] = commands
        await settled(again)
        assert [[dict(row) for row in await again.pool.fetch(query)] for query in (log, letters)] == before
        assert await again.pool.fetchval("SELECT count(*) FROM documents") == 0
        assert await again.pool.fetchval("SELECT count(*) FROM document_parts") == 0
        tables = json.dumps(await again.tables())
        for word in (*NAMES, "Ada Okafor", SMALL.hex(), b64encode(SMALL).decode()):
            assert word not in tables
    assert {topic: len(records) for topic, records in kafka.topics.items()} == said


async def test_what_was_adopted_about_a_person_is_erased_and_its_log_comes_out_the_same(
    aggregation: Running, group: Conversation, kafka: MemoryKafka, database: str
) -> None:
    contact = group.contact(group.coordinator.person_id)
    await group.say(group.opening())
    await group.say(DissolveGroup(purchase_id=group.purchase_id, reason="Too few."))
    log = "SELECT * FROM log WHERE stream = 'aggregation.contacts' ORDER BY sequence"
    before = [dict(row) for row in await aggregation.pool.fetch(log)]
    own = [topic for topic in kafka.topics if topic != "aggregation.commands"]
    async with rebuilt("aggregation", aggregation, database, own) as again:
        await kafka.settle()
        assert [dict(row) for row in await again.pool.fetch(log)] == before
        kafka.command(ErasePerson(person_id=contact.person_id), OPERATOR)
        await settled(again)
        bodies = await again.pool.fetch("SELECT body FROM adopted")
        assert bodies
        assert not any(contact.email.encode() in row["body"] for row in bodies)
        async with again.pool.acquire() as connection:
            [event] = [
                one for one in (await load(connection)).events.values() if one.stream.endswith("contacts")
            ]
        assert event.entry.body_sha256 == before[0]["body_sha256"]


async def test_a_rebuilt_service_says_nothing_new_of_an_erased_person(
    aggregation: Running, group: Conversation, kafka: MemoryKafka, database: str
) -> None:
    await group.say(group.opening())
    await group.say(DissolveGroup(purchase_id=group.purchase_id, reason="Too few."))
    await erase(kafka, group.coordinator.person_id)
    said = {topic: len(records) for topic, records in kafka.topics.items()}
    own = [topic for topic in said if topic not in {"aggregation.commands", "aggregation.administration"}]
    async with rebuilt("aggregation", aggregation, database, own):
        await kafka.settle()
    assert {topic: len(records) for topic, records in kafka.topics.items()} == said
