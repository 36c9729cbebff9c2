"""One way to write a value as bytes, so that equal values have equal hashes everywhere."""

import json
from hashlib import sha256
from typing import Any


def canonical_json(value: Any) -> bytes:
    """Return JSON with sorted keys, no spaces, UTF-8; floats are refused because they have no one spelling.

    `value` consists of dicts with string keys, lists, tuples, strings, integers, booleans and None.

    Raises:
        TypeError: a value of another kind, such as a float or a Decimal, is inside.
    """
    _refuse_floats(value)
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def digest(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON, in lower-case hex."""
    return sha256(canonical_json(value)).hexdigest()


def _refuse_floats(value: Any) -> None:
    if isinstance(value, float):
        raise TypeError("a float has no canonical spelling; use a decimal string")
    if isinstance(value, dict):
        for inner in value.values():
            _refuse_floats(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _refuse_floats(inner)
