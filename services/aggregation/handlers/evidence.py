"""Letters of agency and evidence of identity are filed, part by part."""

from datetime import datetime

import asyncpg

from services.aggregation.domain.evidence import Filing, may_file, take_part
from services.aggregation.domain.groups import Repeated
from services.aggregation.domain.people import Person, refuse_erased
from services.aggregation.handlers.streams import commands
from services.aggregation.store import erasure, groups, people
from services.aggregation.store import evidence as store
from shared.delivery import CurrentActor, CurrentRecord, Publish, Tx
from shared.documents import join
from shared.envelope import Actor
from shared.messages.evidence import (
    EvidenceFiled,
    EvidencePart,
    FileEvidence,
    FileEvidenceRefused,
    FileLetter,
    FileLetterRefused,
    LetterFiled,
)
from shared.messages.people import PersonErased
from shared.outbox import Publisher
from shared.outcomes import Refusal


@commands.handle
async def file_letter(
    command: FileLetter, actor: CurrentActor, record: CurrentRecord, tx: Tx, publish: Publish
) -> Refusal | None:
    """Keep a part of a letter of agency; the last one lets the letter count, if all together have its hash."""
    return await _file(tx, publish, command, actor, record.appended_at)


@commands.handle
async def file_evidence(
    command: FileEvidence, actor: CurrentActor, record: CurrentRecord, tx: Tx, publish: Publish
) -> Refusal | None:
    """Keep a part of a document about a party; the last one files it, if all together have its hash."""
    return await _file(tx, publish, command, actor, record.appended_at)


async def _file(
    tx: asyncpg.Connection,
    publish: Publisher,
    command: FileLetter | FileEvidence,
    actor: Actor,
    appended_at: datetime,
) -> Refusal | None:
    filing = Filing.of(command)
    group = await groups.lock_group(tx, filing.purchase_id)
    if not await groups.record_order(tx, publish.cause, filing.purchase_id):
        return None
    buyer = await groups.buyer(tx, filing.purchase_id, filing.party_id)
    about = filing.party_id if filing.party == "coordinator" else buyer.contact_id if buyer else None
    person = await people.lock_person(tx, about) if about else None
    if person is not None and _is_erased_again(publish, person, appended_at):
        await _file_as_before(tx, publish, filing, person)
        return None
    refusal = may_file(group, buyer, actor, filing) or refuse_erased(person, publish.now)
    if refusal is not None:
        return refusal
    match take_part(filing, await store.filed(tx, filing), publish.now):
        case Refusal() as refused:
            return refused
        case Repeated():
            return None
    await store.add_part(tx, filing)
    if await store.count_parts(tx, filing) == filing.document.parts:
        await _complete(tx, publish, filing)
    return None


def _is_erased_again(publish: Publisher, person: Person, appended_at: datetime) -> bool:
    """Whether the person was erased before a restore, after this order was given, and is erased here already."""
    last_word = publish.adoptions.last_words.get((PersonErased.stream, str(person.person_id)))
    return (
        person.erased_at is not None
        and appended_at < person.erased_at
        and last_word is not None
        and last_word >= person.erased_at
    )


async def _file_as_before(tx: asyncpg.Connection, publish: Publisher, filing: Filing, person: Person) -> None:
    """Let stand what came of this order before the restore; nothing of the document comes back into a table."""
    # A document was refused, if it was, by a decision of its own.
    said = await publish.again() + await publish.deciding("document refused", publish.cause).again()
    if filing.mandate is not None and any(one.type == LetterFiled.type() for one in said):
        await store.keep_letter(tx, filing, filing.mandate.agency)
    # The erasure may have come before the buyer whose contact the person is: its papers were not known as theirs then.
    await erasure.erase_what_was_adopted(tx, person.person_id)


async def _complete(tx: asyncpg.Connection, publish: Publisher, filing: Filing) -> None:
    parts = await store.parts_of(tx, filing)
    await store.forget_parts(tx, filing)
    try:
        join(filing.document, parts)
    except ValueError:
        await _refuse_document(publish, filing)
        return
    await store.complete(tx, filing)
    for number, data in enumerate(parts, start=1):
        await publish(
            EvidencePart(
                purchase_id=filing.purchase_id,
                kind=filing.kind,
                party=filing.party,
                party_id=filing.party_id,
                signer=filing.mandate.signer if filing.mandate else None,
                document=filing.document,
                part=number,
                data=data,
            )
        )
    if filing.kind == "letter_of_agency":
        await _let_letter_count(tx, publish, filing)
        return
    await publish(
        EvidenceFiled(
            purchase_id=filing.purchase_id,
            party=filing.party,
            party_id=filing.party_id,
            kind=filing.kind,
            sha256=filing.document.sha256,
            size=filing.document.size,
        )
    )


async def _let_letter_count(tx: asyncpg.Connection, publish: Publisher, filing: Filing) -> None:
    if filing.mandate is None:
        raise ValueError("a letter of agency says nothing of what it allows")
    await store.keep_letter(tx, filing, filing.mandate.agency)
    await publish(
        LetterFiled(
            purchase_id=filing.purchase_id,
            buyer_id=filing.party_id,
            agency=filing.mandate.agency,
            sha256=filing.document.sha256,
            size=filing.document.size,
        )
    )


async def _refuse_document(publish: Publisher, filing: Filing) -> None:
    # Said here and not returned, because a returned refusal takes back what was done: the parts would stay. It is a decision of
    # its own, so that after a restore the parts are taken to the same end.
    model = FileLetterRefused if filing.mandate else FileEvidenceRefused
    await publish.deciding("document refused", publish.cause)(
        model(
            purchase_id=filing.purchase_id,
            command_id=publish.cause,
            reason="hash_wrong",
            detail="All parts together have another hash than the document. Send them anew.",
        )
    )
