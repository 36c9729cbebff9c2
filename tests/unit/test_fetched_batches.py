"""No batch of records that a broker accepts stops whoever reads it."""

import asyncio
import gzip
import struct
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import cramjam
import pytest
from aiokafka import TopicPartition
from aiokafka import codec as aiokafka_codec
from aiokafka.consumer import consumer, fetcher
from aiokafka.errors import RequestTimedOutError
from hypothesis import given
from hypothesis import strategies as st

from shared.fetched import UNREADABLE, FetchedRecords, fetch_safely
from shared.unpacking import UNPACKED_BYTES, CannotUnpackError, unpack
from tests.raw_batches import CODECS, raw_batch, raw_record

GOOD = raw_batch(raw_record(b"good", headers=[(b"ce_id", b"1"), (b"none", None)]), 1)


def read(*batches: bytes) -> list[Any]:
    """Read as a consumer does, from offset 0 on; batches lie behind one another."""
    fetch_safely()
    data, offset = b"", 0
    for batch in batches:
        last = struct.unpack_from(">i", batch, 23)[0]
        data += struct.pack(">q", offset) + batch[8:]
        offset += last + 1
    records = fetcher.MemoryRecords(data)
    assert isinstance(records, FetchedRecords)
    place = TopicPartition("replies.someone00000", 0)
    partition = fetcher.PartitionRecords(place, records, [], 0, None, None, True, fetcher.READ_UNCOMMITTED)
    found = list(partition)
    assert partition.next_fetch_offset == offset
    return found


def is_unreadable(record: Any) -> bool:
    return record.value is None and dict(record.headers) == {UNREADABLE: b""}


def test_what_is_well_formed_is_read_as_before() -> None:
    many = raw_batch(b"".join(raw_record(b"%d" % n, number=n, key=b"k") for n in range(3)), 3)
    found = read(GOOD, many)
    assert [(one.offset, one.value) for one in found] == [(0, b"good"), (1, b"0"), (2, b"1"), (3, b"2")]
    assert found[0].headers == (("ce_id", b"1"), ("none", None))


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "snappy": lambda data: bytes(cramjam.snappy.compress_raw(data)),
    "lz4": aiokafka_codec.lz4_encode,
    "zstd": aiokafka_codec.zstd_encode,
}


@pytest.mark.parametrize("name", PACKERS)
def test_every_codec_of_kafka_is_read(name: str) -> None:
    records = b"".join(raw_record(b"%d" % n, number=n, key=b"k") for n in range(3))
    found = read(raw_batch(PACKERS[name](records), 3, codec=CODECS[name]), GOOD)
    assert [one.value for one in found] == [b"0", b"1", b"2", b"good"]


def test_the_framings_of_other_clients_are_read() -> None:
    records = [raw_record(b"%d" % n, number=n) for n in range(2)]
    members = raw_batch(b"".join(gzip.compress(record) for record in records), 2, codec=CODECS["gzip"])
    java = raw_batch(aiokafka_codec.snappy_encode(b"".join(records)), 2, codec=CODECS["snappy"])
    assert [record.value for record in read(members, java)] == [b"0", b"1"] * 2


@pytest.mark.parametrize(
    ("payload", "codec"),
    [
        (raw_record(b"x", headers=[(b"\xff\xfe", b"")]), 0),
        (raw_record(b"x", claimed=0x7FFFFFFF), 0),
        (b"", 0),
        (b"\xff" * 40, 0),
        (raw_record(b"x") + b"more", 0),
        (b"no gzip", 1),
        (gzip.compress(raw_record(b"x"))[:-9], 1),
        (gzip.compress(raw_record(b"x", claimed=300 << 20)), 1),
        (gzip.compress(raw_record(b"x" * UNPACKED_BYTES)), 1),
        (gzip.compress(raw_record(b"x")) * 2, 1),
        (b"snappy", 2),
        (b"\x82SNAPPY\0" + b"\0" * 8 + b"\xff\xff\xff\xf0", 2),
        (b"\xff\xff\xff\xff\x0f" + b"x" * 20, 2),
        (b"lz4", 3),
        (b"zstd", 4),
        (b"nobody knows", 7),
    ],
    ids=[
        "a header's name is not UTF-8",
        "a record claims two gigabytes",
        "nothing",
        "noise",
        "more than its records",
        "not gzip",
        "gzip, cut off",
        "gzip around a record that is cut off",
        "gzip that grows too large",
        "gzip with a record too many",
        "not snappy",
        "a snappy block that goes backwards",
        "a snappy block that claims four gigabytes",
        "not lz4",
        "not zstd",
        "a codec that does not exist",
    ],
)
def test_an_unreadable_record_stands_in_its_place_and_what_follows_is_read(
    payload: bytes, codec: int
) -> None:
    first, second, third = read(
        GOOD, raw_batch(payload, 1, codec=codec | 0x08, time_ms=1_700_000_000_000), GOOD
    )
    assert (first.value, third.value) == (b"good", b"good")
    assert is_unreadable(second)
    assert (second.offset, second.timestamp, second.timestamp_type) == (1, 1_700_000_000_000, 1)


