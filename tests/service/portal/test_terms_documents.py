"""The document that belongs to terms: whoever belongs to the group reads exactly what its hash names, as a file."""

import asyncio
import base64
import random
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from hashlib import sha256
from typing import Any

import pytest
import structlog

from services.portal.api import make_api
from services.portal.api.asking import Portal
from services.portal.settings import Settings
from shared.documents import split
from shared.messages.base import DOCUMENT_BYTES, PART_BYTES
from shared.messages.bidding import TermsDocumentPart, TermsPresented
from shared.messages.providers import TermsDocument
from shared.terms_digest import terms_digest
from tests.memory import TEST_SETTINGS, MemoryKafka
from tests.service.portal.conftest import Visiting
from tests.service.portal.test_portal_orders import COORDINATOR, MEMBER, PURCHASE
from tests.service.portal.test_roles import AUDITOR, STRANGER
from tests.service.portal.test_seen import a_compared_purchase, comparison_document

CONTENT = b"%PDF-1.7 " + bytes(range(256)) * 2_000
TEXT = "Sixty days to pay."


def manifest(content: bytes, name: str) -> TermsDocument:
    return TermsDocument(
        name=name,
        sha256=sha256(content).hexdigest(),
        size=len(content),
        parts=-(-len(content) // (384 * 1024)),
        media_type="application/pdf",
    )


async def terms(
    kafka: MemoryKafka,
    *,
    name: str = "terms.pdf",
    content: bytes = CONTENT,
    sent: bytes | None = None,
    without: int | None = None,
) -> None:
    """Present terms with a document of this content, of whose parts, cut from `sent`, one may be missing."""
    document = manifest(content, name)
    digest = terms_digest(TEXT, document)
    for part, data in split(document, sent or content):
        if part != without:
            kafka.event(
                TermsDocumentPart(
                    purchase_id=PURCHASE,
                    award=1,
                    terms_sha256=digest,
                    document=document,
                    part=part,
                    data=data,
                )
            )
    kafka.event(
        TermsPresented(
            purchase_id=PURCHASE,
            award=1,
            provider_id="aikoaikoaiko",
            title="Terms",
            text=TEXT,
            terms_sha256=digest,
            document=document,
        )
    )
    await kafka.settle()


async def test_whoever_belongs_to_the_group_reads_the_document_and_nobody_else(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_compared_purchase(kafka)
    await terms(kafka)
    for person_id in (COORDINATOR, MEMBER, AUDITOR):
        asking = await visiting.signed_in(person_id)
        shown = (await visiting.get(f"/purchases/{PURCHASE}/terms", asking)).json()["document"]
        assert (shown["name"], shown["sha256"]) == ("terms.pdf", sha256(CONTENT).hexdigest())
        answer = await visiting.get(f"/purchases/{PURCHASE}/terms/document", asking)
        assert (answer.status_code, answer.content) == (200, CONTENT)
    stranger = await visiting.signed_in(STRANGER)
    assert (await visiting.get(f"/purchases/{PURCHASE}/terms/document", stranger)).status_code == 404
    assert (await visiting.get(f"/purchases/{PURCHASE}/terms/document")).status_code == 401


async def test_a_browser_keeps_what_a_stranger_sent_as_a_file_whatever_it_is_called(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_compared_purchase(kafka)
    await terms(kafka, name='a"; filename=x; <script>ü')
    answer = await visiting.get(f"/purchases/{PURCHASE}/terms/document", await visiting.signed_in(MEMBER))
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"].startswith(
        "attachment; filename*=UTF-8''a%22%3B%20filename%3Dx"
    )


async def test_terms_without_a_document_and_a_document_that_is_not_whole_say_so(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_compared_purchase(kafka)
    asking = await visiting.signed_in(MEMBER)

    async def reason() -> tuple[int, str]:
        answer = await visiting.get(f"/purchases/{PURCHASE}/terms/document", asking)
        return answer.status_code, answer.json()["reason"]

    assert await reason() == (404, "not_yet")
    await terms(kafka, without=2)
    assert await reason() == (404, "not_yet")


async def test_a_document_other_than_announced_is_never_handed_out(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_compared_purchase(kafka)
    await terms(kafka, sent=CONTENT[:-1] + b"!")
    with structlog.testing.capture_logs() as said:
        answer = await visiting.get(f"/purchases/{PURCHASE}/terms/document", await visiting.signed_in(MEMBER))
    assert (answer.status_code, answer.json()["reason"]) == (500, "terms_unreadable")
    assert [one["event"] for one in said] == ["terms cannot be read"]


async def handed_out(
    visiting: Visiting, asking: dict[str, str], at_first: Callable[[], Awaitable[None]] | None = None
) -> AsyncIterator[dict[str, Any]]:
    """Yield what the portal sends of the document, message by message, as a server that keeps nothing would."""
    settings = Settings(**{**TEST_SETTINGS, "postgres_dsn": "postgresql://unused.invalid/x"})
    api = make_api(Portal(visiting.portal.service.wiring, settings))
    sent: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(maxsize=1)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": f"/v1/purchases/{PURCHASE}/terms/document",
        "raw_path": f"/v1/purchases/{PURCHASE}/terms/document".encode(),
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in asking.items()],
        "client": ("127.0.0.1", 1),
        "server": ("portal.invalid", 443),
        "scheme": "https",
        "root_path": "",
    }

    async def receive() -> dict[str, Any]:
        if not answering.done():
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start" and at_first is not None:
            await at_first()
        await sent.put(message)

    async def answer() -> None:
        try:
            await api(scope, receive, send)
        finally:
            await sent.put(None)

    answering = asyncio.create_task(answer())
    while (message := await sent.get()) is not None:
        yield message
    await answering


async def hear(told: AsyncIterator[dict[str, Any]], heard: list[dict[str, Any]]) -> None:
    async for one in told:
        heard.append(one)  # noqa: PERF401 # what was heard before it broke is what counts


async def test_a_large_document_is_handed_out_whole_and_never_in_memory_as_a_whole(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    content = random.Random(5).randbytes(DOCUMENT_BYTES)  # noqa: S311 # bytes to repeat, no secret
    await a_compared_purchase(kafka)
    await terms(kafka, content=content)
    asking = await visiting.signed_in(MEMBER)
    digest, size = sha256(), 0
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        async for message in handed_out(visiting, asking):
            digest.update(message.get("body", b""))
            size += len(message.get("body", b""))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (size, digest.hexdigest()) == (len(content), sha256(content).hexdigest())
    assert most - before < 10 * PART_BYTES < len(content) / 2


async def test_a_document_that_is_lost_while_it_is_handed_out_ends_short_of_the_length_that_was_said(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_compared_purchase(kafka)
    await terms(kafka)
    asking = await visiting.signed_in(MEMBER)

    async def lose() -> None:
        await visiting.portal.pool.execute("DELETE FROM terms_parts WHERE part = 2")

    heard: list[dict[str, Any]] = []
    with pytest.raises(ValueError, match="not what its manifest describes"):
        await hear(handed_out(visiting, asking, at_first=lose), heard)
    start, *bodies = heard
    assert (start["status"], dict(start["headers"])[b"content-length"]) == (200, str(len(CONTENT)).encode())
    assert [(len(one["body"]), one["more_body"]) for one in bodies] == [(PART_BYTES, True)]


async def test_a_comparison_that_is_not_what_it_must_be_is_said_and_harms_no_other_view(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_compared_purchase(kafka)
    asking = await visiting.signed_in(COORDINATOR)
    whole = (await visiting.get(f"/purchases/{PURCHASE}/comparison", asking)).status_code
    spoilt = comparison_document().replace(b'"currency"', b'"currentsea"')
    async with visiting.portal.pool.acquire() as db:
        await db.execute("UPDATE comparison_parts SET data = $1", base64.b64encode(spoilt).decode())
    answer = await visiting.get(f"/purchases/{PURCHASE}/comparison", asking)
    assert (whole, answer.status_code, answer.json()["reason"]) == (200, 500, "comparison_unreadable")
    assert (await visiting.get(f"/purchases/{PURCHASE}/buyers", asking)).status_code == 200
