"""The group's orders about documents, questions and the way of presenting, as they stand on the topic."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast
from uuid import uuid4

import pytest

from linepool.client.connection import Connection
from linepool.client.orders import Orders
from linepool.client.people import People, coordinator
from shared.documents import join
from shared.envelope import read_headers
from shared.messages import registry
from shared.messages.base import DOCUMENT_BYTES, PART_BYTES, Message
from shared.messages.rfp import AnswerQuestion, AttachDocument, DescribeNeed, Mode, ServiceNeed

PURCHASE = uuid4()
COORDINATOR = coordinator(uuid4())


@dataclass
class Topics:
    """Stands where the producer does, and keeps what is sent."""

    sent: list[tuple[str, Message, bytes | None]] = field(default_factory=list)

    async def send_and_wait(self, topic: str, body: bytes, *, key: bytes | None, headers: Any) -> None:
        type_ = registry[read_headers(headers).type or ""]
        self.sent.append((topic, type_.model_validate_json(body), key))


@pytest.fixture
def topics() -> Topics:
    return Topics()


@pytest.fixture
def people(topics: Topics) -> People:
    connection = Connection("kafka.invalid:9092", "portal", "secret")
    return People(Orders(connection, "/test", cast("Any", topics), cast("Any", None)))


@pytest.mark.parametrize(
    "content", [b"", b"Plan", b"x" * (2 * PART_BYTES + 1)], ids=["empty", "one", "three"]
)
async def test_a_document_is_attached_in_parts_that_come_out_as_it_was(
    people: People, topics: Topics, content: bytes
) -> None:
    orders = await people.attach_document(COORDINATOR, PURCHASE, name="Sites.pdf", content=content)
    parts = [said for _, said, _ in topics.sent if isinstance(said, AttachDocument)]
    assert len(orders) == len(parts) == parts[0].document.parts
    assert {(topic, key) for topic, _, key in topics.sent} == {("rfp.commands", str(PURCHASE).encode())}
    assert join(parts[0].document, [one.data for one in sorted(parts, key=lambda one: one.part)]) == content
    assert {one.document.name for one in parts} == {"Sites.pdf"}


async def test_a_document_that_is_too_large_is_not_sent_at_all(people: People, topics: Topics) -> None:
    with pytest.raises(ValueError, match="at most"):
        await people.attach_document(
            COORDINATOR, PURCHASE, name="Sites.pdf", content=b"x" * (DOCUMENT_BYTES + 1)
        )
    assert topics.sent == []


@pytest.mark.parametrize("restated", [None, "How many floors are there?"])
async def test_a_question_is_answered_in_its_own_words_or_in_others(
    people: People, topics: Topics, restated: str | None
) -> None:
    question = uuid4()
    await people.answer_question(
        COORDINATOR, PURCHASE, question_id=question, answer="Four.", restated=restated
    )
    expected = AnswerQuestion(purchase_id=PURCHASE, question_id=question, answer="Four.", restated=restated)
    assert [said for _, said, _ in topics.sent] == [expected]


@pytest.mark.parametrize("mode", ["transmit", "grant"])
async def test_a_request_is_presented_in_the_way_that_was_asked_for(
    people: People, topics: Topics, mode: Mode
) -> None:
    await people.describe_need(
        COORDINATOR,
        PURCHASE,
        title="Lines",
        description="All lines.",
        services=[ServiceNeed(service="voice.day", unit="MIN", description="Calls")],
        places=["Aal"],
        deadline=datetime(2026, 6, 1, tzinfo=UTC),
        contract_months=24,
        mode=mode,
    )
    assert [said.mode for _, said, _ in topics.sent if isinstance(said, DescribeNeed)] == [mode]
