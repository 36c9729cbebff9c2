"""What was said in a test, and to whom."""

from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from shared.envelope import read_headers
from shared.messages import Message
from shared.messages.bidding import MessageRejected, ReceiptIssued, RepliesCompared
from tests.memory import MemoryKafka, Running
from tests.service.bidding.bidding_facts import AIKO, BRIO, Purchase, an_offer

Said = TypeVar("Said", bound=Message)


def announce(kafka: MemoryKafka, purchase: Purchase) -> None:
    """Say all that makes a box ready."""
    for fact in (purchase.group, *purchase.usage, purchase.request):
        kafka.event(fact)


async def compare(kafka: MemoryKafka, purchase: Purchase) -> None:
    """Let two providers reply, the second one cheaper, and their replies be compared."""
    announce(kafka, purchase)
    for provider, price in ((AIKO, "0.12"), (BRIO, "0.10")):
        kafka.from_provider(
            provider, purchase.reply(offer=an_offer(price)), id=f"reply {provider}", at=purchase.in_time
        )
    kafka.event(purchase.deadline_passed)
    await kafka.settle()


async def clocks_disagree(bidding: Running, by: timedelta | None) -> None:
    """Let this be all that was ever measured."""
    await bidding.pool.execute("TRUNCATE clock_skews, clock_skew")
    if by is not None:
        await bidding.pool.execute(
            "INSERT INTO clock_skews VALUES (date_trunc('minute', clock_timestamp()), $1)", by
        )


def said(kafka: MemoryKafka) -> list[str]:
    """The names of bidding's events."""
    return [type(message).__name__ for message in kafka.messages("bidding.events")]


def all_of(kafka: MemoryKafka, type_: type[Said], topic: str = "bidding.events") -> list[Said]:
    return [message for message in kafka.messages(topic) if isinstance(message, type_)]


def one_of(kafka: MemoryKafka, type_: type[Said], topic: str = "bidding.events") -> Said:
    (message,) = all_of(kafka, type_, topic)
    return message


def answers(kafka: MemoryKafka, provider: str) -> list[str]:
    """`received`, or the reason of the rejection, for each notice about a message."""
    return [
        message.reason if isinstance(message, MessageRejected) else "received"
        for message in kafka.messages(f"notices.{provider}")
        if isinstance(message, ReceiptIssued | MessageRejected)
    ]


def ids_on(kafka: MemoryKafka, topic: str) -> list[str | None]:
    return [read_headers(record.headers).id for record in kafka.topics[topic]]


def reply_of(kafka: MemoryKafka, provider: str) -> UUID:
    """The provider's compared reply."""
    compared = one_of(kafka, RepliesCompared)
    return next(one.reply_id for one in compared.replies if one.provider_id == provider)


async def deliver_only(desk: Running, topic: str) -> None:
    """Deliver what is new on one topic, and let nothing else happen."""
    for stream in desk.service.wiring.streams.values():
        if topic in desk.topics_of(stream):
            await desk._deliver(stream, topic)
