from decimal import Decimal
from uuid import uuid4

from shared.messages import Message
from shared.messages.bidding import (
    MessageRejected,
    ProviderSelected,
    ReceiptIssued,
    RepliesCompared,
    RepliesOpened,
    SelectReplyRefused,
    TermsAccepted,
    TermsPresented,
)
from tests.memory import MemoryKafka, Running
from tests.service.bidding.bidding_facts import AIKO, BRIO, CORA, Purchase, an_offer


def announce(kafka: MemoryKafka, purchase: Purchase) -> None:
    for fact in (purchase.group, *purchase.usage, purchase.request):
        kafka.event(fact)


def said(kafka: MemoryKafka) -> list[str]:
    return [type(message).__name__ for message in kafka.messages("bidding.events")]


def one(kafka, type_):
    return next(message for message in kafka.messages("bidding.events") if isinstance(message, type_))


async def test_a_purchase_goes_from_its_box_to_accepted_terms(desk: Running, kafka: MemoryKafka) -> None:
    purchase = Purchase()
    announce(kafka, purchase)
    await desk.work()
    for provider, price in ((AIKO, "0.12"), (BRIO, "0.10")):
        kafka.from_provider(provider, purchase.reply(offer=an_offer(price)), at=purchase.in_time)
    kafka.from_provider(CORA, purchase.decline(), at=purchase.in_time)
    kafka.event(purchase.deadline_passed)
    await kafka.settle()
    print(said(kafka))
    assert said(kafka) == ["BidBoxReady", "RepliesOpened", "RepliesCompared"]
    print(one(kafka, RepliesCompared))
