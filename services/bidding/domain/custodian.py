"""Whether a custodian's released key is taken: the right one, and not before the deadline."""

from datetime import datetime

from services.bidding.domain.box import Box
from shared.messages.bidding import CustodianKeyReleased, ReleaseCustodianKey
from shared.outcomes import NotYet, Refusal
from shared.sealing import public_key_b64, read_private_key


def release(
    command: ReleaseCustodianKey, box: Box, now: datetime, *, released: bool
) -> CustodianKeyReleased | Refusal | NotYet:
    """Take the key that the custodian released for this purchase.

    Args:
        command: it brings the private key.
        box: it may still be waiting for messages that were said in time.
        now: before the deadline a key is refused at once: while an order waits, it is kept.
        released: whether a key was taken before.
    """
    request = box.request
    if request is None or box.stage == "cancelled":
        return _nothing_to_open(box)
    if request.custodian_key is None:
        return Refusal("no_custodian", "The request names no custodian.")
    if now < request.deadline:
        return Refusal("too_early", "The deadline has not passed; the key was not kept.")
    if public_key_b64(read_private_key(command.private_key)) != request.custodian_key:
        return Refusal("wrong_key", "It is not the key of the request's custodian.")
    if released or box.stage == "open":
        return _already_or_not_yet(released=released)
    return CustodianKeyReleased(
        purchase_id=box.purchase_id, request_version=request.version, public_key=request.custodian_key
    )


def _nothing_to_open(box: Box) -> Refusal | NotYet:
    if box.stage == "cancelled":
        return Refusal("cancelled", "The purchase was called off.")
    return NotYet("unknown_purchase", "There is no issued request with this id.")


def _already_or_not_yet(*, released: bool) -> Refusal | NotYet:
    if released:
        return Refusal("released_already", "The custodian's key was released before.")
    return NotYet("deadline_not_passed", "It was not said yet that the deadline has passed.")
