"""Reading what the broker hands over so that nothing a sender put into a batch of records can stop its partition.

The broker checks a batch's checksum and its number of records, and little else. aiokafka by itself raises at what it cannot
read, for ever at the same place and for all topics of the consumer: a codec that is not installed, a header whose name is not
UTF-8, a record that is cut off inside a packed batch. It also unpacks a batch whatever its size: 100 KB may hold 100 MB.
Recompressing at the broker (`compression.type` on the topic) is no way out: the broker itself then unpacks, and a batch of a
hundred bytes that announces a large record ends it.
"""

import asyncio
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from aiokafka.consumer import consumer, fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.memory_records import MemoryRecords

from shared.unpacking import unpack

UNREADABLE = "linepool-unreadable"
"""The header of the one record that stands for a batch that could not be read; it has nothing else."""

_OVERHEAD = struct.Struct(">qi")  # base offset, length of what follows
_MAGIC_AT = 16
_FORMAT = 2
_HEADER = struct.Struct(">qiibIhiqqqhii")
"""Offset, length, epoch, format, checksum, attributes, last offset, first and last time, producer (3), number of records."""
_ATTRIBUTES_AT = 21
_CODEC = 0x07
_LOG_APPEND_TIME = 0x08


def fetch_safely() -> None:
    """Let every consumer of this process read batches as this module does, and stop at any moment."""
    fetcher.MemoryRecords = FetchedRecords
    consumer.Fetcher = StoppableFetcher


class StoppableFetcher(fetcher.Fetcher):  # type: ignore[misc] # aiokafka has no types
    """A fetcher whose consumer can be stopped while the broker does not answer.

    aiokafka's own pauses after a failed fetch; `stop` in that pause raises `CancelledError` at whoever called it, and leaves the
    connections open.
    """

    async def _proc_fetch_request(self, *request: Any) -> bool:
        try:
            woken: bool = await super()._proc_fetch_request(*request)
        except asyncio.CancelledError:
            return False
        return woken


@dataclass(frozen=True)
class Unreadable:
    """Stands for a batch that could not be read, at its last offset; as aiokafka's own records look.

    One for all of it: a packed batch of 1 MB may count a billion records.
    """

    offset: int
    timestamp: int
    timestamp_type: int
    key: None = None
    value: None = None
    checksum: None = None
    headers: tuple[tuple[str, bytes], ...] = ((UNREADABLE, b""),)


class FetchedRecords:
    """The batches of one fetched partition, in aiokafka's `MemoryRecords`' place."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def size_in_bytes(self) -> int:
        """Return how many bytes were fetched."""
        return len(self._data)

    def has_next(self) -> bool:
        """Tell whether a whole batch is left; the last one of a fetch may be cut off."""
        return self._end() is not None

    def next_batch(self) -> Any:
        """Return the next batch, or None."""
        end = self._end()
        if end is None:
            return None
        data = bytes(self._data[self._at : end])
        self._at = end
        batch = MemoryRecords(data).next_batch()
        # Only old topics hold other formats, and only the broker itself writes control batches.
        if data[_MAGIC_AT] != _FORMAT or batch.is_control_batch:
            return batch
        return FetchedBatch(data, batch)

    def _end(self) -> int | None:
        if len(self._data) - self._at < _OVERHEAD.size:
            return None
        _, length = _OVERHEAD.unpack_from(self._data, self._at)
        end = self._at + _OVERHEAD.size + int(length)
        return end if end <= len(self._data) else None


class FetchedBatch:
    """One batch, in the place of aiokafka's; it yields its records, or one that says that they cannot be read."""

    is_control_batch = False

    def __init__(self, data: bytes, batch: Any) -> None:
        self._data = data
        self._batch = batch
        self.base_offset: int = batch.base_offset
        self.next_offset: int = batch.next_offset
        self.producer_id: int | None = batch.producer_id
        self.is_transactional: bool = batch.is_transactional

    def validate_crc(self) -> bool:
        """Tell whether the bytes are those that the broker checked; if not, a disk or a network is broken."""
        return bool(self._batch.validate_crc())

    def __iter__(self) -> Iterator[Any]:
        fields = _HEADER.unpack_from(self._data)
        attributes, max_timestamp, count = fields[5], fields[8], fields[12]
        try:
            records: list[Any] = list(self._readable(attributes))
        except (CorruptRecordException, ValueError, OverflowError, MemoryError):
            records = []
        if (count and not records) or not self._are_in_order(records):
            kind = int(bool(attributes & _LOG_APPEND_TIME))
            records = [Unreadable(self.next_offset - 1, max_timestamp, kind)]
        return iter(records)

    def _readable(self, attributes: int) -> Any:
        """Return the batch with its records unpacked."""
        codec = attributes & _CODEC
        if not codec:
            return self._batch
        plain = bytearray(self._data[: _HEADER.size])
        struct.pack_into(">h", plain, _ATTRIBUTES_AT, attributes & ~_CODEC)
        return DefaultRecordBatch(bytes(plain + unpack(codec, self._data[_HEADER.size :])))

    def _are_in_order(self, records: Sequence[Any]) -> bool:
        """Whether the records lie within the batch, one behind the other; compaction may have left gaps.

        Each record says itself where it stands, the broker does not check it, and a consumer's position follows it.
        """
        places = [self.base_offset - 1, *(record.offset for record in records), self.next_offset]
        return all(one < other for one, other in pairwise(places))
