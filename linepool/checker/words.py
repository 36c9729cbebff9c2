"""I2, for what providers say that is no reply: withdrawals, declines, acknowledgements, questions and requests for access."""

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from hashlib import sha256
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from linepool.checker.history import History, Record, as_time

Word = tuple[Record, Mapping[str, Any]]
"""A record of a provider, and its body."""
MANY_ACKNOWLEDGEMENTS = 2_000
"""An opening names so many acknowledgements, and of more than that the newest."""
QUESTION = frozenset({"purchase_id", "question_id", "request_version", "question"})
"""All that is passed on of a question."""


def check_words(history: History) -> Iterator[str]:
    """Judge that each receipted word has its effect once, and that nothing happens that no provider said."""
    receipted = _receipted(history)
    yield from _openings(history, receipted)
    yield from _questions(history, receipted)
    yield from _access(history, receipted)
    yield from _refusals(history)


def _receipted(history: History) -> dict[str, list[Word]]:
    """Return what was receipted, by type; the same message of a provider stands there once."""
    receipts = {
        (record.provider, record.body.get("message_id"), record.body["sha256"])
        for record in history.told("notices.", "receipt-issued")
    }
    words: dict[str, list[Word]] = {}
    for record in history.of_providers("replies."):
        said = (record.provider, record.id, sha256(record.value or b"").hexdigest())
        if said in receipts:
            receipts.remove(said)
            words.setdefault(record.type, []).append((record, record.body))
    return words


def _openings(history: History, receipted: Mapping[str, list[Word]]) -> Iterator[str]:
    for opened in history.facts("bidding.events", "replies-opened"):
        own = partial(_about, receipted, opened.purchase)
        yield from _withdrawals(opened, own("reply-withdrawn"))
        yield from _acknowledgements(opened, own("invitation-acknowledged"))
        said = {record.provider for record, _ in own("invitation-declined")}
        for provider in opened.body["declined"]:
            if provider not in said:
                yield f"{opened.place} says that {provider} declined, which it never did"
        replied = {reply["provider_id"] for reply in opened.body["replies"]}
        for provider in sorted(said - replied - set(opened.body["declined"])):
            yield f"{opened.place} does not say that {provider} declined"


def _about(receipted: Mapping[str, list[Word]], purchase: str, type_: str) -> list[Word]:
    return [word for word in receipted.get(type_, []) if word[0].purchase == purchase]


def _withdrawals(opened: Record, withdrawals: list[Word]) -> Iterator[str]:
    taken_back = {(record.provider, str(body["reply_id"])): record for record, body in withdrawals}
    for reply in opened.body["replies"]:
        record = taken_back.get((reply["provider_id"], reply["reply_id"]))
        if reply["standing"] == "withdrawn" and record is None:
            yield f"{opened.place} has reply {reply['reply_id']} withdrawn, which its provider never asked for"
        if reply["standing"] != "withdrawn" and record is not None:
            yield f"{record.place} was receipted, and its reply is {reply['standing']}"


def _acknowledgements(opened: Record, said: list[Word]) -> Iterator[str]:
    first: dict[tuple[str, int], Word] = {}
    for word in sorted(said, key=lambda one: one[0].appended_at):
        first.setdefault((word[0].provider, int(word[1]["request_version"])), word)
    listed = opened.body.get("acknowledged", [])
    for one in listed:
        said_by = (one["provider_id"], one["request_version"])
        if said_by not in first:
            yield f"{opened.place} says that {one['provider_id']} acknowledged the request, which it never did"
            continue
        record, body = first.pop(said_by)
        if body["content_sha256"] != one["content_sha256"]:
            yield f"{opened.place} has {one['provider_id']} acknowledge other content than {record.place} does"
        if as_time(one["acknowledged_at"]) != record.appended_at:
            yield f"{opened.place} has another time than {record.place} was appended at"
    if len(listed) < MANY_ACKNOWLEDGEMENTS:
        for record, body in first.values():
            if int(body["request_version"]) <= int(opened.body["request_version"]):
                yield f"{record.place} was receipted, and no opening names it"


