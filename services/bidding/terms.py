"""Terms and their documents: parts are gathered, terms wait for them, and lie before the group once all is there."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import asyncpg

from services.bidding import reading
from services.bidding.domain.arrivals import Arrival, Receipt, Rejection
from services.bidding.domain.intake import Judgement
from services.bidding.domain.rejections import HASH_WRONG
from services.bidding.store import terms as store
from shared.documents import join
from shared.messages.bidding import TermsDocumentPart, TermsPresented
from shared.messages.providers import TermsDocument, TermsPartSent, TermsProposed
from shared.outbox import Publisher


async def gather(tx: asyncpg.Connection, judgements: Sequence[Judgement], until: datetime) -> list[Judgement]:
    """Keep parts that were taken, and let terms wait until all of their document is there; return what gets its answer now.

    The part that makes a document whole also brings the answer of the terms that wait for it. A document that turns out to be
    another than its manifest says loses all its parts, so that it can be sent anew.

    Args:
        tx: the purchases' boxes are locked in it.
        judgements: in their order.
        until: when terms that begin to wait now have waited long enough.
    """
    gathered: list[Judgement] = []
    for one in judgements:
        match one.arrival.word:
            case TermsPartSent() as word if one.adds == "part":
                gathered += await _add_part(tx, one, word)
            case TermsPartSent() as word if one.answer == HASH_WRONG:
                # It was found before a restore, and what it led to then is to be as it was.
                await store.forget_document(tx, word.purchase_id, word.award, word.document)
                gathered.append(one)
            case TermsProposed(document=TermsDocument() as document) as word if one.adds == "terms":
                if len(await store.parts_of(tx, word.purchase_id, word.award, document)) == document.parts:
                    gathered.append(one)
                else:
                    await store.let_wait(tx, one.arrival, word, until)
            case _:
                gathered.append(one)
    return gathered


async def _add_part(tx: asyncpg.Connection, judgement: Judgement, said: TermsPartSent) -> list[Judgement]:
    if await store.add_part(tx, said) < said.document.parts:
        return [judgement]
    answer: Receipt | Rejection = Receipt()
    try:
        join(said.document, await store.parts_of(tx, said.purchase_id, said.award, said.document))
    except ValueError:
        await store.forget_document(tx, said.purchase_id, said.award, said.document)
        answer = HASH_WRONG
        judgement = Judgement(judgement.arrival, answer)
    return [judgement, *await _answer_waiting(tx, said, answer)]


async def _answer_waiting(
    tx: asyncpg.Connection, said: TermsPartSent, answer: Receipt | Rejection
) -> list[Judgement]:
    """Return the judgement of the terms that wait for this document."""
    for arrival in map(arrival_of, await store.waiting(tx, [said.purchase_id])):
        word = arrival.word
        if isinstance(word, TermsProposed) and (word.award, word.document) == (said.award, said.document):
            await store.stop_waiting(tx, arrival.id)
            return [Judgement(arrival, answer, "terms" if isinstance(answer, Receipt) else None)]
    return []


def arrival_of(waiting: store.Waiting) -> Arrival:
    """Read terms that wait as they came."""
    return Arrival(
        id=waiting.id,
        provider_id=waiting.provider_id,
        message_id=waiting.message_id,
        type=TermsProposed.type(),
        sha256=waiting.sha256,
        appended_at=waiting.appended_at.astimezone(UTC),
        body=waiting.body,
        word=reading.read_again(waiting.purchase_id, TermsProposed.type(), waiting.body),
    )


async def present(tx: asyncpg.Connection, publish: Publisher, judgements: Sequence[Judgement]) -> None:
    """Lay terms before the group: first every part of their document, then the terms."""
    presented = [
        (one.arrival, one.arrival.word)
        for one in judgements
        if one.adds == "terms" and isinstance(one.arrival.word, TermsProposed)
    ]
    for arrival, said in sorted(presented, key=lambda one: one[1].purchase_id):
        deciding = publish.deciding("terms", arrival.id)
        if said.document is not None:
            await _present_document(tx, deciding, said, said.document)
        await deciding(
            TermsPresented(
                purchase_id=said.purchase_id,
                award=said.award,
                provider_id=arrival.provider_id,
                title=said.title,
                text=said.text,
                terms_sha256=said.terms_sha256,
                document=said.document,
            )
        )


async def _present_document(
    tx: asyncpg.Connection, publish: Publisher, said: TermsProposed, document: TermsDocument
) -> None:
    place: tuple[UUID, int, TermsDocument] = (said.purchase_id, said.award, document)
    for number, data in enumerate(await store.parts_of(tx, *place), start=1):
        await publish(
            TermsDocumentPart(
                purchase_id=said.purchase_id,
                award=said.award,
                terms_sha256=said.terms_sha256,
                document=document,
                part=number,
                data=data,
            )
        )
    await store.forget_document(tx, *place)
