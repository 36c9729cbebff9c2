"""Where a consumer goes on: at the position that its database holds, whatever Kafka remembers."""

import asyncio
from typing import Any

import structlog
from aiokafka import TopicPartition
from aiokafka.abc import ConsumerRebalanceListener

from shared.wiring import Wiring


class SeekToPositions(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka publishes no types
    """On assignment, seeks to `positions`: so a restored database is caught up by itself."""

    def __init__(self, consumer: str, wiring: Wiring) -> None:
        self.consumer = consumer
        self.wiring = wiring
        self.subscriber: Any = None

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Do nothing: what was handled is committed in the database already."""

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Seek each partition to its position; wait for the database for as long as it takes."""
        pause = 0.1
        while assigned:
            try:
                rows = await self.wiring.running().pool.fetch(
                    "SELECT topic, partition, next FROM positions WHERE consumer = $1", self.consumer
                )
            except Exception as error:  # noqa: BLE001 # whatever it is, going on would be worse
                # Going on without positions could skip messages that a restored database has not seen.
                structlog.get_logger().warning(
                    "positions unread", consumer=self.consumer, error=type(error).__name__
                )
                await asyncio.sleep(pause)
                pause = min(5.0, pause * 2)
                continue
            known = {TopicPartition(row["topic"], row["partition"]): row["next"] for row in rows}
            for place in assigned:
                # Where the database knows no position it has handled nothing: then from the beginning.
                self.subscriber.consumer.seek(place, known.get(place, 0))
            break
        stream = self.wiring.stream_of(self.consumer)
        if stream is not None:
            stream.joined = True
            stream.compared = False
