"""I3: whatever was delivered how often, each thing has its effect once."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from linepool.checker.history import PROVIDER_FACING, SERVICES, History, distinct
from linepool.checker.report import Verdict, found

ONCE_PER_PROVIDER = {
    "request-presented": ("purchase_id", "request_version"),
    "cancellation-presented": ("purchase_id",),
    "award-notified": ("purchase_id", "award"),
    "acceptance-notified": ("purchase_id", "award", "terms_sha256"),
}
"""What one provider is told at most once for each value of these."""
NOT_BUSINESS = ("log", "adopted", "inbox", "outbox", "parked")


def check_once(history: History) -> Verdict:
    """Judge ids against contents, effects against causes, mails against facts."""
    findings = [
        *_ids(history),
        *_evaluated(history),
        *_provider_messages(history),
        *_causes(history),
        *_mails(history),
    ]
    return found("I3", findings, len(history.records))


def _ids(history: History) -> Iterator[str]:
    for topic in history.topics:
        if topic.startswith("replies.") or topic.rpartition(".")[2] in {
            "commands",
            "verifications",
            "registrations",
        }:
            continue  # what others say may repeat or contradict itself: its answers are judged
        contents: dict[str, bytes | None] = {}
        versions: dict[tuple[str, str, str, int | None], str] = {}
        for record in history.topic(topic):
            if record.id in contents:
                if contents[record.id] != record.value:
                    yield f"{record.place} says something else than the first message with its id"
                continue
            contents[record.id] = record.value
            subject = "" if topic.startswith(PROVIDER_FACING) else record.subject
            version = (record.header("ce_source"), record.type, subject, record.sequence)
            if record.sequence is not None and versions.setdefault(version, record.id) != record.id:
                yield f"{record.place} is a second {record.type} with version {record.sequence} of its subject"


def _evaluated(history: History) -> Iterator[str]:
    for record in history.facts("bidding.events", "replies-opened"):
        counts = Counter(
            reply["provider_id"] for reply in record.body["replies"] if reply["standing"] == "evaluated"
        )
        for provider, count in counts.items():
            if count > 1:
                yield f"{record.place} evaluates {count} replies of {provider}"
    rows = Counter(
        (str(row["purchase_id"]), str(row["provider_id"]))
        for row in history.rows("bidding", "replies")
        if row["standing"] == "evaluated"
    )
    for (purchase, provider), count in rows.items():
        if count > 1:
            yield f"the table of replies has {count} evaluated ones of {provider} for {purchase}"


def _provider_messages(history: History) -> Iterator[str]:
    for topic in history.topics:
        if not topic.startswith(("invitations.", "notices.")):
            continue
        seen: dict[tuple[str, ...], str] = {}
        for record in distinct(history.topic(topic)):
            fields = ONCE_PER_PROVIDER.get(record.type)
            if fields is None:
                continue
            what = (record.type, *(str(record.body.get(field)) for field in fields))
            if what in seen:
                yield f"{record.place} repeats, under another id, the {record.type} at {seen[what]}"
            seen.setdefault(what, record.place)


def _causes(history: History) -> Iterator[str]:
    for schema in SERVICES:
        for table, rows in history.tables.get(schema, {}).items():
            if table in NOT_BUSINESS:
                continue
            causes = Counter(str(row["cause_id"]) for row in rows if row.get("cause_id") is not None)
            for cause, count in causes.items():
                if count > 1:
                    yield f"{schema}.{table} has {count} rows of one cause, {cause}"


def _mails(history: History) -> Iterator[str]:
    delivered: dict[str, list[str]] = defaultdict(list)
    for record in history.facts("notification.events", "mail-delivered"):
        delivered[record.body["message_id"]].append(record.place)
    for message_id, places in delivered.items():
        if len(places) > 1:
            yield f"the mail {message_id} was recorded as delivered {len(places)} times"
    if history.mails is None:
        return
    kept: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for mail in history.mails:
        kept[mail.message_id].add((mail.recipients, mail.text))
    for message_id, texts in kept.items():
        if len(texts) > 1:
            yield f"the mail {message_id} went out with different texts"
    if not history.unsent:
        unrecorded = sorted(kept.keys() - delivered.keys())
        yield from (f"the mail {message_id} went out, and nothing says so" for message_id in unrecorded)
        lost = sorted(delivered.keys() - kept.keys())
        yield from (f"the mail {message_id} is said to be delivered, and is not there" for message_id in lost)
