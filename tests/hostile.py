"""What a hostile provider may send: mutations of valid messages of every type, the same ones again for the same seed."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

from shared.messages import registry
from shared.messages.providers import ProviderMessage

EXAMPLES = Path(__file__).parents[1] / "shared" / "messages" / "examples"
LARGEST = 1_000_000
"""So many bytes of a body librdkafka sends under the broker's limit of 1 MiB."""
Headers = list[tuple[str, bytes | None]]


@dataclass(frozen=True)
class Sending:
    """One record, and the kind of its hostility."""

    kind: str
    key: bytes | None
    headers: Headers
    body: bytes | None
    timestamp: int = 0
    """Milliseconds; 0 for now."""


@dataclass
class Hostile:
    """One provider's hostility about one purchase that it is invited to, and about others."""

    seed: int
    purchase_id: UUID

    def __post_init__(self) -> None:
        self._random = Random(self.seed)  # noqa: S311 # an order to repeat, no secret
        self._examples = {
            type_: json.loads((EXAMPLES / f"{type_}.json").read_text()) for type_ in sorted(registry)
        }
        self._of_providers = [
            type_ for type_, model in sorted(registry.items()) if issubclass(model, ProviderMessage)
        ]
        self._sent: list[Sending] = []

    def sendings(self, count: int) -> Iterator[Sending]:
        """Yield so many records."""
        for number in range(count):
            rare = RARE[number // RARELY % len(RARE)] if number % RARELY == RARELY - 1 else None
            make = rare or self._random.choice(FREQUENT)
            sending = make(self)
            if len(self._sent) < 1000:  # enough to repeat from
                self._sent.append(sending)
            yield sending

    # What the makers below use.

    def valid(self, type_: str | None = None) -> tuple[str, dict[str, Any]]:
        """Return a type of a provider's message and a body of it about the purchase, well formed."""
        chosen = type_ or self._random.choice(self._of_providers)
        return chosen, json.loads(json.dumps(self._examples[chosen])) | {"purchase_id": str(self.purchase_id)}

    def id(self) -> bytes:
        return str(UUID(int=self._random.getrandbits(128))).encode()

    def typed(self, type_: str) -> Headers:
        return [("ce_id", self.id()), ("ce_type", type_.encode())]

    def noise(self, most: int) -> bytes:
        return self._random.randbytes(self._random.randint(0, most))

    def sending(self, kind: str, body: bytes | None, headers: Headers, key: bytes | None = b"k") -> Sending:
        return Sending(kind, key, headers, body)


Maker = Callable[[Hostile], Sending]
FREQUENT: list[Maker] = []
RARE: list[Maker] = []
RARELY = 500
"""One record in so many is of a rare kind: large, or slow to read."""


def _frequent(make: Maker) -> Maker:
    FREQUENT.append(make)
    return make


def _rare(make: Maker) -> Maker:
    RARE.append(make)
    return make


def _leaves(value: Any) -> list[tuple[Any, Any]]:
    """Return each place in a body: what holds it, and under which name or number."""
    found: list[tuple[Any, Any]] = []
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in pairs:
        found.append((value, name))
        found += _leaves(inner)
    return found


@_frequent
def _flipped_bits(by: Hostile) -> Sending:
    type_, body = by.valid()
    data = bytearray(json.dumps(body).encode())
    for _ in range(by._random.randint(1, 8)):
        at = by._random.randrange(len(data))
        data[at] ^= 1 << by._random.randrange(8)
    return by.sending("flipped bits", bytes(data), by.typed(type_))


@_frequent
def _truncated(by: Hostile) -> Sending:
    type_, body = by.valid()
    data = json.dumps(body).encode()
    return by.sending("truncated", data[: by._random.randrange(len(data))], by.typed(type_))


WRONG: list[Any] = [
    None, True, 0, -1, 1.5, 10**30, "", "x", [], {}, [[]], {"a": 1}, "\0", "\ud800", "NaN", "1e5", "-0", "١٢",
    "9" * 400, " 1", "0x1", "2026-13-45", "00000000-0000-0000-0000-000000000000",
]  # fmt: skip


@_frequent
def _confused_types(by: Hostile) -> Sending:
    type_, body = by.valid()
    holder, name = by._random.choice(_leaves(body))
    holder[name] = by._random.choice(WRONG)
    return by.sending("confused types", json.dumps(body).encode(), by.typed(type_))


@_frequent
def _numbers(by: Hostile) -> Sending:
    type_, body = by.valid()
    number = by._random.choice(
        [b"1e400", b"-1e400", b"9" * 500, b"NaN", b"Infinity", b"1E-400", b"-0.0", b"01"]
    )
    holder, name = by._random.choice(_leaves(body))
    holder[name] = "@@"
    return by.sending("numbers", json.dumps(body).encode().replace(b'"@@"', number), by.typed(type_))


@_frequent
def _duplicate_keys(by: Hostile) -> Sending:
    type_, body = by.valid()
    other = json.dumps(by._random.choice(list(body)))
    data = json.dumps(body).encode()
    again = f", {other}: {json.dumps(by._random.choice(WRONG))}}}".encode()
    return by.sending("duplicate keys", data[:-1] + again, by.typed(type_))


@_frequent
def _not_utf8(by: Hostile) -> Sending:
    type_, body = by.valid()
    text = json.dumps(body)
    data = by._random.choice(
        [
            b"\xef\xbb\xbf" + text.encode(),
            text.encode("utf-16"),
            text.encode("utf-32"),
            text.replace('"', '"\\ud800', 1).encode(),
            text.encode().replace(b'"', b'"\xff', 1),
            text.encode().replace(b'"', b'"\xc0\x80', 1),
            text.encode() + b"\0",
            b"\0" + text.encode(),
        ]
    )
    return by.sending("not UTF-8", data, by.typed(type_))


@_frequent
def _unknown_fields(by: Hostile) -> Sending:
    type_, body = by.valid()
    name = by._random.choice(
        ["provider_id", "__class__", "\0", "\ud83d", "a" * 300, "constructor", "offer.price"]
    )
    body[name] = by._random.choice(WRONG)
    return by.sending("unknown fields", json.dumps(body).encode(), by.typed(type_))


@_frequent
def _foreign_purchase(by: Hostile) -> Sending:
    type_, body = by.valid()
    body["purchase_id"] = str(UUID(int=by._random.getrandbits(128)))
    return by.sending("foreign purchase", json.dumps(body).encode(), by.typed(type_))


@_frequent
def _wrong_headers(by: Hostile) -> Sending:
    type_, body = by.valid()
    id_ = by.id()
    headers: Headers = by._random.choice(
        [
            [],
            [("ce_id", id_)],
            [("ce_type", type_.encode())],
            [("ce_id", None), ("ce_type", None)],
            [("ce_id", b""), ("ce_type", type_.encode())],
            [("ce_id", b"\xff\xfe"), ("ce_type", type_.encode())],
            [("ce_id", b"i" * 5000), ("ce_type", type_.encode())],
            [("ce_id", b"a\nb" + id_), ("ce_type", type_.encode())],
            [("ce_id", id_), ("ce_type", b"\xff\xfe")],
            [("ce_id", id_), ("ce_type", type_.upper().encode())],
            [("ce_id", id_), ("ce_type", type_.replace(".v1", ".v2").encode())],
            [("ce_id", id_), ("ce_type", type_.encode()), ("ce_id", by.id())],
            [("ce_id", id_), ("ce_type", type_.encode()), ("ce_type", b"linepool.open-group.v1")],
            [("ce_id", id_), ("ce_type", type_.encode()), ("content-type", b"application/x-python-pickle")],
            [("ce_id", id_), ("ce_type", type_.encode()), ("content-type", b"\xff")],
            [("ce_id", id_), ("ce_type", type_.encode()), ("correlation_id", b"\xff"), ("", b"")],
        ]
    )
    return by.sending("wrong headers", json.dumps(body).encode(), headers)


@_frequent
def _reply_to(by: Hostile) -> Sending:
    type_, body = by.valid()
    where = by._random.choice(
        [b"bidding.events", b"rfp.verifications", b"replies.nobodynobody", b"", b"\xff"]
    )
    return by.sending("reply_to", json.dumps(body).encode(), [*by.typed(type_), ("reply_to", where)])


@_frequent
def _claims(by: Hostile) -> Sending:
    """Attributes that only we set: who acts, which version, whose conversation."""
    type_, body = by.valid()
    claims: Headers = [
        ("ce_actor", b'{"person_id":"00000000-0000-0000-0000-000000000000","role":"officer"}'),
        ("ce_sequence", by._random.choice([b"1", b"-1", b"9" * 30, b"x"])),
        (
            "ce_time",
            by._random.choice([b"0001-01-01T00:00:00Z", b"9999-12-31T23:59:59Z", b"yesterday", b"\xff"]),
        ),
        ("ce_source", b"/linepool/rfp"),
        ("ce_correlationid", by.id()),
        ("ce_causationid", by.id()),
        ("ce_decisionid", by.id()),
        ("traceparent", b"00-" + b"f" * 32 + b"-" + b"f" * 16 + b"-01"),
    ]
    return by.sending("claims", json.dumps(body).encode(), [*by.typed(type_), *claims])


@_frequent
def _ours(by: Hostile) -> Sending:
    """A message that only one of our services may say, well formed."""
    type_ = by._random.choice([one for one in by._examples if one not in by._of_providers])
    return by.sending("ours", json.dumps(by.valid(type_)[1]).encode(), by.typed(type_))


@_frequent
def _absurd_times(by: Hostile) -> Sending:
    type_, body = by.valid()
    at = by._random.choice([1, 2**40, 2**53, 2**62])
    return Sending("absurd times", b"k", by.typed(type_), json.dumps(body).encode(), at)


@_frequent
def _keys(by: Hostile) -> Sending:
    type_, body = by.valid()
    return by.sending(
        "keys", json.dumps(body).encode(), by.typed(type_), by._random.choice([None, b"", by.noise(200)])
    )


@_frequent
def _tombstone(by: Hostile) -> Sending:
    type_, _ = by.valid()
    return by.sending("tombstone", by._random.choice([None, b""]), by.typed(type_), by.id())


@_frequent
def _noise(by: Hostile) -> Sending:
    type_, _ = by.valid()
    return by.sending("noise", by.noise(400), by.typed(type_))


@_frequent
def _valid(by: Hostile) -> Sending:
    """A message with nothing wrong in it; what it says may still not be due."""
    type_, body = by.valid()
    return by.sending("valid", json.dumps(body).encode(), by.typed(type_))


@_frequent
def _again(by: Hostile) -> Sending:
    """The same bytes under the same id."""
    if not by._sent:
        return _valid(by)
    before = by._random.choice(by._sent)
    return Sending("again", by.noise(9), before.headers, before.body)


@_frequent
def _id_reused(by: Hostile) -> Sending:
    """Another content under an id that was used."""
    if not by._sent:
        return _valid(by)
    before = by._random.choice(by._sent)
    return by.sending("id reused", by.noise(40) + b"!", before.headers)


@_rare
def _deep(by: Hostile) -> Sending:
    type_, body = by.valid()
    depth = by._random.choice([11, 1_000, 100_000])
    opening, closing = by._random.choice([(b"[", b"]"), (b'{"a":', b"}")])
    nested = opening * depth + b"1" + closing * by._random.choice([depth, 0])
    holder, name = by._random.choice(_leaves(body))
    holder[name] = "@@"
    return by.sending("deep", json.dumps(body).encode().replace(b'"@@"', nested), by.typed(type_))


@_rare
def _large(by: Hostile) -> Sending:
    type_, body = by.valid()
    size = by._random.choice([900 * 1024, LARGEST - 1000])
    holder, name = by._random.choice(_leaves(body))
    holder[name] = by._random.choice(["x", '\\"', "\\u0000", " "]) * (size // 8)
    return by.sending("large", json.dumps(body).encode()[:size], by.typed(type_))


@_rare
def _header_bomb(by: Hostile) -> Sending:
    type_, body = by.valid()
    bomb: Headers = by._random.choice(
        [
            [(f"x-{number}", b"v") for number in range(5000)],
            [("x", by._random.randbytes(500_000))],
            [("n" * 30_000, b"v")],
            [("ce_id", by.id()) for _ in range(2000)],
        ]
    )
    return by.sending("header bomb", json.dumps(body).encode(), [*bomb, *by.typed(type_)])


@_rare
def _slow_to_read(by: Hostile) -> Sending:
    """What makes a careless reader take long: blanks, escapes, quotes, brackets."""
    type_, _ = by.valid()
    data = by._random.choice(
        [
            b" " * 200_000 + b"{}",
            b'"' + b'\\"' * 100_000,
            b"[" + b"1," * 100_000,
            b"[]" * 100_000,
            b'"' * 100_001,
        ]
    )
    return by.sending("slow to read", data, by.typed(type_))
