"""One provider's side: its own login, its own three topics, and nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID, uuid4

from aiokafka import AIOKafkaProducer

from linepool.client.connection import Connection
from linepool.client.journal import Entry, Journal, open_journal
from linepool.client.orders import open_producer
from shared import documents
from shared.messages.base import Document
from shared.messages.bidding import MessageRejected, ReceiptIssued
from shared.messages.distribution import PresentedDocumentPart, RequestPresented
from shared.messages.notification import AwardNotified
from shared.messages.providers import (
    InvitationDeclined,
    Offer,
    ProviderMessage,
    ReplySubmitted,
    TermsProposed,
)
from shared.sealing import offer_info, seal_for

Answer = ReceiptIssued | MessageRejected


@dataclass(frozen=True)
class Invitation:
    """An invitation with its documents put together again, each checked against its manifest."""

    presented: RequestPresented
    content: bytes
    """The request's content, canonical JSON."""
    documents: dict[str, bytes]
    """The further documents by name."""


@dataclass(frozen=True)
class Provider:
    """Reads invitations and notices from their beginning, and says something on its own topic. Made by `open_provider`."""

    provider_id: str
    connection: Connection
    producer: AIOKafkaProducer
    journal: Journal

    async def invitation(self, purchase_id: UUID, *, version: int = 1, within: float = 30) -> Invitation:
        """Wait for a version of a request and all its documents.

        Raises:
            TimeoutError: it has not come completely within so many seconds.
            ValueError: a document is not what its manifest says.
        """

        def presented(entry: Entry) -> RequestPresented | None:
            found = entry.says(RequestPresented, purchase_id)
            return found if found and found.request_version == version else None

        request = await self.journal.wait_for(presented, within=within, what="the invitation")
        content = request.content_json
        further = {one.name: await self._document(request, one, within) for one in request.documents}
        if content is None:
            return Invitation(request, await self._document(request, request.content, within), further)
        if sha256(content.encode()).hexdigest() != request.content.sha256:
            raise ValueError("the invitation's content is not what its manifest says")
        return Invitation(request, content.encode(), further)

    async def reply(
        self,
        purchase_id: UUID,
        offer: Offer,
        *,
        version: int = 1,
        revision: int = 1,
        message_id: str | None = None,
    ) -> str:
        """Send a reply; return its message id. A higher revision replaces the lower ones."""
        sealed = self._seal(purchase_id, offer, version=version, revision=revision)
        message = ReplySubmitted(
            purchase_id=purchase_id,
            request_version=version,
            revision=revision,
            seal="none" if sealed is None else "hpke",
            offer=offer if sealed is None else None,
            sealed_offer=sealed,
        )
        return await self.send(message, message_id=message_id)

    def _seal(self, purchase_id: UUID, offer: Offer, *, version: int, revision: int) -> str | None:
        """Seal an offer with the key of the invitation; None where none came, or where it asks for no seal."""
        keys = [
            one.public_key
            for one in self.journal.all_of(RequestPresented, purchase_id)
            if one.request_version == version and one.public_key is not None
        ]
        if not keys:
            return None
        info = offer_info(purchase_id, version, self.provider_id, revision)
        return seal_for(keys[0], offer.model_dump_json().encode(), info)

    async def revise(self, purchase_id: UUID, offer: Offer, *, revision: int, version: int = 1) -> str:
        """Send another revision of a reply; return its message id."""
        return await self.reply(purchase_id, offer, version=version, revision=revision)

    async def decline(self, purchase_id: UUID, *, reason: str, version: int = 1) -> str:
        """Say that there will be no reply; return the message id."""
        return await self.send(
            InvitationDeclined(purchase_id=purchase_id, request_version=version, reason=reason)
        )

    async def propose_terms(self, purchase_id: UUID, *, award: int, title: str, text: str) -> str:
        """Propose terms and conditions for an award; return the message id."""
        digest = sha256(text.encode()).hexdigest()
        return await self.send(
            TermsProposed(purchase_id=purchase_id, award=award, title=title, text=text, terms_sha256=digest)
        )

    async def send(self, message: ProviderMessage, *, message_id: str | None = None) -> str:
        """Send any message; return its id once the broker has it. The same id with the same bytes is the same message."""
        id_ = message_id or str(uuid4())
        await self.send_bytes(message.to_bytes(), message_id=id_, type_=message.type())
        return id_

    async def send_bytes(self, body: bytes, *, message_id: str | None, type_: str | None) -> None:
        """Send any bytes, with or without an id and a type.

        Raises:
            KafkaError: the broker refuses it.
        """
        headers = [("ce_specversion", b"1.0"), ("content-type", b"application/json")]
        if message_id is not None:
            headers.append(("ce_id", message_id.encode()))
        if type_ is not None:
            headers.append(("ce_type", type_.encode()))
        await self.producer.send_and_wait(
            self.connection.topic(f"replies.{self.provider_id}"), body, headers=headers
        )

    async def answer(self, message_id: str, *, within: float = 30) -> Answer:
        """Wait for the receipt or the rejection of a message. TimeoutError: there was none within so many seconds."""

        def about_it(entry: Entry) -> Answer | None:
            message = entry.message
            if isinstance(message, ReceiptIssued | MessageRejected) and message.message_id == message_id:
                return message
            return None

        return await self.journal.wait_for(about_it, within=within, what="the answer to a message")

    async def award(self, purchase_id: UUID, *, within: float = 30) -> AwardNotified:
        """Wait for the news that the group selected this provider."""
        return await self.journal.wait_for(
            lambda entry: entry.says(AwardNotified, purchase_id), within=within, what="the award"
        )

    async def _document(self, request: RequestPresented, document: Document, within: float) -> bytes:
        def parts() -> dict[int, str]:
            return {
                part.part: part.data
                for part in self.journal.all_of(PresentedDocumentPart, request.purchase_id)
                if part.request_version == request.request_version and part.document == document
            }

        await self.journal.wait_until(
            lambda: len(parts()) == document.parts, within=within, what=f"the document {document.name}"
        )
        return documents.join(document, [data for _, data in sorted(parts().items())])


@asynccontextmanager
async def open_provider(connection: Connection, provider_id: str) -> AsyncIterator[Provider]:
    """Connect with a provider's own login. Raises KafkaError when the broker is away or refuses it."""
    reads = (f"invitations.{provider_id}", f"notices.{provider_id}")
    group = f"providers.{provider_id}.client"
    async with (
        open_journal(connection, reads, group=group) as journal,
        open_producer(connection) as producer,
    ):
        yield Provider(provider_id, connection, producer, journal)
