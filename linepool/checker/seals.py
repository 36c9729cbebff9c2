"""I5: where replies are sealed, no offer stands readable anywhere, and none is opened before its box is closed."""

from collections import Counter
from collections.abc import Iterator

from linepool.checker.custodians import custodians
from linepool.checker.history import History, Record, Row, as_time
from linepool.checker.report import Verdict, found, not_yet

OPEN = frozenset({"awaited", "open", "closing"})
"""The stages of a box that is not closed."""
MARKS = (b'"offer":{', b'"components"')
"""What a readable offer has and a sealed one cannot show; spaces are taken out before."""


def check_seals(history: History) -> Verdict:
    """Judge every record about a sealed box, every row that bidding keeps of it, and what the opener did when."""
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
    findings = [
        *_receipted_unsealed(history, replies),
        *_readable_records(history, sealed),
        *_readable_rows(history, sealed),
        *_opened_early(history, sealed),
        *_openings(history, sealed),
        *custodians(history),
    ]
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


def _readable_records(history: History, sealed: set[str]) -> Iterator[str]:
    """What a provider says stands on its own topic; no service may say it again."""
    for topic in history.topics:
        if not topic.startswith("replies."):
            for record in history.topic(topic):
                if is_readable(record.value) and {record.purchase, record.subject} & sealed:
                    yield f"{record.place} holds a readable offer for the sealed box of {record.purchase}"


def _readable_rows(history: History, sealed: set[str]) -> Iterator[str]:
    for table in ("replies", "held_messages"):
        for row in history.rows("bidding", table):
            # Of a sealed box no offer is readable in these tables at any time.
            if str(row["purchase_id"]) in sealed and is_readable(row["body"]):
                yield f"bidding.{table} holds a readable offer for the sealed box of {row['purchase_id']}"


def _opened_early(history: History, sealed: set[str]) -> Iterator[str]:
    boxes = {str(row["purchase_id"]): row for row in history.rows("bidding", "boxes")}
    deadlines = {
        (record.purchase, int(record.body["request_version"])): as_time(record.body["deadline"])
        for record in history.facts("rfp.events", "request-issued")
    }
    for purchase, row in _opened_boxes(history).items():
        opened_at = as_time(row["opened_at"])
        deadline = deadlines.get((purchase, int(row["request_version"])))
        if deadline is None or opened_at < deadline:
            yield f"the box of {purchase} was opened at {opened_at.isoformat()}, before its deadline"
        box = boxes.get(purchase, {"stage": "awaited", "closed_at": None})
        if box["stage"] in OPEN or box["closed_at"] is None or opened_at < as_time(box["closed_at"]):
            yield f"the box of {purchase} was opened at {opened_at.isoformat()}, before it was closed"
    for record in history.facts("bidding.events", "replies-opened"):
        deadline = deadlines.get((record.purchase, int(record.body["request_version"])))
        if record.purchase in sealed and (deadline is None or as_time(record.header("ce_time")) < deadline):
            yield f"{record.place} says that a sealed box was opened before its deadline"


def _openings(history: History, sealed: set[str]) -> Iterator[str]:
    """What stands is opened once, and what was replaced or withdrawn never."""
    opened = _opened_boxes(history)
    replies = {str(row["id"]): row for row in history.rows("bidding", "replies")}
    openings = history.rows("opener", "openings")
    counts = Counter(str(row["purchase_id"]) for row in openings)
    for purchase in sorted(counts.keys() - opened.keys()):
        yield f"the opener keeps {counts[purchase]} replies of the box of {purchase}, which it never opened"
    for purchase, row in opened.items():
        if counts[purchase] != int(row["replies"]):
            yield f"the box of {purchase} was opened with {row['replies']} replies in it, and {counts[purchase]} were opened"
    for opening in openings:
        reply = replies.get(str(opening["reply_id"]))
        if reply is None or str(reply["purchase_id"]) != str(opening["purchase_id"]):
            yield f"the reply {opening['reply_id']} was opened, and is in no box of {opening['purchase_id']}"
        elif reply["standing"] in {"replaced", "withdrawn"}:
            yield f"the reply {opening['reply_id']} was opened, though it was {reply['standing']}"
    known = {str(row["reply_id"]) for row in openings}
    for record in [] if history.unsent else history.facts("bidding.events", "replies-opened"):
        for reply in record.body["replies"] if record.purchase in sealed else ():
            if reply["standing"] == "evaluated" and reply["reply_id"] not in known:
                yield f"{record.place} evaluates the reply {reply['reply_id']}, which the opener never opened"


def _opened_boxes(history: History) -> dict[str, Row]:
    return {str(row["purchase_id"]): row for row in history.rows("opener", "opened_boxes")}


def is_readable(body: bytes | None) -> bool:
    """Tell whether an offer can be read in these bytes without any key."""
    text = bytes(body or b"").translate(None, b" \t\r\n")
    return any(mark in text for mark in MARKS)
