"""Traces by OpenTelemetry, off unless `OTEL_EXPORTER_OTLP_ENDPOINT` is set.

All ids follow from those that messages carry: a trace is a conversation (`ce_correlationid`), the span of sending a message is in
its `traceparent`, and the span of handling it derives from the service and the message. So nothing has to be kept in the outbox,
and what comes again after a crash is the same span again. Conversations about one purchase are linked to one span, that of the
purchase, whose trace id is the purchase's id.

Nothing that providers say or are told is traced: the number of spans would be the number of replies.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from importlib.metadata import version
from threading import Thread
from time import time_ns
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from shared.envelope import as_uuid
from shared.messages import registry
from shared.messages.aggregation import OpenGroup
from shared.messages.base import AboutPurchase
from shared.outbox import decode_headers
from shared.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import SpanProcessor

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
PROVIDER_FACING = ("invitations.", "notices.", "replies.")
CLOSE_S = 3.0
_ids: ContextVar[tuple[int, int]] = ContextVar("ids")


def message_span(message_id: UUID) -> int:
    """Return the span of sending a message, as `traceparent` has it."""
    return int(message_id.hex[:16], 16)


def work_span(service: str, cause: UUID) -> int:
    """Return the span in which a service handled a message or made a decision."""
    return int.from_bytes(sha256(f"{service}/{cause}".encode()).digest()[:8], "big") or 1


def purchase_of(type_: str | None, subject: str | None) -> UUID | None:
    """Return the purchase that a message of this type is about, or None."""
    model = registry.get(type_ or "")
    return as_uuid(subject) if model is not None and issubclass(model, AboutPurchase) else None


@contextmanager
def in_logs(service: str, cause: UUID, correlation: UUID, purchase: UUID | None) -> "Iterator[None]":
    """Let every log line within carry the ids that the traces have."""
    ids = {"trace_id": correlation.hex, "span_id": f"{work_span(service, cause):016x}"}
    if purchase is not None:
        ids["purchase"] = str(purchase)
    with structlog.contextvars.bound_contextvars(**ids):
        yield


@dataclass(frozen=True)
class Traces:
    """Makes spans of what was done, once it is done."""

    service: str
    provider: Any
    """The SDK's TracerProvider; it is loaded only where there are traces."""

    @classmethod
    def from_environment(cls, service: str) -> "Traces | None":
        """Return what exports by OTLP over HTTP to where the environment says, or None where it says nothing."""
        if not any(os.environ.get(name) for name in ENDPOINTS):
            return None
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 # only where needed
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 # as above

        return cls.through(service, BatchSpanProcessor(OTLPSpanExporter()))

    @classmethod
    def through(cls, service: str, processor: "SpanProcessor") -> "Traces":
        """Return what hands spans to a processor."""
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 # only where needed
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 # as above
        from opentelemetry.sdk.trace.id_generator import IdGenerator  # noqa: PLC0415 # as above
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON  # noqa: PLC0415 # as above

        class OwnIds(IdGenerator):
            def generate_trace_id(self) -> int:
                return _ids.get()[0]

            def generate_span_id(self) -> int:
                return _ids.get()[1]

        resource = Resource.create(
            {"service.name": service, "service.namespace": "linepool", "service.version": version("linepool")}
        )
        # The collector samples, if anything does: derived ids are not random enough to sample by.
        provider = TracerProvider(
            sampler=ALWAYS_ON, resource=resource, id_generator=OwnIds(), shutdown_on_exit=False
        )
        provider.add_span_processor(processor)
        return cls(service, provider)

    def handled(self, record: Record, consumer: str, outcome: str, began_ns: int) -> None:
        """Make the span of a record that was handled, under the span that sent it."""
        received = record.received
        correlation = received.correlation_id or record.cause
        purchase = purchase_of(received.type, received.subject)
        sent = message_span(as_uuid(received.id) or record.cause)
        if received.type == OpenGroup.type() and purchase is not None:
            self._span("purchase", (purchase.int, message_span(purchase)), None, began_ns, purchase=purchase)
        self._span(
            f"process {consumer}",
            (correlation.int, work_span(self.service, record.cause)),
            sent,
            began_ns,
            purchase=purchase,
            kind=SpanKind.CONSUMER,
            failed=outcome == "parked",
            attributes={
                "messaging.system": "kafka",
                "messaging.operation.type": "process",
                "messaging.consumer.group.name": consumer,
                "messaging.destination.name": record.topic,
                "messaging.destination.partition.id": str(record.partition),
                "messaging.kafka.offset": record.offset,
                "messaging.message.id": str(record.cause),
                "linepool.type": received.type if received.type in registry else "",
                "linepool.outcome": outcome,
            },
        )

    def decided(
        self, what: str, cause: UUID, correlation: UUID, began_ns: int, purchase: UUID | None
    ) -> None:
        """Make the span of what a timer or a job decided; it begins a conversation."""
        ids = (correlation.int, work_span(self.service, cause))
        self._span(f"decide {what}", ids, None, began_ns, purchase=purchase)

    def sent(self, rows: Sequence[asyncpg.Record], topic_prefix: str) -> None:
        """Make the spans of outbox rows that Kafka has acknowledged, from their decision on."""
        for row in rows:
            topic = row["topic"]
            if topic.removeprefix(topic_prefix).startswith(PROVIDER_FACING):
                continue
            headers = {name: value.decode() for name, value in decode_headers(row["headers"])}
            id_, cause = as_uuid(headers.get("ce_id")), as_uuid(headers.get("ce_causationid"))
            correlation = as_uuid(headers.get("ce_correlationid"))
            if id_ is None or correlation is None:
                continue
            self._span(
                f"send {topic}",
                (correlation.int, message_span(id_)),
                None if cause is None else work_span(self.service, cause),
                _ns(row["created_at"]),
                purchase=purchase_of(headers.get("ce_type"), headers.get("ce_subject")),
                kind=SpanKind.PRODUCER,
                attributes={
                    "messaging.system": "kafka",
                    "messaging.operation.type": "send",
                    "messaging.destination.name": topic,
                    "messaging.message.id": str(id_),
                    "linepool.type": headers.get("ce_type", ""),
                },
            )

    def close(self) -> None:
        """Hand over what is left; a collector that does not answer is not waited for long."""
        # The SDK would try for half a minute, longer than a process is given to stop.
        last = Thread(target=self.provider.shutdown, daemon=True)
        last.start()
        last.join(CLOSE_S)

    def _span(
        self,
        name: str,
        ids: tuple[int, int],
        parent: int | None,
        began_ns: int,
        *,
        purchase: UUID | None,
        kind: SpanKind = SpanKind.INTERNAL,
        failed: bool = False,
        attributes: Mapping[str, str | int] | None = None,
    ) -> None:
        """Hand over one span; a fault of what takes it must not harm what was done."""
        try:
            self._make(name, ids, parent, began_ns, purchase, kind, attributes or {}, failed=failed)
        except Exception as error:  # noqa: BLE001 # as said
            structlog.get_logger().warning("not traced", error=type(error).__name__)

    def _make(
        self,
        name: str,
        ids: tuple[int, int],
        parent: int | None,
        began_ns: int,
        purchase: UUID | None,
        kind: SpanKind,
        attributes: Mapping[str, str | int],
        *,
        failed: bool,
    ) -> None:
        trace_id, span_id = ids
        about = {"linepool.purchase": str(purchase)} if purchase is not None else {}
        links = [] if purchase is None or parent is not None else [_link(purchase)]
        context = (
            None if parent is None else trace.set_span_in_context(NonRecordingSpan(_at(trace_id, parent)))
        )
        token = _ids.set((trace_id, span_id))
        try:
            span = self.provider.get_tracer("linepool").start_span(
                name,
                context=context or Context(),
                kind=kind,
                attributes={**about, **attributes},
                links=[one for one in links if one.context.span_id != span_id],
                start_time=min(began_ns, time_ns()),
            )
        finally:
            _ids.reset(token)
        if failed:
            span.set_status(Status(StatusCode.ERROR))
        span.end()


def _at(trace_id: int, span_id: int) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _link(purchase: UUID) -> Link:
    return Link(_at(purchase.int, message_span(purchase)), {"linepool.purchase": str(purchase)})


def _ns(time: datetime) -> int:
    return int(time.timestamp() * 1_000_000_000)
