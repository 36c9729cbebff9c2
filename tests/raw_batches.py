"""Batches of records as they lie on the wire (format 2), made by hand so that they can be wrong in any way."""

import struct
from collections.abc import Iterable
from time import time

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.util import calc_crc32c, encode_varint

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
INVALID_RECORD, CORRUPT_MESSAGE = 87, 2
RawHeader = tuple[bytes, bytes | None]


def varint(number: int) -> bytes:
    out = bytearray()
    encode_varint(number, out.append)
    return bytes(out)


def _sized(value: bytes | None) -> bytes:
    return varint(-1) if value is None else varint(len(value)) + value


def raw_record(
    value: bytes | None,
    *,
    number: int = 0,
    key: bytes | None = None,
    headers: Iterable[RawHeader] = (),
    claimed: int | None = None,
) -> bytes:
    """Return one record, the `number`th of its batch; `claimed` is the length that it says it has."""
    pairs = list(headers)
    body = b"\x00" + varint(0) + varint(number) + _sized(key) + _sized(value) + varint(len(pairs))
    body += b"".join(varint(len(name)) + name + _sized(content) for name, content in pairs)
    return varint(len(body) if claimed is None else claimed) + body


def raw_batch(
    payload: bytes, count: int, *, codec: int = 0, time_ms: int | None = None, last: int | None = None
) -> bytes:
    """Return a batch with a right checksum around a payload that is taken as it is."""
    at = int(time() * 1000) if time_ms is None else time_ms
    last_delta = count - 1 if last is None else last
    checked = struct.pack(">hiqqqhii", codec, last_delta, at, at, -1, -1, -1, count) + payload
    rest = struct.pack(">ibI", -1, 2, calc_crc32c(checked)) + checked
    return struct.pack(">qi", 0, len(rest)) + rest


async def produce_raw(producer: AIOKafkaProducer, topic: str, batch: bytes) -> tuple[int, int]:
    """Send a batch to the topic's first partition; return Kafka's error code, 0 where it was stored, and the offset."""
    client = producer.client
    await producer.partitions_for(topic)
    node = client.cluster.leader_for_partition(TopicPartition(topic, 0))
    answer = await client.send(node, ProduceRequest(None, -1, 20_000, [(topic, [(0, batch)])]))
    [(_, [(_, code, offset, *_)])] = answer.topics
    return code, offset
