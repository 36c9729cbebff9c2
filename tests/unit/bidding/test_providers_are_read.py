import json
from hashlib import sha256
from time import perf_counter
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st

from services.bidding import reading
from services.bidding.domain.arrivals import Rejection
from shared.messages.providers import ReplySubmitted
from shared.record import Record
from tests.service.bidding.bidding_facts import AIKO, Purchase

REPLY = Purchase().reply()
BODY = json.loads(REPLY.model_dump_json())
REPLY_TYPE = ReplySubmitted.type().encode()


def a_record(body: bytes | None, *, id_: bytes | None = b"m-1", type_: bytes | None = REPLY_TYPE) -> Record:
    headers = [("ce_id", id_), ("ce_type", type_), ("reply_to", b"aggregation.commands"), ("x", b"\xff\xfe")]
    raw: ConsumerRecord = ConsumerRecord(
        topic=f"replies.{AIKO}",
        partition=0,
        offset=4,
        timestamp=1_700_000_000_000,
        timestamp_type=1,
        key=b"anything",
        value=body,
        checksum=None,
        serialized_key_size=-1,
        serialized_value_size=-1,
        headers=tuple(headers),
    )
    return Record.of(raw)


def reason(record: Record) -> str:
    word = reading.read(record).word
    return word.reason if isinstance(word, Rejection) else "read"


def changed(path: str, value: Any) -> bytes:
    body = json.loads(json.dumps(BODY))
    *way, last = path.split(".")
    here = body
    for step in way:
        here = here[int(step) if step.isdigit() else step]
    here[last] = value
    return json.dumps(body).encode()


def test_a_well_formed_reply_is_read_and_its_sender_is_the_topic() -> None:
    body = REPLY.model_dump_json().encode()

    arrival = reading.read(a_record(body))

    assert arrival.word == REPLY
    assert (arrival.provider_id, arrival.message_id) == (AIKO, "m-1")
    assert arrival.sha256 == sha256(body).hexdigest()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (None, "unreadable"),
        (b"", "unreadable"),
        (b"{", "unreadable"),
        (b"\xff\xfe", "unreadable"),
        (b'{"purchase_id": "\xc3\x28"}', "unreadable"),
        (b'{"a": NaN}', "invalid"),
        (b"[]", "invalid"),
        (b"null", "invalid"),
        (b"{}", "invalid"),
        (b"[" * 100_000, "unreadable"),
        (b"[" * 11 + b"]" * 11, "unreadable"),
        (b'"' + b"\\" * 700_000, "unreadable"),
        (b'{{{{{{{{{{{"' + b'\\"' * 400_000, "unreadable"),
        (b"x" * (reading.MESSAGE_BYTES + 1), "too_large"),
        (changed("provider_id", "briobriobrio"), "invalid"),
        (changed("revision", "1"), "invalid"),
        (changed("revision", 0), "invalid"),
        (changed("revision", 10**30), "invalid"),
        (changed("revision", True), "invalid"),
        (changed("seal", "hpke"), "invalid"),
        (changed("offer.components.0.price", 0.1), "invalid"),
        (changed("offer.components.0.price", "1e9"), "invalid"),
        (changed("offer.components.0.price", "NaN"), "invalid"),
        (changed("offer.components.0.price", "-0.10"), "invalid"),
        (changed("offer.components.0.price", "\u0661"), "invalid"),
        (changed("offer.components.0.tiers", [{"from_volume": "5", "price": "1"}]), "invalid"),
        (changed("offer.components", []), "invalid"),
        (changed("offer.components", BODY["offer"]["components"] * 2), "invalid"),
        (changed("offer.components", BODY["offer"]["components"] * 201), "invalid"),
        (
            changed("offer.components", [{"kind": "recurring", "per": "line", "price": "4.005"}]),
            "invalid",
        ),
        (changed("offer.name", "a\u0000b"), "invalid"),
        (changed("offer.billing", "a\u0000b"), "invalid"),
        (changed("purchase_id", "../../etc"), "invalid"),
    ],
)
def test_every_bad_body_is_rejected_with_its_reason(body: bytes | None, expected: str) -> None:
    assert reason(a_record(body)) == expected


@pytest.mark.parametrize("id_", [None, b"", b"a\x00b", b"a\nb", b"x" * 201, b"\xff"])
def test_a_message_without_a_usable_id_is_invalid(id_: bytes | None) -> None:
    arrival = reading.read(a_record(REPLY.model_dump_json().encode(), id_=id_))

    assert isinstance(arrival.word, Rejection)
    assert (arrival.word.reason, arrival.message_id) == ("invalid", None)


@pytest.mark.parametrize(
    "type_", [None, b"", b"linepool.reply-submitted.v2", b"linepool.group-opened.v1", b"\xff"]
)
def test_a_type_that_is_not_taken_here_is_unknown(type_: bytes | None) -> None:
    arrival = reading.read(a_record(REPLY.model_dump_json().encode(), type_=type_))

    assert isinstance(arrival.word, Rejection)
    assert (arrival.word.reason, arrival.type) == ("unknown_type", None)


def test_brackets_inside_strings_are_not_depth() -> None:
    assert reason(a_record(changed("offer.billing", '[[[[[[[[[[[[["\\' * 20))) == "read"


def test_a_detail_names_the_field_and_never_more_than_fits() -> None:
    arrival = reading.read(a_record(changed("offer.components.0.price", "12,50")))
    named = reading.read(a_record(changed("x" * 5_000 + "\u0000", 1)))

    assert isinstance(arrival.word, Rejection)
    assert arrival.word.detail.startswith("offer.components.0.usage.price: ")
    assert "12,50" not in arrival.word.detail
    assert isinstance(named.word, Rejection)
    assert len(named.word.detail) < 350
    assert "\x00" not in named.word.detail


@given(st.binary(max_size=300))
def test_no_bytes_make_reading_fail(body: bytes) -> None:
    assert reason(a_record(body)) in {"unreadable", "invalid"}


@pytest.mark.parametrize("body", [b'"' * 900_000, b'{"' * 450_000, b'"\\' * 450_000, b'[{"a":' * 150_000])
def test_hostile_bytes_are_read_in_time_that_grows_with_their_length_only(body: bytes) -> None:
    started = perf_counter()

    assert reason(a_record(body)) == "unreadable"

    assert perf_counter() - started < 2


def test_the_purchase_of_a_readable_message_is_known_and_of_another_is_not() -> None:
    assert reading.read(a_record(REPLY.model_dump_json().encode())).purchase_id == REPLY.purchase_id
    assert reading.read(a_record(changed("purchase_id", str(uuid4()) + "x"))).purchase_id is None
