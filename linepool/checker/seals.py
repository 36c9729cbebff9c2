"""I5: where replies are sealed, no offer stands readable anywhere before its box is closed."""

from collections.abc import Iterator

from linepool.checker.history import History, Record
from linepool.checker.report import Verdict, found, not_yet

OPEN = frozenset({"awaited", "open", "closing"})
"""The stages of a box that is not closed."""
MARKS = (b'"offer":{', b'"components"')
"""What a readable offer has and a sealed one cannot show; spaces are taken out before."""


def check_seals(history: History) -> Verdict:
    """Judge every receipted reply to a sealed box, and every row that bidding keeps of a box that is not closed."""
    sealed = {
        record.purchase
        for record in history.facts("bidding.events", "bid-box-ready")
        if record.body.get("seal") == "hpke"
    }
    replies = [one for one in history.of_providers("replies.") if one.purchase in sealed]
    if not sealed:
        return not_yet(
            "I5", ["no box is sealed: whoever reads a box's topic or its table can read its replies"]
        )
    findings = [*_receipted_unsealed(history, replies), *_readable_rows(history, sealed)]
    return found("I5", findings, len(sealed) + len(replies))


def _receipted_unsealed(history: History, replies: list[Record]) -> Iterator[str]:
    """An offer that its own provider sends in the open is refused; one with a receipt was taken though it is readable."""
    receipted = {
        (record.provider, record.body.get("message_id"))
        for record in history.told("notices.", "receipt-issued")
        if record.body.get("reply_id")
    }
    for record in replies:
        if is_readable(record.value) and (record.provider, record.id) in receipted:
            yield f"{record.place} can be read by whoever reads the topic, and has a receipt"


def _readable_rows(history: History, sealed: set[str]) -> Iterator[str]:
    boxes = {str(row["purchase_id"]): row["stage"] for row in history.rows("bidding", "boxes")}
    shut = {purchase for purchase in sealed if boxes.get(purchase, "awaited") in OPEN}
    for table in ("replies", "held_messages"):
        for row in history.rows("bidding", table):
            # Of a sealed box no offer is readable in these tables at any time.
            if str(row["purchase_id"]) in sealed and is_readable(row["body"]):
                yield f"bidding.{table} holds a readable offer for the sealed box of {row['purchase_id']}"
    for row in history.rows("opener", "openings"):
        if str(row["purchase_id"]) in shut:
            yield f"the box of {row['purchase_id']} is not closed, and the opener has opened a reply in it"


def is_readable(body: bytes | None) -> bool:
    """Tell whether an offer can be read in these bytes without any key."""
    text = bytes(body or b"").translate(None, b" \t\r\n")
    return any(mark in text for mark in MARKS)
