"""Says and hears: a provider's own login, its own three topics, and nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from mimetypes import guess_type
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from aiokafka import AIOKafkaProducer
from pydantic import ValidationError

from linepool.client.journal import Entry, Journal, open_journal
from linepool.client.orders import open_producer
from linepool.provider.bundle import Bundle
from linepool.provider.errors import OfferError, RejectedError, RequestError, TermsError
from linepool.provider.request import Request
from linepool.provider.sealing import make_reply
from shared import documents
from shared.envelope import derived_id
from shared.messages.base import DOCUMENT_BYTES, PART_BYTES, Document
from shared.messages.bidding import MessageRejected, Notice, ReceiptIssued
from shared.messages.distribution import (
    AccessOffered,
    AnswerPresented,
    CancellationPresented,
    PresentedDocumentPart,
    RequestPresented,
)
from shared.messages.notification import (
    AcceptanceNotified,
    AccessRefusalNotified,
    AwardNotified,
    RejectionNotified,
    UnsuccessfulNotified,
)
from shared.messages.providers import (
    MESSAGE_BYTES,
    AccessRequested,
    InvitationAcknowledged,
    InvitationDeclined,
    Offer,
    ProviderMessage,
    QuestionAsked,
    ReplySubmitted,
    ReplyWithdrawn,
    TermsDocument,
    TermsPartSent,
    TermsProposed,
)
from shared.terms_digest import terms_digest

Answer = ReceiptIssued | MessageRejected
Told = TypeVar("Told", bound=Notice | AnswerPresented | CancellationPresented | AccessOffered)


@dataclass(frozen=True)
class Provider:
    """All that one provider can do. Made by `open_provider`.

    Everything is read from its beginning, so whatever was said before this process began is known too; `subscribe` is for
    programs that go on where they were. What is sent returns the message's id as soon as the broker has it; it counts once
    `receipt` has returned. Whatever waits raises TimeoutError after `within` seconds.
    """

    bundle: Bundle
    producer: AIOKafkaProducer
    journal: Journal

    @property
    def provider_id(self) -> str:
        """Who this is."""
        return self.bundle.provider_id

    async def offered(self, purchase_id: UUID, *, version: int = 1, within: float = 30) -> AccessOffered:
        """Wait for the offer of access to a version of a request."""

        def offer(entry: Entry) -> AccessOffered | None:
            found = entry.says(AccessOffered, purchase_id)
            return found if found and found.request_version == version else None

        return await self.journal.wait_for(offer, within=within, what="the offer of access")

    async def request(self, purchase_id: UUID, *, version: int = 1, within: float = 30) -> Request:
        """Wait for a version of a request and all its documents.

        Raises:
            RequestError: a document is not what its manifest says.
        """

        def shown(entry: Entry) -> RequestPresented | None:
            found = entry.says(RequestPresented, purchase_id)
            return found if found and found.request_version == version else None

        presented = await self.journal.wait_for(shown, within=within, what="the request")
        further = {one.name: await self._document(presented, one, within) for one in presented.documents}
        if presented.content_json is None:
            return Request.of(presented, await self._document(presented, presented.content, within), further)
        return Request.of(presented, presented.content_json.encode(), further)

    async def acknowledge(self, request: Request) -> str:
        """Say that this request was read, by the hash of what was read."""
        return await self.send(
            InvitationAcknowledged(
                purchase_id=request.purchase_id,
                request_version=request.version,
                content_sha256=sha256(request.content_json).hexdigest(),
            )
        )

    async def ask_for_access(self, offered: AccessOffered) -> str:
        """Ask to be shown the request that was offered."""
        return await self.send(
            AccessRequested(purchase_id=offered.purchase_id, request_version=offered.request_version)
        )

    async def granted(self, offered: AccessOffered, message_id: str, *, within: float = 30) -> Request:
        """Wait until access that was asked for is granted. Raises RejectedError where it is not."""

        def decided(entry: Entry) -> RequestPresented | AccessRefusalNotified | MessageRejected | None:
            shown = entry.says(RequestPresented, offered.purchase_id)
            if shown and shown.request_version == offered.request_version:
                return shown
            said = entry.message
            if isinstance(said, AccessRefusalNotified | MessageRejected) and said.message_id == message_id:
                return said
            return None

        said = await self.journal.wait_for(decided, within=within, what="the decision about access")
        if isinstance(said, AccessRefusalNotified | MessageRejected):
            raise RejectedError(said)
        return await self.request(offered.purchase_id, version=offered.request_version, within=within)

    async def ask(self, request: Request, question: str) -> str:
        """Ask a question. The answer goes to everyone who was shown the request; who asked is told to nobody."""
        return await self.send(
            QuestionAsked(purchase_id=request.purchase_id, request_version=request.version, question=question)
        )

    def reply(self, request: Request, offer: Offer, *, revision: int = 1) -> ReplySubmitted:
        """Make a reply, sealed where the request asks for it, without sending it.

        Raises:
            OfferError: it would be found invalid after opening.
            SealError: the request's key is not signed by the key of the bundle.
        """
        return make_reply(
            request, offer, provider_id=self.provider_id, revision=revision, keys=self.bundle.keys
        )

    async def submit(self, request: Request, offer: Offer, *, revision: int = 1) -> str:
        """Check, seal and send a reply; a higher revision replaces the lower ones. Raises as `reply`."""
        return await self.send(self.reply(request, offer, revision=revision))

    async def withdraw(self, request: Request, receipt: ReceiptIssued) -> str:
        """Take back the reply that this receipt is for.

        Raises:
            ValueError: the receipt is not one of a reply.
        """
        if receipt.reply_id is None:
            raise ValueError("only the receipt of a reply can be cited to withdraw it")
        return await self.send(
            ReplyWithdrawn(
                purchase_id=request.purchase_id, request_version=request.version, reply_id=receipt.reply_id
            )
        )

    async def decline(self, purchase_id: UUID, *, reason: str, version: int = 1) -> str:
        """Say that there will be no reply."""
        return await self.send(
            InvitationDeclined(purchase_id=purchase_id, request_version=version, reason=reason)
        )

    async def propose_terms(
        self,
        purchase_id: UUID,
        *,
        award: int,
        title: str,
        text: str,
        document: Path | tuple[str, bytes] | None = None,
        attempt: int = 1,
    ) -> str:
        """Propose terms and conditions for an award; return the id of the message whose receipt counts.

        Args:
            purchase_id: what the award is of.
            award: the award's number.
            title: how the group sees them named.
            text: the terms, or what they say beside the document.
            document: a file, or a name and its content: at most 10 MiB. Its parts are sent first.
            attempt: a higher number sends the same terms as new messages, where they were rejected before.

        Raises:
            OSError: the file cannot be read.
            TermsError: the document is empty or too large, or its name cannot be sent.
        """
        manifest = None
        if document is not None:
            name, content = document if isinstance(document, tuple) else _read(document)
            manifest = _manifest(name, content)
            for part, data in documents.split(manifest, content):
                sent = TermsPartSent(
                    purchase_id=purchase_id, award=award, document=manifest, part=part, data=data
                )
                await self.send(sent, attempt=attempt)
        return await self.send(
            TermsProposed(
                purchase_id=purchase_id,
                award=award,
                title=title,
                text=text,
                terms_sha256=terms_digest(text, manifest),
                document=manifest,
            ),
            attempt=attempt,
        )

    async def send(self, message: ProviderMessage, *, attempt: int = 1) -> str:
        """Send any message. Its id follows from its bytes and the attempt, so the same again is the same message."""
        body = message.to_bytes()
        if len(body) > MESSAGE_BYTES:
            raise OfferError([f"makes a message of more than {MESSAGE_BYTES} bytes"])
        message_id = id_of(body) if attempt == 1 else str(derived_id("attempt", attempt, id_of(body)))
        await self.send_bytes(body, message_id=message_id, type_=message.type())
        return message_id

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
        topic = self.bundle.connection.topic(f"replies.{self.provider_id}")
        await self.producer.send_and_wait(topic, body, headers=headers)

    async def answer(self, message_id: str, *, within: float = 30) -> Answer:
        """Wait for the receipt or the rejection of a message."""

        def about_it(entry: Entry) -> Answer | None:
            message = entry.says(ReceiptIssued) or entry.says(MessageRejected)
            return message if message and message.message_id == message_id else None

        return await self.journal.wait_for(about_it, within=within, what="the receipt")

    async def receipt(self, message_id: str, *, within: float = 30) -> ReceiptIssued:
        """Wait for the receipt of a message. Raises RejectedError where it was not taken."""
        answer = await self.answer(message_id, within=within)
        if isinstance(answer, MessageRejected):
            raise RejectedError(answer)
        return answer

    def receipts(self, purchase_id: UUID | None = None) -> list[ReceiptIssued]:
        """Return the receipts read so far (about this purchase), in their order; one that was repeated stands once."""
        return list(dict.fromkeys(self.journal.all_of(ReceiptIssued, purchase_id)))

    def answers(self, purchase_id: UUID) -> list[AnswerPresented]:
        """Return the questions about a request that were answered so far, whoever asked."""
        return self.journal.all_of(AnswerPresented, purchase_id)

    async def award(self, purchase_id: UUID, *, within: float = 30) -> AwardNotified:
        """Wait for the news that the group selected this provider."""
        return await self._told(AwardNotified, purchase_id, within, "the award")

    async def unsuccessful(self, purchase_id: UUID, *, within: float = 30) -> UnsuccessfulNotified:
        """Wait for the news that the group selected another provider: the own rank, and why."""
        return await self._told(UnsuccessfulNotified, purchase_id, within, "the result")

    async def acceptance(self, purchase_id: UUID, *, within: float = 30) -> AcceptanceNotified:
        """Wait for the news that the group accepted the terms."""
        return await self._told(AcceptanceNotified, purchase_id, within, "the acceptance of the terms")

    async def rejection(self, purchase_id: UUID, *, within: float = 30) -> RejectionNotified:
        """Wait for the news that the group rejected the terms; others may be proposed."""
        return await self._told(RejectionNotified, purchase_id, within, "the rejection of the terms")

    async def cancellation(self, purchase_id: UUID, *, within: float = 30) -> CancellationPresented:
        """Wait for the news that the purchase is called off."""
        return await self._told(CancellationPresented, purchase_id, within, "the cancellation")

    async def _told(self, type_: type[Told], purchase_id: UUID, within: float, what: str) -> Told:
        return await self.journal.wait_for(
            lambda entry: entry.says(type_, purchase_id), within=within, what=what
        )

    async def _document(self, presented: RequestPresented, document: Document, within: float) -> bytes:
        def parts() -> dict[int, str]:
            return {
                part.part: part.data
                for part in self.journal.all_of(PresentedDocumentPart, presented.purchase_id)
                if part.request_version == presented.request_version and part.document == document
            }

        await self.journal.wait_until(
            lambda: len(parts()) >= document.parts, within=within, what=f"the document {document.name}"
        )
        try:
            return documents.join(document, [data for _, data in sorted(parts().items())])
        except ValueError as error:
            raise RequestError(str(error)) from error


def _read(file: Path) -> tuple[str, bytes]:
    with file.open("rb") as opened:
        # What is too large is refused by its size, and need not be read to its end for that.
        return file.name, opened.read(DOCUMENT_BYTES + 1)


def _manifest(name: str, content: bytes) -> TermsDocument:
    parts = -(-len(content) // PART_BYTES)
    try:
        return TermsDocument(
            name=name,
            media_type=guess_type(name)[0] or "application/octet-stream",
            size=len(content),
            sha256=sha256(content).hexdigest(),
            parts=parts,
        )
    except ValidationError as error:
        reasons = [f"{one['loc'][-1] if one['loc'] else 'document'}: {one['msg']}" for one in error.errors()]
        raise TermsError(f"the document cannot be sent: {'; '.join(reasons)}") from error


def id_of(body: bytes) -> str:
    """Return the id of a message with this body."""
    return str(derived_id("provider message", sha256(body).hexdigest()))


@asynccontextmanager
async def open_provider(bundle: Bundle) -> AsyncIterator[Provider]:
    """Connect with a provider's own login. Raises KafkaError when the broker is away or refuses it."""
    reads = (f"invitations.{bundle.provider_id}", f"notices.{bundle.provider_id}")
    async with (
        open_journal(bundle.connection, reads) as journal,
        open_producer(bundle.connection) as producer,
    ):
        yield Provider(bundle, producer, journal)
