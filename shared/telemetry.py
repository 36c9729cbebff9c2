"""Metrics.

How many replies a running purchase has is a secret too, and while one purchase runs alone, a sum over all is its count. So what
providers say is neither counted nor timed one by one: figures about it are floored or rounded up so far that it does not show.
"""

from dataclasses import dataclass, field
from importlib.metadata import version
from time import monotonic

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LAG_STEP = 1_000
"""What providers sent and nobody has taken yet is told in whole thousands, rounded down: enough to scale by."""
ANSWER_STEPS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, float("inf"))
"""How long a provider's message waited to be taken is told as at most so many seconds; less than the first looks like none."""
EFFECT_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)


@dataclass
class SlowestAnswer:
    """The longest that a provider waited in this window of time or the one before, rounded up."""

    window_s: float = 600.0
    began: float = field(default_factory=monotonic)
    now: float = 0.0
    before: float = 0.0

    def note(self, seconds: float) -> None:
        """Take one more."""
        self._turn()
        self.now = max(self.now, seconds)

    def at_most(self) -> float:
        """Return the step that is not less than the longest; the first where nobody waited."""
        self._turn()
        slowest = max(self.now, self.before)
        return next(step for step in ANSWER_STEPS if slowest <= step)

    def _turn(self) -> None:
        windows = int((monotonic() - self.began) // self.window_s)
        if windows:
            self.before, self.now = (self.now if windows == 1 else 0.0), 0.0
            self.began += windows * self.window_s


def show_who(service: str, registry: CollectorRegistry) -> None:
    """Show which service this is, and in which version."""
    info = Gauge("linepool_info", "1: this process runs.", ["service", "version"], registry=registry)
    info.labels(service=service, version=version("linepool")).set(1)


@dataclass(frozen=True)
class Metrics:
    """A service's figures. None is labelled by a provider's topic, or by a purchase."""

    registry: CollectorRegistry
    handled: Counter
    handling_seconds: Histogram
    alarms: Counter
    parked: Gauge
    outbox_rows: Gauge
    outbox_age_seconds: Gauge
    blocked_topics: Gauge
    lag: Gauge
    skew_seconds: Gauge
    effect_seconds: Histogram
    slowest_answer: SlowestAnswer
    stands_still: Gauge
    purchases: Gauge
    purchase_age_seconds: Gauge
    queue_rows: Gauge
    queue_age_seconds: Gauge

    @classmethod
    def create(cls, service: str) -> "Metrics":
        """Return fresh figures in a registry of their own."""
        registry = CollectorRegistry()
        show_who(service, registry)
        slowest = SlowestAnswer()
        Gauge(
            "linepool_provider_answer_seconds",
            "A provider's message waited at most so long to be taken, in the last 10 to 20 minutes; never below 1.",
            registry=registry,
        ).set_function(slowest.at_most)
        return cls(
            registry=registry,
            handled=Counter(
                "linepool_messages_handled",
                "Messages handled, but for those of providers.",
                ["consumer", "outcome"],
                registry=registry,
            ),
            handling_seconds=Histogram(
                "linepool_handling_seconds",
                "Time from taking a delivery to its commit.",
                ["consumer"],
                registry=registry,
            ),
            alarms=Counter("linepool_alarms", "What a person should look at.", ["kind"], registry=registry),
            parked=Gauge(
                "linepool_parked_messages",
                "Parked messages; those of providers count as one.",
                ["state"],
                registry=registry,
            ),
            outbox_rows=Gauge(
                "linepool_outbox_rows",
                "Messages not yet sent, but for those to providers.",
                registry=registry,
            ),
            outbox_age_seconds=Gauge(
                "linepool_outbox_age_seconds",
                "Age of the oldest message not yet sent, whoever it is for.",
                registry=registry,
            ),
            blocked_topics=Gauge(
                "linepool_blocked_topics",
                "Topics that cannot be written to at the moment; those of providers count as one.",
                registry=registry,
            ),
            lag=Gauge(
                "linepool_lag_messages",
                "Messages not yet taken; those of providers in whole thousands, rounded down.",
                ["consumer"],
                registry=registry,
            ),
            skew_seconds=Gauge(
                "linepool_clock_skew_seconds",
                "Least disagreement of Kafka's and Postgres's clocks, the most of ten minutes.",
                registry=registry,
            ),
            effect_seconds=Histogram(
                "linepool_effect_seconds",
                "Time from a message's append to the commit of what it did; not of providers' messages.",
                ["consumer"],
                buckets=EFFECT_BUCKETS,
                registry=registry,
            ),
            slowest_answer=slowest,
            stands_still=Gauge(
                "linepool_consumer_stands_still",
                "1 while a consumer is behind and does not move, or has lost its right to its group.",
                ["consumer"],
                registry=registry,
            ),
            purchases=Gauge("linepool_purchases", "Purchases at a step.", ["step"], registry=registry),
            purchase_age_seconds=Gauge(
                "linepool_purchase_age_seconds",
                "How long the oldest of them has been there; 0 where there is none.",
                ["step"],
                registry=registry,
            ),
            queue_rows=Gauge("linepool_queue_rows", "What waits in a queue.", ["queue"], registry=registry),
            queue_age_seconds=Gauge(
                "linepool_queue_age_seconds", "Age of the oldest in it.", ["queue"], registry=registry
            ),
        )

    def alarm(self, kind: str, **ids: object) -> None:
        """Count and log something that a person should look at."""
        self.alarms.labels(kind=kind).inc()
        structlog.get_logger().error("alarm", kind=kind, **{name: str(value) for name, value in ids.items()})
