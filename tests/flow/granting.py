"""One purchase by `grant`, with all that providers can do before the deadline, each by one of them.

AIKO acknowledges, asks, and replaces its reply; BRIO acknowledges, asks, and replies; ELLA withdraws its reply; CORA acknowledges
and declines; SUSI is suspended before it asks for access; LENA asks for access after the deadline; NORA is on no list.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from shared.messages.base import PART_BYTES
from shared.messages.bidding import QuestionReceived, ReceiptIssued
from shared.messages.distribution import AccessOffered, AnswerPresented, RequestPresented
from shared.messages.notification import AccessRefusalNotified
from shared.messages.providers import (
    AccessRequested,
    InvitationAcknowledged,
    ProviderMessage,
    QuestionAsked,
    ReplyWithdrawn,
)
from shared.messages.rfp import AnswerQuestion, ProviderSuspended, SuspendProvider
from tests.flow.purchase import (
    OPERATOR,
    Purchase,
    expected_of,
    form,
    issue,
    mails_of,
    register,
    verify,
)
from tests.flow.system import System

AIKO, BRIO, ELLA, CORA = "aikoaikoaiko", "briobriobrio", "ellaellaella", "coracoracora"
SUSI, LENA, NORA = "susisusisusi", "lenalenalena", "noranoranora"
LISTED = (AIKO, BRIO, ELLA, SUSI, LENA, CORA)
SHOWN = (AIKO, BRIO, ELLA, CORA)
ACKNOWLEDGING = (AIKO, BRIO, CORA)
TOLD_ANSWERS = (*SHOWN, LENA)
ATTACHED = {"Sites.csv": b"site,lines\n" + b"Aal,2\n" * (PART_BYTES // 6)}
"""One document of two parts."""
ASKED = {
    AIKO: "Since our depot in Aal is next door: which floors?",
    BRIO: "May invoices come quarterly?",
}
ANSWERS = {AIKO: "The first and the second.", BRIO: "No, every month."}
RESTATED = {AIKO: "Which floors are meant?"}
"""The words of the first question would tell who asked it."""


def a_purchase() -> Purchase:
    return Purchase(LISTED, mode="grant")


@dataclass
class Desk:
    """Says what providers say about one purchase, and waits for their answers."""

    system: System
    purchase: Purchase

    @property
    def about(self) -> UUID:
        return self.purchase.purchase_id

    async def say(self, provider_id: str, message: ProviderMessage) -> ReceiptIssued:
        message_id = await self.system.word(provider_id, message)
        return await self.receipt(provider_id, message_id)

    async def receipt(self, provider_id: str, message_id: str) -> ReceiptIssued:
        return await self.system.until(
            ReceiptIssued,
            self.about,
            provider_id=provider_id,
            where=lambda said: said.message_id == message_id,
        )

    async def ask_for_access(self, provider_id: str) -> str:
        asking = AccessRequested(purchase_id=self.about, request_version=1)
        return (await self.say(provider_id, asking)).message_id

    async def refused(self, provider_id: str, about: UUID | None = None) -> AccessRefusalNotified:
        """Ask for access, and wait for the refusal."""
        about = about or self.about
        asking = AccessRequested(purchase_id=about, request_version=1)
        message_id = await self.system.word(provider_id, asking)
        return await self.system.until(
            AccessRefusalNotified,
            about,
            provider_id=provider_id,
            where=lambda said: said.message_id == message_id,
        )

    async def shown(self, provider_id: str) -> RequestPresented:
        return await self.system.until(RequestPresented, self.about, provider_id=provider_id)

    async def acknowledge(self, provider_id: str) -> None:
        presented = await self.shown(provider_id)
        await self.say(
            provider_id,
            InvitationAcknowledged(
                purchase_id=self.about, request_version=1, content_sha256=presented.content.sha256
            ),
        )


async def offer(system: System, purchase: Purchase, seconds: float) -> None:
    """Form the group, issue the request and verify, until everyone listed was offered access."""
    await form(system, purchase)
    deadline = datetime.now(UTC) + timedelta(seconds=seconds)
    snapshot = await issue(system, purchase, deadline, ATTACHED)
    await verify(system, purchase, snapshot)
    for provider_id in purchase.providers:
        await system.until(AccessOffered, purchase.purchase_id, provider_id=provider_id)


async def suspend(system: System, provider_id: str) -> None:
    """Suspend a provider, and wait until everyone knows."""
    order = SuspendProvider(provider_id=provider_id, reason="Unpaid fees.")
    await system.order(order, OPERATOR)

    async def said() -> bool:
        return any(
            isinstance(one, ProviderSuspended) and one.provider_id == provider_id
            for one in system.kafka.messages("rfp.events")
        )

    await system.work_until(said, within=60, what="ProviderSuspended")
    await system.rest()


async def show(desk: Desk) -> None:
    """Let four be shown the request, one of them twice, and three say that they have read it."""
    for provider_id in SHOWN:
        await desk.ask_for_access(provider_id)
    for provider_id in SHOWN:
        await desk.shown(provider_id)
    await desk.ask_for_access(AIKO)
    for provider_id in ACKNOWLEDGING:
        await desk.acknowledge(provider_id)


async def ask_and_answer(desk: Desk) -> None:
    """Let two ask, and the coordinator answer: the later question first, the earlier one in other words."""
    for provider_id, question in ASKED.items():
        asking = QuestionAsked(purchase_id=desk.about, request_version=1, question=question)
        await desk.say(provider_id, asking)
    received = {
        asker: await desk.system.until(
            QuestionReceived, desk.about, where=lambda said, question=question: said.question == question
        )
        for asker, question in ASKED.items()
    }
    for asker in reversed(ASKED):
        answering = AnswerQuestion(
            purchase_id=desk.about,
            question_id=received[asker].question_id,
            answer=ANSWERS[asker],
            restated=RESTATED.get(asker),
        )
        await desk.system.order(answering, desk.purchase.coordinator)
    for provider_id in TOLD_ANSWERS:
        for answer in ANSWERS.values():
            await desk.system.until(
                AnswerPresented,
                desk.about,
                provider_id=provider_id,
                where=lambda said, answer=answer: said.answer == answer,
            )


async def reply(desk: Desk) -> None:
    """Let one replace its reply, one reply, one withdraw its reply by its receipt, and one decline."""
    purchase, number = desk.purchase, desk.purchase.providers.index
    for provider_id, revision in ((AIKO, 1), (AIKO, 2), (BRIO, 1)):
        presented = await desk.shown(provider_id)
        await desk.say(provider_id, purchase.sealed_reply(number(provider_id), presented, revision=revision))
    receipt = await desk.say(ELLA, purchase.sealed_reply(number(ELLA), await desk.shown(ELLA)))
    assert receipt.reply_id is not None
    withdrawing = ReplyWithdrawn(purchase_id=desk.about, request_version=1, reply_id=receipt.reply_id)
    await desk.say(ELLA, withdrawing)
    await desk.say(CORA, purchase.declining())


async def until_replies(system: System, purchase: Purchase, seconds: float) -> Desk:
    """Run the purchase up to the last reply; its deadline is so many seconds after the need is described."""
    await register(system, *LISTED, NORA)
    await offer(system, purchase, seconds)
    return await after_the_offer(system, purchase)


async def after_the_offer(system: System, purchase: Purchase) -> Desk:
    """Go on from the offers to the last reply."""
    desk = Desk(system, purchase)
    assert (await desk.refused(NORA)).reason == "unknown_purchase"
    await suspend(system, SUSI)
    assert (await desk.refused(SUSI)).reason == "suspended"
    await show(desk)
    await ask_and_answer(desk)
    await reply(desk)
    return desk


def no_such_purchase() -> UUID:
    return uuid4()


def expected_of_granting(purchase: Purchase) -> dict[str, int]:
    """Return how many different messages of each type the whole purchase leads to, orders and words left out."""
    access = len(SHOWN) + 1 + len((SUSI, LENA, NORA))
    replies, withdrawal, decline, terms = 4, 1, 1, 1
    transmitted = replace(purchase, mode="transmit")
    return {
        **expected_of(transmitted),
        "DocumentAttached": len(ATTACHED),
        "RequestDocumentPart": 2 + 2 * len(ATTACHED),
        "AccessOffered": len(LISTED),
        "AccessRequestReceived": access,
        "AccessGranted": len(SHOWN),
        "AccessRefused": len((SUSI, LENA, NORA)),
        "AccessRefusalNotified": len((SUSI, LENA, NORA)),
        "RequestPresented": len(SHOWN),
        "PresentedDocumentPart": (1 + 2 * len(ATTACHED)) * len(SHOWN),
        "QuestionReceived": len(ASKED),
        "QuestionAnswered": len(ASKED),
        "AnswerPresented": len(ASKED) * len(TOLD_ANSWERS),
        "ReceiptIssued": access + len(ACKNOWLEDGING) + len(ASKED) + replies + withdrawal + decline + terms,
        "UnsuccessfulNotified": 1,
        "MailDelivered": len(mails_of_granting(purchase)),
    }


def mails_of_granting(purchase: Purchase) -> list[tuple[UUID, str]]:
    """Return who gets which mail in the whole purchase."""
    return [*mails_of(purchase), *[(purchase.person(0), "question_waits")] * len(ASKED)]
