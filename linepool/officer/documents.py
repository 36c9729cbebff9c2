"""The documents that parties filed, read from `aggregation.evidence`, checked, and written where the officer asks for them."""

import os
import re
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from aiokafka import AIOKafkaConsumer

from linepool.client.connection import Connection
from linepool.client.journal import entry_of, partitions_of
from shared.documents import join
from shared.fetched import fetch_safely
from shared.messages.base import Document
from shared.messages.evidence import EvidencePart, Party

TOPIC = EvidencePart.stream


@dataclass
class Paper:
    """A document as it was filed; `content` is None where its parts do not come out as its manifest says."""

    party: Party
    party_id: UUID
    kind: str
    signer: str | None
    document: Document
    parts: dict[int, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes | None:
        """The bytes, hash checked."""
        try:
            return join(self.document, [self.parts[number] for number in sorted(self.parts)])
        except ValueError:
            return None


async def read_papers(connection: Connection, purchase_id: UUID) -> list[Paper]:
    """Return a purchase's documents, in the order in which they were filed. Only that purchase's are kept in memory.

    Raises KafkaError where the broker is away or refuses the login.
    """
    fetch_safely()
    papers: dict[tuple[Party, UUID, str, str, str], Paper] = {}
    consumer = AIOKafkaConsumer(**connection.arguments(), client_id=f"{connection.username}-evidence")
    try:
        await consumer.start()
        places = await partitions_of(consumer, connection.topic(TOPIC))
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        ends = await consumer.end_offsets(places)
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    if record.key == str(purchase_id).encode():
                        part = entry_of(record, connection.prefix).says(EvidencePart)
                        if part is not None:
                            _add(papers, part)
    finally:
        await consumer.stop()
    return list(papers.values())


def _add(papers: dict[tuple[Party, UUID, str, str, str], Paper], part: EvidencePart) -> None:
    key = (part.party, part.party_id, part.kind, part.document.name, part.document.sha256)
    paper = papers.setdefault(key, Paper(part.party, part.party_id, part.kind, part.signer, part.document))
    paper.parts[part.part] = part.data


def save(papers: Collection[Paper], folder: Path, filed: Collection[str]) -> tuple[list[Path], list[str]]:
    """Write documents that only their owner may read; return the files, and what was left out and why.

    A document is written only where its bytes have its hash and an event says that it was filed. Names are those of the senders:
    nothing of them but letters, digits, dots and dashes gets into a file's name.
    """
    written: list[Path] = []
    left_out: list[str] = []
    by_party: dict[str, list[Paper]] = defaultdict(list)
    for paper in papers:
        by_party[f"{paper.party}-{str(paper.party_id)[:8]}"].append(paper)
    for party, theirs in by_party.items():
        place = folder / party
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        for paper in theirs:
            content = paper.content
            if content is None or paper.document.sha256 not in filed:
                left_out.append(f"{paper.kind} {paper.document.sha256[:12]} is not what was filed")
                continue
            file = place / f"{paper.kind}-{paper.document.sha256[:12]}-{_harmless(paper.document.name)}"
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as opened:
                opened.write(content)
            written.append(file)
    return written, left_out


def _harmless(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "_", name)[-80:]
