"""A service's subscriptions: which handler takes which message from which stream, and the rules that hold for all of them.

Handlers are declared here as plain functions and become FastStream subscribers when the service is built, so that every
subscriber gets the same rules: at least once, from the oldest message on, one at a time, never a reply.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from inspect import signature
from typing import Any, Literal, TypeVar, get_type_hints

from aiokafka import ConsumerRecord
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from faststream import AckPolicy, StreamMessage
from faststream.kafka import KafkaBroker, KafkaRouter

from shared.bodies import decode
from shared.delivery import Delivery
from shared.fetched import fetch_safely
from shared.messages import Message, registry
from shared.messages.base import Role
from shared.positions import SeekToPositions
from shared.settings import ServiceSettings
from shared.turns import take_turns
from shared.wiring import Stream, Wiring

Handler = TypeVar("Handler", bound=Callable[..., Awaitable[Any]])
IDLE_WAIT_MS = 20


@dataclass
class Subscription:
    """One stream that a service reads, with the handlers of its message types."""

    service: str
    topic: str
    kind: Literal["events", "commands", "batches"]
    role: Role | None = None
    handlers: dict[str, Callable[..., Awaitable[Any]]] = field(default_factory=dict)

    def handle(self, handler: Handler) -> Handler:
        """Let this function take the messages that its first parameter is annotated with."""
        first = next(iter(signature(handler).parameters))
        message: type[Message] = get_type_hints(handler)[first]
        if message.stream != self.topic or registry.get(message.type()) is not message:
            raise TypeError(f"{message.__name__} does not travel on {self.topic}")
        if message.type() in self.handlers:
            raise TypeError(f"{message.__name__} has a handler already")
        self.handlers[message.type()] = handler
        return handler

    def handle_batch(self, handler: Handler) -> Handler:
        """Let this function take batches of raw records: `batch: Batched`, beside what every handler may ask for."""
        self.handlers["batch"] = handler
        return handler


class Streams:
    """All that one service reads."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.subscriptions: list[Subscription] = []

    def events(self, topic: str) -> Subscription:
        """Read facts; one that nobody knows is parked."""
        return self._add(Subscription(self.service, topic, "events"))

    def commands(self, topic: str, *, role: Role | None = None) -> Subscription:
        """Read orders; one that cannot be obeyed is refused. `role` follows from the topic where only one role may write it."""
        return self._add(Subscription(self.service, topic, "commands", role))

    def batches(self, topic: str) -> Subscription:
        """Read raw records of all topics that begin with this, many in one transaction."""
        return self._add(Subscription(self.service, topic, "batches"))

    def _add(self, subscription: Subscription) -> Subscription:
        self.subscriptions.append(subscription)
        return subscription

    def attach(self, broker: KafkaBroker, wiring: Wiring, settings: ServiceSettings) -> None:
        """Make a FastStream subscriber of each subscription."""
        router = KafkaRouter(prefix=settings.topic_prefix, ack_policy=AckPolicy.NACK_ON_ERROR)
        for subscription in self.subscriptions:
            consumer = f"{self.service}.{subscription.topic.rstrip('.')}"
            listener = SeekToPositions(consumer, wiring)
            rules: dict[str, Any] = {
                "group_id": f"{settings.topic_prefix}{consumer}",
                "ack_policy": AckPolicy.NACK_ON_ERROR,  # the broker's own would not reach a router's subscribers
                "auto_offset_reset": "earliest",
                "no_reply": True,
                "parser": tolerant_parser,
                "listener": listener,
                "session_timeout_ms": settings.session_timeout_ms,
                "heartbeat_interval_ms": settings.session_timeout_ms // 3,
                "rebalance_timeout_ms": max(settings.session_timeout_ms, 10_000),
            }
            if subscription.kind == "batches":
                subscriber: Any = router.subscriber(
                    pattern=subscription.topic.replace(".", r"\.") + ".*",
                    batch=True,
                    max_records=settings.batch_records,
                    batch_timeout_ms=IDLE_WAIT_MS,
                    max_partition_fetch_bytes=65536,
                    partition_assignment_strategy=(RoundRobinPartitionAssignor,),
                    decoder=_leave_raw,
                    **rules,
                )
                subscriber(subscription.handlers["batch"])
            else:
                subscriber = router.subscriber(subscription.topic, decoder=decode, **rules)
                for type_, handler in subscription.handlers.items():
                    subscriber(filter=_of_type(type_))(handler)
                subscriber(filter=_of_no_type_in(subscription.handlers))(_pass_over)
            listener.subscriber = subscriber
            wiring.streams[id(subscriber)] = Stream(
                consumer=consumer,
                topic=settings.topic_prefix + subscription.topic,
                kind=subscription.kind,
                role=subscription.role,
                handled=frozenset(subscription.handlers),
                subscriber=subscriber,
            )
        broker.include_router(router)


def make_broker(settings: ServiceSettings, wiring: Wiring, security: Any = None) -> KafkaBroker:
    """Return the broker whose every delivery passes through `Delivery`; it only consumes, the relay sends."""
    fetch_safely()
    take_turns()
    return KafkaBroker(
        settings.kafka_servers,
        security=security,
        client_id=wiring.service,
        allow_auto_create_topics=False,  # deploy/access owns the topics
        metadata_max_age_ms=3_000,  # how soon a new provider's topic is seen
        graceful_timeout=20.0,
        middlewares=(partial(Delivery, wiring),),
        logger=None,  # errors quote data; delivery logs ids
    )


async def tolerant_parser(
    raw: ConsumerRecord | tuple[ConsumerRecord, ...],
    original: Callable[[Any], Awaitable[StreamMessage[Any]]],
) -> StreamMessage[Any]:
    """Let no header stop a message.

    FastStream loses a message silently when a header is null or not UTF-8, and answers a `reply_to` header with our own rights.
    """
    for record in raw if isinstance(raw, tuple | list) else (raw,):
        record.headers = tuple(
            (name, b"" if value is None else value.decode("utf-8", "replace").encode())
            for name, value in record.headers
            if name != "reply_to"
        )
    return await original(raw)


def _of_type(type_: str) -> Callable[[StreamMessage[Any]], bool]:
    def is_of_type(message: StreamMessage[Any]) -> bool:
        return message.headers.get("ce_type") == type_

    return is_of_type


def _of_no_type_in(handlers: Mapping[str, object]) -> Callable[[StreamMessage[Any]], bool]:
    def is_of_another_type(message: StreamMessage[Any]) -> bool:
        return message.headers.get("ce_type") not in handlers

    return is_of_another_type


async def _pass_over() -> None:
    """Take a message that is not for this service; what is in no registry never comes here."""


async def _leave_raw(_message: StreamMessage[Any], _original: object) -> None:
    return None