def _questions(history: History, receipted: Mapping[str, list[Word]]) -> Iterator[str]:
    words = receipted.get("question-asked", [])
    asked = Counter((record.purchase, str(body["question"])) for record, body in words)
    received = history.facts("bidding.events", "question-received")
    passed_on = Counter((record.purchase, str(record.body["question"])) for record in received)
    for purchase, question in passed_on - asked:
        yield f"a question about {purchase} was passed on that nobody asked, or twice: {question[:40]!r}"
    if not history.unsent:
        for purchase, question in asked - passed_on:
            yield f"a question about {purchase} was receipted and never passed on: {question[:40]!r}"
    known = {record.body["question_id"] for record in received}
    for record in history.facts("rfp.events", "question-answered"):
        if record.body["question_id"] not in known:
            yield f"{record.place} answers a question that was never passed on"
    can_be_tried_out = {_inbox_id(history.prefix, record) for record, _ in words}
    for record in received:
        askers = {one.provider for one, _ in words if one.purchase == record.purchase}
        yield from _tells_who_asked(record, askers)
        if str(record.body["question_id"]) in can_be_tried_out:
            yield f"{record.place} has an id that follows from its asker's topic: who asked can be tried out"


def _tells_who_asked(record: Record, askers: set[str]) -> Iterator[str]:
    if more := sorted(record.body.keys() - QUESTION):
        yield f"{record.place} passes on more than the question: {', '.join(more)}"
    headers = b" ".join(value or b"" for _, value in record.headers)
    for asker in sorted(askers):
        if asker.encode() in headers + (record.key or b""):
            yield f"{record.place} tells that {asker} asked"


def _inbox_id(prefix: str, record: Record) -> str:
    return str(uuid5(NAMESPACE_URL, f"linepool:inbox/{prefix}{record.topic}/id/{record.id}"))


def _access(history: History, receipted: Mapping[str, list[Word]]) -> Iterator[str]:
    asked = {
        (record.purchase, record.provider, record.id) for record, _ in receipted.get("access-requested", [])
    }
    decided = Counter(str(row["request_id"]) for row in history.rows("distribution", "access_requests"))
    passed_on: set[tuple[str, str, str]] = set()
    for record in history.facts("bidding.events", "access-request-received"):
        body = record.body
        request = (record.purchase, str(body["provider_id"]), str(body["message_id"]))
        if request not in asked:
            yield f"{record.place} has {request[1]} ask for access, which it never did"
        if request in passed_on:
            yield f"{record.place} passes on a second time what {request[1]} asked for once"
        passed_on.add(request)
        if not history.unsent and not decided[str(body["request_id"])]:
            yield f"{record.place} was never decided"
    if not history.unsent:
        for _, provider, message_id in sorted(asked - passed_on):
            yield f"{provider} asked for access ({message_id}), and that was never passed on"


def _refusals(history: History) -> Iterator[str]:
    """Judge that each refusal reaches the one who asked, in the words of the decision, and tells a stranger nothing."""
    shown = {
        (str(row["purchase_id"]), int(row["request_version"]), str(row["provider_id"]))
        for row in history.rows("distribution", "disclosures")
    }
    refused = {}
    for record in history.facts("distribution.events", "access-refused"):
        body = record.body
        refused[record.purchase, str(body["provider_id"]), str(body["message_id"])] = body["reason"]
        asked_for = (record.purchase, int(body["request_version"]), str(body["provider_id"]))
        if asked_for not in shown and body["reason"] != "unknown_purchase":
            yield f"{record.place} tells {asked_for[2]}, who was offered nothing, that the purchase exists"
    told = {}
    for record in history.told("notices.", "access-refusal-notified"):
        key = (record.purchase, record.provider, str(record.body["message_id"]))
        if key in told:
            yield f"{record.place} tells {record.provider} a second time of one refusal"
        told[key] = record.body["reason"]
        if refused.get(key) != record.body["reason"]:
            yield f"{record.place} tells of a refusal that distribution did not decide so"
    if not history.unsent:
        for _, provider, message_id in sorted(refused.keys() - told.keys()):
            yield f"{provider} was refused access ({message_id}), and never told"