def test_an_unreadable_batch_is_one_record_at_its_end_so_that_nothing_waits_for_the_rest() -> None:
    found = read(raw_batch(b"noise", 3, codec=CODECS["zstd"]), GOOD)
    assert [one.offset for one in found] == [2, 3]
    assert is_unreadable(found[0])


@pytest.mark.parametrize("places", [[0, 0], [1, 0], [0, 2], [0, 10**9], [-1, 0]])
def test_a_record_that_says_it_stands_elsewhere_moves_nobody_there(places: list[int]) -> None:
    wrong = raw_batch(b"".join(raw_record(b"x", number=place) for place in places), len(places))
    found = read(GOOD, wrong, GOOD)
    assert [one.offset for one in found] == [0, 2, 3]
    assert is_unreadable(found[1])


def test_the_gaps_that_compaction_leaves_are_none_of_a_senders_doing() -> None:
    gaps = raw_batch(raw_record(b"a", number=1) + raw_record(b"b", number=3), 2, last=5)
    empty = raw_batch(b"", 0, last=2)
    assert [(one.offset, one.value) for one in read(gaps, empty, GOOD)] == [
        (1, b"a"),
        (3, b"b"),
        (9, b"good"),
    ]


@pytest.mark.parametrize("name", PACKERS)
def test_a_small_stream_that_holds_too_much_is_not_unpacked(name: str) -> None:
    whole = b"\0" * UNPACKED_BYTES
    assert unpack(CODECS[name], PACKERS[name](whole)) == whole
    with pytest.raises(CannotUnpackError):
        unpack(CODECS[name], PACKERS[name](whole + b"\0"))


def test_many_small_streams_that_hold_too_much_together_are_not_unpacked() -> None:
    with pytest.raises(CannotUnpackError):
        unpack(CODECS["gzip"], gzip.compress(b"\0" * (UNPACKED_BYTES // 2)) * 3)
    frames = aiokafka_codec.snappy_encode(b"\0" * (UNPACKED_BYTES // 2))
    with pytest.raises(CannotUnpackError):
        unpack(CODECS["snappy"], frames + (frames[16:] * 2))


@given(packed=st.binary(max_size=300), codec=st.integers(0, 7))
def test_noise_is_refused_in_one_way(packed: bytes, codec: int) -> None:
    try:
        assert len(unpack(codec, packed)) <= UNPACKED_BYTES
    except CannotUnpackError:
        return


def test_a_batch_that_is_cut_off_waits_for_the_next_fetch() -> None:
    records = FetchedRecords(GOOD + GOOD[:-1])
    assert records.has_next()
    assert len(list(records.next_batch())) == 1
    assert not records.has_next()
    assert records.next_batch() is None


@given(
    payload=st.binary(max_size=200), codec=st.integers(0, 7), count=st.integers(1, 5), packed=st.booleans()
)
def test_whatever_a_batch_holds_the_next_one_is_read(
    payload: bytes, codec: int, count: int, *, packed: bool
) -> None:
    found = read(raw_batch(gzip.compress(payload) if packed else payload, count, codec=codec), GOOD)
    assert found[-1].value == b"good"


@given(
    flips=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6),
    name=st.sampled_from(["none", *PACKERS]),
)
def test_a_valid_payload_with_any_bytes_changed_never_stops_the_reading(
    flips: list[tuple[int, int]], name: str
) -> None:
    headers = [(b"ce_id", b"1"), (b"ce_type", b"linepool.reply-submitted.v1")]
    payload = b"".join(raw_record(b"v" * 20, number=n, key=b"k", headers=headers) for n in range(4))
    changed = bytearray(PACKERS.get(name, bytes)(payload))
    for at, value in flips:
        changed[at % len(changed)] = value
    found = read(raw_batch(bytes(changed), 4, codec=CODECS[name]), GOOD)
    assert found[-1].value == b"good"


async def test_a_consumer_stops_in_the_pause_after_a_failed_fetch() -> None:
    fetch_safely()
    asked = asyncio.Event()

    class Away:
        async def send(self, *_request: object) -> None:
            asked.set()
            raise RequestTimedOutError

    fetching = consumer.Fetcher.__new__(consumer.Fetcher)
    fetching._client, fetching._retry_backoff = Away(), 60
    pending = asyncio.create_task(fetching._proc_fetch_request(None, 1, SimpleNamespace(topics=[])))
    await asyncio.wait_for(asked.wait(), 5)
    fetching._fetch_task = asyncio.create_task(asyncio.Event().wait())
    fetching._fetch_waiters, fetching._pending_tasks = set(), {pending}
    await fetching.close()
    assert pending.done()
