"""A partition that does not answer, and a message that is too large, fail alone."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import RecordMetadata, TopicPartition

from shared import kafka
from shared.kafka import MESSAGE_BYTES, KafkaSender
from shared.relay import Sent


class Producer:
    """An aiokafka producer whose broker never answers for the topic `silent`, and answers at once for the others."""

    def __init__(self) -> None:
        self.client = self
        self.cluster = self
        self.batches: list[tuple[str, int]] = []

    def partitions_for_topic(self, _topic: str) -> set[int]:
        return {0}

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(1000, 0)

    async def send_batch(self, batch: BatchBuilder, topic: str, *, partition: int) -> asyncio.Future[Any]:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        first = sum(count for name, count in self.batches if name == topic)
        self.batches.append((topic, batch.record_count()))
        if topic != "silent":
            place = TopicPartition(topic, partition)
            answer.set_result(RecordMetadata(topic, partition, place, first, 1_000, 1, 0))
        return answer


def row(topic: str, body: bytes = b"{}") -> Any:
    return {"id": uuid4(), "topic": topic, "key": b"k", "headers": b'[["ce_id","1"]]', "body": body}


async def test_a_partition_that_never_answers_delays_the_others_once_and_fails_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kafka, "SEND_TIMEOUT_S", 0.1)
    outcomes = await KafkaSender(Producer()).send([row("silent"), row("a"), row("silent"), row("b")])
    assert [type(one) for one in outcomes] == [TimeoutError, Sent, TimeoutError, Sent]


async def test_rows_of_one_partition_go_in_order_in_as_many_batches_as_it_takes() -> None:
    producer = Producer()
    outcomes = await KafkaSender(producer).send([row("a", b"x" * 300) for _ in range(10)])
    assert [one.offset for one in outcomes if isinstance(one, Sent)] == list(range(10))
    assert len(producer.batches) > 1


async def test_what_comes_before_a_message_that_is_too_large_is_sent_and_nothing_after_it() -> None:
    large = row("a", b"x" * (MESSAGE_BYTES + 1))
    outcomes = await KafkaSender(Producer()).send([row("a"), large, row("a"), row("b")])
    assert [type(one) for one in outcomes] == [Sent, MessageSizeTooLargeError, MessageSizeTooLargeError, Sent]
