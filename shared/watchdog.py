"""Whether the consumers move. One that is assigned, has lag and stands still will not recover by itself: `/livez` then fails."""

from dataclasses import dataclass, field
from time import monotonic

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from shared.runtime import Runtime
from shared.telemetry import LAG_STEP
from shared.wiring import Stream, Wiring

STANDSTILL_S = 60.0


@dataclass
class Watchdog:
    """Looks at each consumer's lag and position from time to time."""

    wiring: Wiring
    moved: dict[str, tuple[int, float]] = field(default_factory=dict)
    """By consumer: the sum of its positions in the database, and when that last changed."""
    ailing: dict[str, str] = field(default_factory=dict)
    """By consumer: what is wrong with it."""

    async def look(self) -> bool:
        """Look at all consumers; return False, there is no hurry."""
        runtime = self.wiring.running()
        for stream in list(self.wiring.streams.values()):
            reason = await self._ailment(runtime, stream)
            runtime.metrics.stands_still.labels(consumer=stream.consumer).set(reason is not None)
            if reason is None:
                self.ailing.pop(stream.consumer, None)
            elif stream.consumer not in self.ailing:
                self.ailing[stream.consumer] = reason
                runtime.metrics.alarm("consumer_stands_still", consumer=stream.consumer, reason=reason)
        return False

    async def _ailment(self, runtime: Runtime, stream: Stream) -> str | None:
        consumer = stream.subscriber.consumer
        # One that is still connecting has no part in its group yet; the others are looked at meanwhile.
        if consumer is None or getattr(consumer, "_coordinator", None) is None:
            return None
        try:
            # aiokafka shows a consumer that lost its right to the group nowhere else.
            consumer._coordinator.check_errors()  # noqa: SLF001 # as said
        except KafkaError as error:
            return type(error).__name__
        rows = await runtime.pool.fetch(
            "SELECT topic, partition, next FROM positions WHERE consumer = $1", stream.consumer
        )
        handled = {TopicPartition(row["topic"], row["partition"]): row["next"] for row in rows}
        assigned = consumer.assignment()
        if not stream.compared and assigned:
            await self._compare(
                runtime, stream, {place: handled[place] for place in assigned & handled.keys()}
            )
            stream.compared = True
        assigned = consumer.assignment()
        position = sum(handled.get(place, 0) for place in assigned)
        lag = sum(max(0, (consumer.highwater(place) or 0) - handled.get(place, 0)) for place in assigned)
        # How many messages providers send is a secret until the box opens.
        shown = lag // LAG_STEP * LAG_STEP if stream.kind == "batches" else lag
        runtime.metrics.lag.labels(consumer=stream.consumer).set(shown)
        before, since = self.moved.get(stream.consumer, (-1, monotonic()))
        if position != before or lag == 0:
            self.moved[stream.consumer] = (position, monotonic())
            return None
        return "stands still" if monotonic() - since > STANDSTILL_S else None

    async def _compare(self, runtime: Runtime, stream: Stream, handled: dict[TopicPartition, int]) -> None:
        """Raise an alarm where what comes next is no longer on the topic, or the topic ends before it."""
        consumer = stream.subscriber.consumer
        begin = await consumer.beginning_offsets(handled)
        end = await consumer.end_offsets(handled)
        for place, next_ in handled.items():
            if begin[place] > next_:
                runtime.metrics.alarm("messages_gone", consumer=stream.consumer, missing=begin[place] - next_)
            elif end[place] < next_:
                runtime.metrics.alarm("topic_began_anew", consumer=stream.consumer)
