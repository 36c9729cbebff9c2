"""What the opener decides: what the key of a box is, whether a box may be opened, and what a sealed reply holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pydantic import ValidationError

from shared.messages.providers import ReplySubmitted
from shared.sealing import (
    box_key_purpose,
    custodian_info,
    offer_info,
    open_bytes,
    open_sealed,
    private_key,
    public_key_b64,
    read_private_key,
)
from shared.signing import SEAL_KEYS, seal_key_statement, sign, signing_key

Place = tuple[str, int]
"""A topic and a partition."""

DOES_NOT_OPEN = "does_not_open"
NOT_SEALED = "not_sealed"
NOT_SEALED_TWICE = "not_sealed_twice"
"""It opens with the opener's key, and what was in it not with the custodian's."""


@dataclass(frozen=True)
class IssuedBox:
    """A version of a request whose replies are to be sealed."""

    purchase_id: UUID
    request_version: int
    deadline: datetime


@dataclass(frozen=True)
class BoxKey:
    """What the world is told of a box's key: its public half and the opener's signature, both in base64."""

    box: IssuedBox
    public_key: str
    key_signature: str


@dataclass(frozen=True)
class Closing:
    """What the tables say of a box at one moment; `closing_ends` and `positions` go by topic and partition."""

    box: IssuedBox
    announced_deadline: datetime | None
    """The deadline that this version had when its key was made."""
    sealed: bool
    cancelled: bool
    deadline_passed: bool
    """Whether it was said that this is the last version."""
    closed: bool
    """Whether bidding says that nothing can be added."""
    provider_ids: frozenset[str]
    closing_ends: Mapping[Place, int]
    positions: Mapping[Place, int]
    put_aside: Mapping[Place, int]
    """The first message of each topic that was passed without being taken."""
    has_held_in_time: bool
    """Whether a message that a listed provider said in time is still to be judged."""
    now: datetime
    custodian_key: str | None = None
    """The public key for which offers are sealed beside the opener's; None where there is no custodian."""
    released_key: str | None = field(default=None, repr=False)
    """The private key that the custodian released."""


@dataclass(frozen=True)
class SealedReply:
    """A reply that stands in a box; who sent it is the topic that it came from, never its content."""

    reply_id: UUID
    purchase_id: UUID
    provider_id: str
    request_version: int
    revision: int
    body: bytes
    """The provider's message as it came."""


@dataclass(frozen=True)
class Opened:
    """What a reply held, or why it does not open."""

    reply_id: UUID
    content: bytes | None = None
    failure: str | None = None


def make_key(secret: bytes, box: IssuedBox) -> BoxKey:
    """Derive the key of a box: the same one each time, so nothing but the secret must be kept."""
    public_key = public_key_b64(_private_key(secret, box.purchase_id, box.request_version))
    said = seal_key_statement(box.purchase_id, box.request_version, public_key)
    return BoxKey(box, public_key, sign(signing_key(secret, SEAL_KEYS), said))


def keeps_shut(closing: Closing, allowance: timedelta) -> str | None:
    """Return why the box must stay shut, or None where nobody can put anything in any more.

    Bidding has decided the same before; here it is checked again, so that bidding alone cannot have a box opened early.
    """
    box = closing.box
    reasons = {
        "not_sealed": not closing.sealed,
        "cancelled": closing.cancelled,
        "not_closed": not (closing.closed and closing.deadline_passed),
        "deadline_changed": closing.announced_deadline != box.deadline,
        "allowance": closing.now < box.deadline + allowance,
        "ends_unknown": not all(
            _has_end(closing.closing_ends, provider) for provider in closing.provider_ids
        ),
        "not_all_taken": any(
            closing.positions.get(place, 0) < end or closing.put_aside.get(place, end) < end
            for place, end in closing.closing_ends.items()
        )
        or closing.has_held_in_time,
        "waits_for_custodian": closing.custodian_key is not None and closing.released_key is None,
        "wrong_custodian_key": not _is_half_of(closing.released_key, closing.custodian_key),
    }
    return next((why for why, holds in reasons.items() if holds), None)


def open_replies(
    secret: bytes, replies: Sequence[SealedReply], custodian: X25519PrivateKey | None = None
) -> list[Opened]:
    """Open replies, each with the key of the version that it answers, and then with the custodian's where there is one.

    One that does not open harms no other.
    """
    keys: dict[tuple[UUID, int], X25519PrivateKey] = {}
    opened = []
    for reply in replies:
        version = (reply.purchase_id, reply.request_version)
        if version not in keys:
            keys[version] = _private_key(secret, *version)
        opened.append(_open(keys[version], reply, custodian))
    return opened


def _open(key: X25519PrivateKey, reply: SealedReply, custodian: X25519PrivateKey | None) -> Opened:
    try:
        sealed = ReplySubmitted.model_validate_json(reply.body).sealed_offer
    except ValidationError:
        sealed = None
    if sealed is None:
        return Opened(reply.reply_id, failure=NOT_SEALED)
    about = reply.purchase_id, reply.request_version, reply.provider_id, reply.revision
    try:
        content = open_sealed(key, sealed, offer_info(*about))
    except ValueError:
        return Opened(reply.reply_id, failure=DOES_NOT_OPEN)
    if custodian is None:
        return Opened(reply.reply_id, content=content)
    try:
        return Opened(reply.reply_id, content=open_bytes(custodian, content, custodian_info(*about)))
    except ValueError:
        return Opened(reply.reply_id, failure=NOT_SEALED_TWICE)


def _is_half_of(private: str | None, public: str | None) -> bool:
    if private is None:
        return public is None
    return public_key_b64(read_private_key(private)) == public


def _private_key(secret: bytes, purchase_id: UUID, request_version: int) -> X25519PrivateKey:
    return private_key(secret, box_key_purpose(purchase_id, request_version))


def _has_end(ends: Mapping[Place, int], provider_id: str) -> bool:
    # Before the topic's name stands the prefix of a shared Kafka, which the opener does not know.
    return any(topic.endswith(f"replies.{provider_id}") for topic, _ in ends)
