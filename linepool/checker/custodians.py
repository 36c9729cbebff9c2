"""I5, where replies are sealed twice: nothing is opened without the custodian's key, which was nowhere before the deadline."""

from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from linepool.checker.history import History, Row, as_time

COMMANDS = "bidding.commands"
"""The one topic on which a released key may stand."""


def custodians(history: History) -> Iterator[str]:
    """Yield what is wrong about the keys of custodians, and about boxes that need one."""
    issued = {
        record.purchase: record.body
        for record in history.facts("rfp.events", "request-issued")
        if record.body.get("custodian")
    }
    released = {str(row["purchase_id"]): row for row in history.rows("bidding", "released_keys")}
    for purchase, row in released.items():
        yield from _released(history, purchase, row, issued.get(purchase))
    yield from _handed_in_early(history, issued)
    for row in history.rows("opener", "opened_boxes"):
        purchase = str(row["purchase_id"])
        if purchase in issued:
            yield from _opened(purchase, row, released.get(purchase), issued[purchase])


def _released(history: History, purchase: str, row: Row, request: Mapping[str, Any] | None) -> Iterator[str]:
    if request is None:
        yield f"bidding.released_keys holds a key for {purchase}, whose request names no custodian"
        return
    if _public_half(str(row["private_key"])) != request["custodian"]["public_key"]:
        yield f"bidding.released_keys holds another key for {purchase} than that of its custodian"
    if as_time(row["released_at"]) < as_time(request["deadline"]):
        yield f"the key of the custodian of {purchase} was taken before its deadline"
    key = str(row["private_key"]).encode()
    for topic in history.topics:
        for record in history.topic(topic) if topic != COMMANDS else ():
            if key in (record.value or b""):
                yield f"{record.place} holds the private key of the custodian of {purchase}"
    for name, text in (history.logs or {}).items():
        if key in text:
            yield f"{name} holds the private key of the custodian of {purchase}"


def _handed_in_early(history: History, issued: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for record in history.facts(COMMANDS, "release-custodian-key"):
        request = issued.get(record.purchase)
        if request is not None and record.appended_at < as_time(request["deadline"]):
            yield f"{record.place} holds a custodian's key that was handed in before the deadline"


def _opened(purchase: str, row: Row, released: Row | None, request: Mapping[str, Any]) -> Iterator[str]:
    opened_at: datetime = as_time(row["opened_at"])
    if released is None or opened_at < as_time(released["released_at"]):
        yield f"the box of {purchase} was opened before its custodian's key was released"
    if row.get("custodian_key") != request["custodian"]["public_key"]:
        yield f"the box of {purchase} was opened for another custodian than that of its request"


def _public_half(private_key: str) -> str:
    key = X25519PrivateKey.from_private_bytes(b64decode(private_key))
    return b64encode(key.public_key().public_bytes_raw()).decode()
