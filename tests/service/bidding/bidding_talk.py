"""What was said in a test, and to whom."""

from typing import TypeVar
from uuid import UUID

from shared.envelope import read_headers
from shared.messages import Message
from shared.messages.bidding import MessageRejected, ReceiptIssued, RepliesCompared
from tests.memory import MemoryKafka, Running
from tests.service.bidding.bidding_facts import Purchase

Said = TypeVar("Said", bound=Message)


def announce(kafka: MemoryKafka, purchase: Purchase) -> None:
    """Say all that makes a box ready."""
    for fact in (purchase.group, *purchase.usage, purchase.request):
        kafka.event(fact)


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
