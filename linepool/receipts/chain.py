"""The chain of all answers to one provider: each head covers the answer and, through the head before it, all earlier ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from shared.canonical import canonical_json
from shared.signing import statement


@dataclass(frozen=True)
class Head:
    """How far a chain goes: how many answers it holds, and 32 bytes that depend on all of them."""

    number: int
    hash: bytes


def beginning(provider_id: str) -> Head:
    """Return the head of a provider's empty chain; it depends on the provider, so that no chain can pass for another's."""
    return Head(0, sha256(statement("chain", provider_id)).digest())


def follow(head: Head, notice: Mapping[str, Any]) -> Head:
    """Return the head after one more answer.

    SHA-256 over the 32 bytes of the head before, and the 32 bytes of SHA-256 over the canonical JSON (RFC 8785) of the
    notice without its field `chain`.

    Args:
        head: the head before this answer.
        notice: the body of the receipt or rejection as JSON values.

    Raises:
        TypeError: the notice holds a value that has no canonical JSON, such as a float.
        ValueError: it holds text that has no UTF-8, that is half a surrogate pair.
    """
    rest = {name: value for name, value in notice.items() if name != "chain"}
    return Head(head.number + 1, sha256(head.hash + sha256(canonical_json(rest)).digest()).digest())


def link_statement(provider_id: str, number: int, head: str) -> bytes:
    """Return the bytes that bidding signs for one answer; `head` is lower-case hex."""
    return statement("receipt", provider_id, number, head)
