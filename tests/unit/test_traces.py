"""Spans have ids that derive, are made only where somebody takes them, and harm nothing when they cannot be handed over."""

from datetime import UTC, datetime
from time import monotonic, time_ns
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiokafka import ConsumerRecord
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from deploy.local.process import free_port
from shared.envelope import Envelope
from shared.messages.rfp import RequestCancelled
from shared.outbox import encode_headers
from shared.record import Record
from shared.tracing import Traces, message_span, work_span

PURCHASE = uuid4()


def envelope(**other: Any) -> Envelope:
    known: dict[str, Any] = {
        "id": uuid4(),
        "type": RequestCancelled.type(),
        "source": "/linepool/rfp",
        "subject": str(PURCHASE),
        "time": datetime.now(UTC),
        "sequence": 1,
        "correlation_id": uuid4(),
        "causation_id": uuid4(),
    }
    return Envelope(**{**known, **other})


def record(said: Envelope) -> Record:
    raw: ConsumerRecord = ConsumerRecord(
        topic="rfp.events",
        partition=0,
        offset=7,
        timestamp=0,
        timestamp_type=1,
        key=b"k",
        value=b"{}",
        checksum=None,
        serialized_key_size=-1,
        serialized_value_size=-1,
        headers=tuple(said.to_headers()),
    )
    return Record.of(raw)


def row(topic: str, said: Envelope) -> Any:
    return {"topic": topic, "headers": encode_headers(said), "created_at": datetime.now(UTC)}


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traces(exporter: InMemorySpanExporter) -> Traces:
    return Traces.through("distribution", SimpleSpanProcessor(exporter))


def ids(span: ReadableSpan) -> tuple[int, int, int | None]:
    assert span.context is not None
    return span.context.trace_id, span.context.span_id, span.parent.span_id if span.parent else None


def test_handling_a_message_is_a_span_under_the_one_that_sent_it(
    traces: Traces, exporter: InMemorySpanExporter
) -> None:
    said = envelope()
    traces.handled(record(said), "distribution.rfp.events", "handled", time_ns())
    [span] = exporter.get_finished_spans()
    assert ids(span) == (said.correlation_id.int, work_span("distribution", said.id), message_span(said.id))
    header = dict(said.to_headers())["traceparent"].decode().split("-")
    assert (int(header[1], 16), int(header[2], 16)) == (ids(span)[0], ids(span)[2])


def test_sending_is_a_span_under_the_work_that_said_it_and_the_same_again_after_a_crash(
    traces: Traces, exporter: InMemorySpanExporter
) -> None:
    said = envelope()
    for _ in range(2):
        traces.sent([row("shop.distribution.events", said)], "shop.")
    first, second = exporter.get_finished_spans()
    cause = said.causation_id or UUID(int=0)
    assert ids(first) == (said.correlation_id.int, message_span(said.id), work_span("distribution", cause))
    assert ids(second) == ids(first)


@pytest.mark.parametrize("topic", ["notices.aikoaikoaiko", "invitations.aikoaikoaiko"])
def test_what_providers_are_told_is_not_traced(
    traces: Traces, exporter: InMemorySpanExporter, topic: str
) -> None:
    traces.sent([row("shop." + topic, envelope())], "shop.")
    traces.sent([row(topic, envelope())], "")
    assert exporter.get_finished_spans() == ()


def test_what_begins_a_conversation_is_linked_to_its_purchase(
    traces: Traces, exporter: InMemorySpanExporter
) -> None:
    traces.decided("close", uuid4(), uuid4(), time_ns(), PURCHASE)
    traces.decided("other", uuid4(), uuid4(), time_ns(), None)
    close, other = exporter.get_finished_spans()
    assert [(link.context.trace_id, link.context.span_id) for link in close.links] == [
        (PURCHASE.int, message_span(PURCHASE))
    ]
    assert not other.links


def test_a_fault_of_what_takes_spans_harms_nothing() -> None:
    class Failing(SimpleSpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:  # noqa: ARG002 # the SDK's own name
            raise OSError

    traces = Traces.through("rfp", Failing(InMemorySpanExporter()))
    with capture_logs() as logs:
        traces.handled(record(envelope()), "rfp.rfp.events", "handled", time_ns())
    assert [one["event"] for one in logs] == ["not traced"]


def test_without_an_endpoint_there_are_no_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", raising=False)
    assert Traces.from_environment("rfp") is None


def test_a_collector_that_is_away_holds_up_no_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    traces = Traces.from_environment("rfp")
    assert traces is not None
    traces.decided("close", uuid4(), uuid4(), time_ns(), PURCHASE)
    began = monotonic()
    traces.close()
    assert monotonic() - began < 6
