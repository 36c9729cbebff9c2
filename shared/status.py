"""What a process says of itself on `/status`: the same figures as on `/metrics`, and which purchases wait, by their ids."""

from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import version
from uuid import UUID

from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from shared.postgres import TRANSIENT, connect
from shared.runtime import Runtime
from shared.waiting import Look, Looking, Who


class QueueStatus(BaseModel):
    """How many wait in a queue, and how long the oldest has, in seconds."""

    rows: int
    age_s: float


class PurchaseStatus(BaseModel):
    """One purchase that waits here."""

    purchase_id: UUID
    step: str
    who: Who
    waits_for: str
    age_s: float
    since: datetime | None
    """None where the tables do not say it; `age_s` then counts from when this process first saw it."""


class ProcessStatus(BaseModel):
    """One process. Nothing here tells how many replies a running purchase has; see docs/observability.md."""

    service: str
    version: str
    missing: str
    """Why it is not ready; empty where it is."""
    ailing: dict[str, str]
    """By consumer: what is wrong with it."""
    lag: dict[str, int] = {}
    parked: dict[str, int] = {}
    outbox_rows: int = 0
    outbox_age_s: float = 0.0
    blocked_topics: int = 0
    clock_skew_s: float = 0.0
    queues: dict[str, QueueStatus] = {}
    purchases: list[PurchaseStatus] = []
    """The longest wait first."""


async def status_of(
    service: str, runtime: Runtime | None, looking: Looking, *, ailing: Mapping[str, str], missing: str
) -> ProcessStatus:
    """Return how a service is now; its figures are at most 5 seconds old."""
    if runtime is None:
        return ProcessStatus(
            service=service, version=version("linepool"), missing=missing or "starting", ailing=dict(ailing)
        )
    look = Look((), {})
    try:
        async with connect(runtime.pool) as connection:
            look = await looking.look(connection)
    except TRANSIENT:
        missing = missing or "database"
    registry = runtime.metrics.registry
    return ProcessStatus(
        service=service,
        version=version("linepool"),
        missing=missing,
        ailing=dict(ailing),
        lag=_by_label(registry, "linepool_lag_messages", "consumer"),
        parked=_by_label(registry, "linepool_parked_messages", "state"),
        outbox_rows=int(registry.get_sample_value("linepool_outbox_rows") or 0),
        outbox_age_s=registry.get_sample_value("linepool_outbox_age_seconds") or 0.0,
        blocked_topics=int(registry.get_sample_value("linepool_blocked_topics") or 0),
        clock_skew_s=registry.get_sample_value("linepool_clock_skew_seconds") or 0.0,
        queues={name: QueueStatus(rows=rows, age_s=age) for name, (rows, age) in look.queues.items()},
        purchases=[
            PurchaseStatus(
                purchase_id=one.purchase_id,
                step=step.name,
                who=step.who,
                waits_for=f"{step.waits_for}{': ' if one.detail else ''}{one.detail}",
                age_s=age,
                since=one.since,
            )
            for step, one, age in look.purchases
        ],
    )


def _by_label(registry: CollectorRegistry, name: str, label: str) -> dict[str, int]:
    return {
        sample.labels[label]: int(sample.value)
        for metric in registry.collect()
        if metric.name == name
        for sample in metric.samples
    }
