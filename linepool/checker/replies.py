"""I2 and I10: what providers said, what they were answered, and what became of their replies."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256

from linepool.checker.chains import broken_chains
from linepool.checker.history import History, Record, as_time, distinct
from linepool.checker.report import Verdict, found, not_yet
from linepool.checker.words import check_words

FATES = frozenset({"evaluated", "replaced", "withdrawn", "invalid"})
ANSWERS = ("receipt-issued", "message-rejected")
PATIENCE = timedelta(seconds=60)
"""A record that is so much older than one of another provider's that was answered should have its answer."""
Said = tuple[str, str | None, str]
"""Provider, message id as the provider gave it, SHA-256 of the body."""


def check_replies(history: History) -> Verdict:
    """Judge that every message has one answer in its chain, every receipted reply one fate, every other word its effect."""
    said = history.of_providers("replies.")
    findings = [
        *_answers_in_excess(history),
        *_fates(history),
        *_in_time(history),
        *broken_chains(history),
        *check_words(history),
    ]
    unanswered = [f"{record.place} has no answer" for record in _unanswered(history)]
    if findings or not unanswered or not history.unsent:
        return found("I2", [*findings, *([] if history.unsent else unanswered)], len(said))
    return not_yet("I2", [f"{len(unanswered)} messages wait for their answers", *history.unsent], len(said))


def check_harm(history: History) -> Verdict:
    """Judge that no provider's messages wait because of another's."""
    said = history.of_providers("replies.")
    waiting = _unanswered(history)
    late = {record.place for record in waiting}
    answered = [record for record in said if record.place not in late]
    findings = [
        f"{record.place} has no answer, though {other.place} of another provider came much later and has one"
        for record in waiting
        for other in [_much_later(record, answered)]
        if other is not None
    ]
    if not history.unsent:
        findings += [f"{record.place} has no answer, and nothing is left to answer it" for record in waiting]
    for row in history.rows("bidding", "parked"):
        topic = str(row["topic"])
        if topic.startswith("replies.") and not bytes(row["key"]).endswith(topic.encode()):
            findings.append(f"a parked message of {topic} waits behind the key of another")
    return found("I10", findings, len(said))


def _much_later(record: Record, answered: list[Record]) -> Record | None:
    return next(
        (
            other
            for other in answered
            if other.provider != record.provider and other.appended_at > record.appended_at + PATIENCE
        ),
        None,
    )


def _answers(history: History) -> dict[Said, set[str]]:
    answers: dict[Said, set[str]] = defaultdict(set)
    for record in history.of_providers("notices."):
        if record.type in ANSWERS:
            body = record.body
            answers[record.provider, body.get("message_id"), body["sha256"]].add(record.id)
    return answers


def _messages(history: History) -> dict[Said, list[Record]]:
    messages: dict[Said, list[Record]] = defaultdict(list)
    answers = _answers(history)
    for record in history.of_providers("replies."):
        digest = sha256(record.value or b"").hexdigest()
        named = (record.provider, record.id or None, digest)
        # An id that cannot be read or kept is answered as none.
        messages[named if named in answers else (record.provider, None, digest)].append(record)
    return messages


def _unanswered(history: History) -> list[Record]:
    answers = _answers(history)
    return [
        record for said, records in _messages(history).items() if said not in answers for record in records
    ]


def _answers_in_excess(history: History) -> Iterator[str]:
    messages = _messages(history)
    for said, ids in _answers(history).items():
        provider, message_id, _ = said
        records = messages.get(said, [])
        if not records:
            yield f"{provider} was answered about message {message_id}, which it never sent"
        elif len(ids) > (1 if message_id is not None else len(records)):
            yield f"{records[0].place} has {len(ids)} different answers"


def _fates(history: History) -> Iterator[str]:
    opened = history.facts("bidding.events", "replies-opened")
    times = Counter(record.purchase for record in opened)
    yield from (
        f"the box of {purchase} was opened {count} times" for purchase, count in times.items() if count > 1
    )
    fates: dict[str, list[str]] = defaultdict(list)
    for record in opened:
        for reply in record.body["replies"]:
            fates[reply["reply_id"]].append(reply["standing"])
    receipted = {
        record.body["reply_id"]: record
        for record in history.told("notices.", "receipt-issued")
        if record.body.get("reply_id")
    }
    # Of very many replaced replies the event names only the newest; the others are in the table.
    replaced = {str(row["id"]) for row in history.rows("bidding", "replies") if row["standing"] == "replaced"}
    for reply_id, record in receipted.items():
        ends = fates.get(reply_id, [])
        if len(ends) > 1 or not FATES.issuperset(ends):
            yield f"the reply {reply_id}, receipted at {record.place}, ended as {' and '.join(ends)}"
        elif not ends and record.purchase in times and reply_id not in replaced:
            yield f"the reply {reply_id}, receipted at {record.place}, was lost when its box was opened"
    if not history.unsent:
        never = sorted(fates.keys() - receipted.keys())
        yield from (f"the reply {reply_id} was opened, but never receipted" for reply_id in never)


def _in_time(history: History) -> Iterator[str]:
    deadlines = {
        record.purchase: as_time(record.body["deadline"])
        for record in history.facts("rfp.events", "request-issued")
    }
    times: dict[Said, set[str]] = defaultdict(set)
    for said, records in _messages(history).items():
        times[said] = {record.appended_at.isoformat() for record in records}
    for record in distinct(one for one in history.of_providers("notices.") if one.type in ANSWERS):
        body = record.body
        appended_at = as_time(body["appended_at"])
        deadline = deadlines.get(record.purchase)
        said = (record.provider, body.get("message_id"), body["sha256"])
        if said in times and appended_at.isoformat() not in times[said]:
            yield f"{record.place} names another append time than the broker's"
        if deadline is None:
            continue
        if record.type == "receipt-issued" and body.get("reply_id") and appended_at >= deadline:
            yield f"{record.place} receipts a reply that came after the deadline"
        if body.get("reason") == "late" and appended_at < deadline:
            yield f"{record.place} rejects a message as late that came before the deadline"
