"""Documents are attached in parts, checked whole, and issued with the request."""

from base64 import b64decode, b64encode
from random import Random

import pytest

from services.rfp.attachments import MOST
from shared.documents import join, manifest_of
from shared.messages.base import DOCUMENT_BYTES, PART_BYTES
from shared.messages.rfp import AttachDocument, DocumentAttached, RequestDocumentPart, RequestIssued
from tests.memory import MemoryKafka, Running
from tests.service.rfp.conftest import Purchase

SMALL = b"%PDF-1.7 a map"


def large(size: int = PART_BYTES * 2 + 100) -> bytes:
    return Random(7).randbytes(size)  # noqa: S311 # bytes to repeat, no secret


@pytest.mark.parametrize("copies", [1, 3])
async def test_a_document_of_ten_mebibytes_is_attached_and_issued_whole(
    purchase: Purchase, kafka: MemoryKafka, copies: int
) -> None:
    kafka.copies = copies
    content = large(DOCUMENT_BYTES)
    await purchase.ready()
    parts = purchase.attaching("plans.zip", content)
    assert len(parts) == 27
    Random(7).shuffle(parts)  # noqa: S311 # an order, not a secret
    for part in parts:
        await purchase.say(part)
    (attached,) = purchase.events(DocumentAttached)
    assert attached.document == manifest_of("plans.zip", content)
    await purchase.say(purchase.issuing())
    (issued,) = purchase.events(RequestIssued)
    assert issued.documents[-1] == attached.document
    said = [one for one in kafka.messages("rfp.documents") if isinstance(one, RequestDocumentPart)]
    found = sorted((one for one in said if one.document == attached.document), key=lambda one: one.part)
    assert join(attached.document, [one.data for one in found]) == content


async def test_a_request_is_not_issued_while_parts_of_an_attachment_are_missing(purchase: Purchase) -> None:
    await purchase.ready()
    first, *others = purchase.attaching("plans.zip", large())
    await purchase.say(first)
    await purchase.say(purchase.issuing())
    assert purchase.refusals() == ["attachment_incomplete"]
    for part in others:
        await purchase.say(part)
    await purchase.say(purchase.issuing())
    assert len(purchase.events(RequestIssued)) == 1


async def test_a_document_with_another_hash_is_refused_and_may_be_sent_anew(
    rfp: Running, purchase: Purchase
) -> None:
    content = large()
    manifest = manifest_of("plans.zip", content)
    await purchase.ready()
    for part in purchase.attaching("plans.zip", content[::-1], manifest):
        await purchase.say(part)
    assert purchase.refusals() == ["hash_wrong"]
    assert not purchase.events(DocumentAttached)
    assert await rfp.pool.fetchval("SELECT count(*) FROM attachment_parts") == 0
    await purchase.say(purchase.issuing())
    assert purchase.refusals() == ["hash_wrong", "attachment_incomplete"]
    for part in purchase.attaching("plans.zip", content):
        await purchase.say(part)
    assert [one.document for one in purchase.events(DocumentAttached)] == [manifest]


async def test_a_part_that_was_sent_wrong_may_be_sent_again_before_the_document_is_whole(
    purchase: Purchase,
) -> None:
    first, second, third = purchase.attaching("plans.zip", large())
    await purchase.ready()
    await purchase.say(first.model_copy(update={"data": second.data}))
    await purchase.say(second)
    await purchase.say(first)
    await purchase.say(third)
    assert len(purchase.events(DocumentAttached)) == 1


async def test_a_document_that_was_only_begun_may_become_another(purchase: Purchase) -> None:
    await purchase.ready()
    await purchase.say(purchase.attaching("plans.zip", large())[0])
    await purchase.say(purchase.attaching("plans.zip", SMALL)[0])
    assert [one.document for one in purchase.events(DocumentAttached)] == [manifest_of("plans.zip", SMALL)]
    await purchase.say(purchase.issuing())
    assert len(purchase.events(RequestIssued)) == 1


def _changed(part: AttachDocument, **changes: object) -> AttachDocument:
    return AttachDocument.model_validate(
        {**part.model_dump(), "document": {**part.document.model_dump(), **changes}}
    )


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (lambda one: _changed(one, size=DOCUMENT_BYTES + 1, parts=28), "document_too_large"),
        (lambda one: _changed(one, parts=9), "parts_wrong"),
        (lambda one: one.model_copy(update={"part": 4}), "parts_wrong"),
        (lambda one: _changed(one, name="request"), "name_taken"),
        (lambda one: _changed(one, name="usage-lines"), "name_taken"),
        (lambda one: _changed(one, name="map.pdf"), "name_taken"),
        (lambda one: one.model_copy(update={"data": one.data[:-3]}), "part_unreadable"),
        (lambda one: one.model_copy(update={"data": one.data[4:]}), "part_size_wrong"),
        (
            lambda one: one.model_copy(update={"data": b64encode(b64decode(one.data) + b"more").decode()}),
            "part_size_wrong",
        ),
    ],
)
async def test_what_cannot_be_attached_is_refused_with_its_reason_and_loses_nothing(
    rfp: Running, purchase: Purchase, bad: object, reason: str
) -> None:
    await purchase.ready()
    await purchase.say(purchase.attaching("map.pdf", SMALL)[0])
    first, second, third = purchase.attaching("plans.zip", large())
    await purchase.say(second)
    before = await rfp.tables(without=("inbox", "positions", "log", "subjects", "orders"))
    await purchase.say(bad(first))  # type: ignore[operator] # a function of the part
    assert purchase.refusals() == [reason]
    assert await rfp.tables(without=("inbox", "positions", "log", "subjects", "orders")) == before
    await purchase.say(first)
    await purchase.say(third)
    assert len(purchase.events(DocumentAttached)) == 2


async def test_a_request_has_at_most_twenty_attachments_and_none_after_issue(purchase: Purchase) -> None:
    await purchase.ready()
    for number in range(MOST + 1):
        await purchase.say(purchase.attaching(f"{number}.pdf", SMALL)[0])
    assert purchase.refusals() == ["too_many_documents"]
    await purchase.say(purchase.attaching("0.pdf", SMALL)[0])
    await purchase.say(purchase.issuing())
    (issued,) = purchase.events(RequestIssued)
    assert [one.name for one in issued.documents] == ["usage-lines", *(f"{n}.pdf" for n in range(MOST))]
    await purchase.say(purchase.attaching("late.pdf", SMALL)[0])
    assert purchase.refusals() == ["too_many_documents", "request_issued"]
