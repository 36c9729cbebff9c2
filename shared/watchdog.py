"""Whether the consumers move. One that is assigned, has lag and stands still will not recover by itself: `/livez` then fails."""

from dataclasses import dataclass, field
from time import monotonic

from aiokafka.errors import IllegalStateError, KafkaError

from shared.runtime import Runtime
from shared.wiring import Stream, Wiring

STANDSTILL_S = 60.0


@dataclass
class Watchdog:
    """Looks at each consumer's lag and position from time to time."""

    wiring: Wiring
    moved: dict[str, tuple[int, float]] = field(default_factory=dict)
    """By consumer: the sum of its positions, and when that last changed."""
    ailing: dict[str, str] = field(default_factory=dict)
    """By consumer: what is wrong with it."""

    async def look(self) -> bool:
        """Look at all consumers; return False, there is no hurry."""
        runtime = self.wiring.running()
        for stream in list(self.wiring.streams.values()):
            reason = await self._ailment(runtime, stream)
            if reason is None:
                self.ailing.pop(stream.consumer, None)
            elif stream.consumer not in self.ailing:
                self.ailing[stream.consumer] = reason
                runtime.metrics.alarm("consumer_stands_still", consumer=stream.consumer, reason=reason)
        return False

    async def _ailment(self, runtime: Runtime, stream: Stream) -> str | None:
        consumer = stream.subscriber.consumer
        if consumer is None or not hasattr(consumer, "assignment"):
            return None
        try:
            # aiokafka shows a consumer that lost its right to the group nowhere else.
            consumer._coordinator.check_errors()  # noqa: SLF001 # as said
        except KafkaError as error:
            return type(error).__name__
        lag = position = 0
        for place in consumer.assignment():
            try:
                at = await consumer.position(place)
            except IllegalStateError:
                continue  # it was given to another a moment ago
            position += at
            lag += max(0, (consumer.highwater(place) or 0) - at)
        if stream.kind != "batches":  # how many messages providers send is a secret until the box opens
            runtime.metrics.lag.labels(consumer=stream.consumer).set(lag)
        before, since = self.moved.get(stream.consumer, (-1, monotonic()))
        if position != before or lag == 0:
            self.moved[stream.consumer] = (position, monotonic())
            return None
        return "stands still" if monotonic() - since > STANDSTILL_S else None
