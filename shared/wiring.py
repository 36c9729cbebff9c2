"""What connects a service's subscribers to what runs behind them."""

from dataclasses import dataclass, field
from typing import Any, Literal

from shared.messages.base import Role
from shared.runtime import Runtime


@dataclass
class Stream:
    """One subscription as delivery knows it."""

    consumer: str
    topic: str
    kind: Literal["events", "commands", "batches"]
    role: Role | None
    handled: frozenset[str]
    subscriber: Any
    failures: int = 0
    """Transient errors in a row."""
    joined: bool = False
    """Whether the consumer was ever given its partitions."""
    compared: bool = False
    """Whether its positions were compared with where the topics begin and end, since it was given these partitions."""


@dataclass
class Wiring:
    """What connects a service's subscribers to its runtime."""

    service: str
    runtime: Runtime | None = None
    streams: dict[int, Stream] = field(default_factory=dict)

    def running(self) -> Runtime:
        """Return the runtime.

        Raises:
            RuntimeError: the service has not started.
        """
        if self.runtime is None:
            raise RuntimeError("the service has not started")
        return self.runtime

    def stream_of(self, consumer: str) -> Stream | None:
        """Return the subscription of this consumer, if the service still has it."""
        return next((one for one in self.streams.values() if one.consumer == consumer), None)
