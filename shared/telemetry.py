"""Log lines and metrics. Lines carry ids and outcomes, never bodies: replies are confidential."""

import logging
import sys
from dataclasses import dataclass

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


def set_up_logging(service: str) -> None:
    """Write one JSON object a line to standard output, our own lines and the libraries' alike."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)


@dataclass(frozen=True)
class Metrics:
    """A service's figures. None is labelled by a provider's topic: how many replied is a secret until the box opens."""

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

    @classmethod
    def create(cls) -> "Metrics":
        """Return fresh figures in a registry of their own."""
        registry = CollectorRegistry()
        return cls(
            registry=registry,
            handled=Counter(
                "linepool_messages_handled", "Messages handled.", ["consumer", "outcome"], registry=registry
            ),
            handling_seconds=Histogram(
                "linepool_handling_seconds",
                "Time from taking a delivery to its commit.",
                ["consumer"],
                registry=registry,
            ),
            alarms=Counter("linepool_alarms", "What a person should look at.", ["kind"], registry=registry),
            parked=Gauge("linepool_parked_messages", "Parked messages.", ["state"], registry=registry),
            outbox_rows=Gauge("linepool_outbox_rows", "Messages not yet sent.", registry=registry),
            outbox_age_seconds=Gauge(
                "linepool_outbox_age_seconds", "Age of the oldest of them.", registry=registry
            ),
            blocked_topics=Gauge(
                "linepool_blocked_topics",
                "Topics that cannot be written to at the moment.",
                registry=registry,
            ),
            lag=Gauge("linepool_lag_messages", "Messages not yet taken.", ["consumer"], registry=registry),
            skew_seconds=Gauge(
                "linepool_clock_skew_seconds",
                "Least disagreement of Kafka's and Postgres's clocks.",
                registry=registry,
            ),
        )

    def alarm(self, kind: str, **ids: object) -> None:
        """Count and log something that a person should look at."""
        self.alarms.labels(kind=kind).inc()
        structlog.get_logger().error("alarm", kind=kind, **{name: str(value) for name, value in ids.items()})
