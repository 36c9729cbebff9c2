"""Documents that were filed about a person: they stay their time, erased or not, as docs/decisions/0031 says why."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from aiokafka import ConsumerRecord

from deploy.access.model import Topic, topics
from linepool.client.connection import Connection
from linepool.persons.finding import appended_at, gone_by, records_of
from shared.envelope import read_headers
from shared.messages import Message, registry
from shared.messages.aggregation import BuyerJoined
from shared.messages.evidence import EvidencePart, FileEvidence, FileLetter, Party

WHERE = ("aggregation.evidence", "aggregation.commands")
"""Where documents stand: to be looked at, and as they were sent."""
LETTER = "letter_of_agency"
Filed = tuple[Topic, ConsumerRecord, EvidencePart | FileEvidence | FileLetter]


@dataclass(frozen=True)
class Paper:
    """A document about a person; `gone_by` is when the broker has removed the last of its parts. Its name stands nowhere here."""

    topic: str
    purchase_id: UUID
    kind: str
    sha256: str
    filed_at: datetime
    gone_by: datetime | None


async def papers_about(kafka: Connection, person_id: UUID) -> list[Paper]:
    """Return the documents about a person, as coordinator or as a buyer's contact, in the order of topics and times.

    Raises:
        KafkaError: the topics cannot be read.
    """
    wanted = [topic for topic in topics() if topic.name in (*WHERE, BuyerJoined.stream)]
    filed: list[Filed] = []
    buyers: set[tuple[UUID, UUID]] = set()
    async for topic, record in records_of(kafka, wanted):
        match _read(record):
            case BuyerJoined(contact_id=contact_id) as joined if contact_id == person_id:
                buyers.add((joined.purchase_id, joined.buyer_id))
            case EvidencePart() | FileEvidence() | FileLetter() as part:
                # Only who the parties are is known at the end; the bytes are not kept until then.
                record.value = None
                filed.append((topic, record, part.model_copy(update={"data": ""})))
            case _:
                pass
    return gathered(filed, person_id, buyers)


def gathered(filed: Iterable[Filed], person_id: UUID, buyers: set[tuple[UUID, UUID]]) -> list[Paper]:
    """Put the parts of each document together that is about the person.

    Args:
        filed: parts, with the topic and the record in which they stand.
        person_id: the person.
        buyers: (purchase, buyer) of those whose contact the person is or was.
    """
    papers: dict[tuple[str, UUID, str, str], Paper] = {}
    for topic, record, part in filed:
        party, party_id = _party(part)
        about = party_id == person_id if party == "coordinator" else (part.purchase_id, party_id) in buyers
        if not about:
            continue
        kind = LETTER if isinstance(part, FileLetter) else part.kind
        at = appended_at(record)
        papers[topic.name, part.purchase_id, kind, part.document.sha256] = Paper(
            topic.name, part.purchase_id, kind, part.document.sha256, at, gone_by(topic, at)
        )
    return sorted(papers.values(), key=lambda one: (WHERE.index(one.topic), one.filed_at))


def _party(part: EvidencePart | FileEvidence | FileLetter) -> tuple[Party, UUID]:
    return ("buyer", part.buyer_id) if isinstance(part, FileLetter) else (part.party, part.party_id)


def _read(record: ConsumerRecord) -> Message | None:
    model = registry.get(read_headers(record.headers).type or "")
    if model not in (BuyerJoined, EvidencePart, FileEvidence, FileLetter) or record.value is None:
        return None
    try:
        return model.model_validate_json(record.value)
    except ValueError:
        return None
