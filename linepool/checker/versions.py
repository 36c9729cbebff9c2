"""I7 and I8: the versions of each subject, and the hash-chained log of every service."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC
from hashlib import sha256

from linepool.checker.history import COMPACTED, SERVICES, History, Record, Row, as_time, distinct
from linepool.checker.report import Verdict, found

OWN_STREAMS = (
    "aggregation.events",
    "aggregation.usage",
    "aggregation.contacts",
    "aggregation.credentials",
    "aggregation.evidence",
    "rfp.events",
    "rfp.documents",
    "distribution.events",
    "bidding.events",
    "bidding.comparisons",
    "notification.events",
)


def _invites(row: Row) -> bool:
    return row.get("kind") != "granted"


def _grants(row: Row) -> bool:
    return row.get("kind") == "granted"


def _refuses(row: Row) -> bool:
    return row.get("outcome") not in {"granted", "shown_before"}


CHANGES: tuple[tuple[str, str, str, str, str], ...] = (
    ("aggregation", "groups", "opened_at", "aggregation.events", "group-opened"),
    ("aggregation", "groups", "closed_at", "aggregation.events", "group-aggregated"),
    ("aggregation", "credentials", "assigned_at", "aggregation.credentials", "credential-assigned"),
    ("rfp", "requests", "issued_at", "rfp.events", "request-issued"),
    ("distribution", "requests", "opened_at", "distribution.events", "request-distributed"),
    ("bidding", "boxes", "opened_at", "bidding.events", "replies-opened"),
    ("bidding", "boxes", "compared_at", "bidding.events", "replies-compared"),
    ("bidding", "awards", "number", "bidding.events", "provider-selected"),
)
"""A business table, the column that is set by the change, and the fact that the change must have been said with."""
CHANGES_OF_A_KIND: tuple[tuple[str, str, str, str, str, Callable[[Row], bool]], ...] = (
    ("distribution", "disclosures", "disclosed_at", "distribution.events", "provider-invited", _invites),
    ("distribution", "disclosures", "disclosed_at", "distribution.events", "access-granted", _grants),
    ("distribution", "access_requests", "decided_at", "distribution.events", "access-refused", _refuses),
)
"""The same for some of a table's rows."""


def check_versions(history: History) -> Verdict:
    """Judge that each subject's versions are 1, 2, 3 and so on; on compacted topics, that they grow.

    On a provider's topic a notice that is repeated has its old id and the topic's next version: there the new ids' versions grow,
    and none is missing among all.
    """
    findings: list[str] = []
    looked_at = 0
    for topic in history.topics:
        to_provider = topic.startswith(("invitations.", "notices."))
        if topic not in OWN_STREAMS and not to_provider:
            continue
        subjects: dict[tuple[str, str], list[Record]] = defaultdict(list)
        for record in distinct(history.topic(topic)):
            # On a provider's topic a service numbers its messages, whatever they are about.
            subjects[record.header("ce_source"), "" if to_provider else record.subject].append(record)
        for (_, subject), records in subjects.items():
            looked_at += len(records)
            findings += _growing(topic, subject, records, by_one=topic not in COMPACTED and not to_provider)
        if to_provider:
            findings += _complete(topic, history.topic(topic))
    return found("I7", findings, looked_at)


def _complete(topic: str, records: Iterable[Record]) -> Iterator[str]:
    seen: dict[str, set[int]] = defaultdict(set)
    for record in records:
        if record.sequence is not None:
            seen[record.header("ce_source")].add(record.sequence)
    for source, versions in seen.items():
        if missing := set(range(1, max(versions) + 1)) - versions:
            yield f"{topic} lacks version {min(missing)} of {source}"


def _growing(topic: str, subject: str, records: list[Record], *, by_one: bool) -> Iterator[str]:
    if len({record.partition for record in records}) > 1:
        yield f"{topic} has subject {subject} on more than one partition"
    last = 0
    for record in records:
        if record.sequence is None:
            yield f"{record.place} has no version"
            continue
        expected = record.sequence == last + 1 if by_one else record.sequence > last
        if not expected:
            yield f"{record.place} has version {record.sequence} of {subject or topic}, after {last}"
        last = record.sequence


def check_log(history: History) -> Verdict:
    """Judge that every fact has its entry, every change its fact, and that each chain recomputes."""
    findings: list[str] = []
    looked_at = 0
    for service in SERVICES:
        rows = history.rows(service, "log")
        looked_at += len(rows)
        findings += _chains(history, service, rows)
        findings += _entries(history, service, rows)
    for schema, table, column, stream, type_ in CHANGES:
        findings += _said(history, schema, table, column, stream, type_)
    for schema, table, column, stream, type_, counts in CHANGES_OF_A_KIND:
        findings += _said(history, schema, table, column, stream, type_, counts)
    return found("I8", findings, looked_at)


def _chains(history: History, service: str, rows: tuple[Row, ...]) -> Iterator[str]:
    heads: dict[tuple[str, str], bytes] = defaultdict(bytes)
    broken: set[tuple[str, str]] = set()
    for row in sorted(rows, key=lambda row: int(row["sequence"])):
        subject = (str(row["stream"]), str(row["subject"]))
        heads[subject] = sha256(heads[subject] + _entry(row)).digest()
        if heads[subject] != bytes(row["chain"]) and subject not in broken:
            broken.add(subject)
            yield (
                f"the log of {service} was edited at or before version {row['sequence']} "
                f"of {subject[1]} on {subject[0]}"
            )
        heads[subject] = bytes(row["chain"])
    for row in history.rows(service, "subjects"):
        subject = (str(row["stream"]), str(row["subject"]))
        head = bytes(row["chain"])
        if (head or subject in heads) and heads.get(subject, b"") != head:
            yield f"the log of {service} does not end where {subject[1]} on {subject[0]} does: entries are missing"


def _entry(row: Row) -> bytes:
    actor = row["actor_id"]
    return "\n".join(
        [
            str(row["sequence"]),
            str(row["event_id"]),
            str(row["type"]),
            str(row["cause_id"]),
            "" if actor is None else str(actor),
            as_time(row["decided_at"]).astimezone(UTC).isoformat(),
            bytes(row["body_sha256"]).hex(),
        ]
    ).encode()


def _entries(history: History, service: str, rows: tuple[Row, ...]) -> Iterator[str]:
    by_id = {str(row["event_id"]): row for row in rows}
    said: set[str] = set()
    newest: dict[tuple[str, str], int] = defaultdict(int)
    for stream in OWN_STREAMS:
        if not stream.startswith(f"{service}."):
            continue
        for record in distinct(history.topic(stream)):
            said.add(record.id)
            newest[stream, record.subject] = max(newest[stream, record.subject], record.sequence or 0)
            row = by_id.get(record.id)
            if row is None:
                yield f"{record.place} has no entry in the log of {service}"
            elif (
                str(row["stream"]) != stream
                or str(row["subject"]) != record.subject
                or int(row["sequence"]) != record.sequence
                or str(row["type"]) != record.header("ce_type")
                or str(row["cause_id"]) != record.header("ce_causationid")
                or ("" if row["actor_id"] is None else str(row["actor_id"])) != record.header("ce_actorid")
                or as_time(row["decided_at"]) != as_time(record.header("ce_time"))
                or bytes(row["body_sha256"]) != sha256(record.value or b"").digest()
            ):
                yield f"{record.place} is not what the log of {service} says was said"
            elif record.header("ce_loghead") != bytes(row["chain"]).hex():
                yield f"{record.place} has another head than the log of {service}"
    if history.unsent:
        return
    for event_id, row in by_id.items():
        stream = str(row["stream"])
        # Of these topics Kafka keeps the last word on each subject, and may have dropped what was said before.
        compacted = stream in COMPACTED and int(row["sequence"]) < newest[stream, str(row["subject"])]
        if event_id not in said and not compacted:
            yield f"the log of {service} has a {row['type']} that is not on {row['stream']}: {event_id}"


def _subject(row: Row, stream: str) -> str:
    if stream == "aggregation.credentials":
        return f"{row['person_id']}/{row['purchase_id']}"
    return str(row["purchase_id"])


def _said(
    history: History,
    schema: str,
    table: str,
    column: str,
    stream: str,
    type_: str,
    counts: Callable[[Row], bool] = lambda _row: True,
) -> Iterator[str]:
    changes: dict[str, int] = defaultdict(int)
    for row in history.rows(schema, table):
        if row.get(column) is not None and counts(row):
            changes[_subject(row, stream)] += 1
    entries: dict[str, int] = defaultdict(int)
    for row in history.rows(schema, "log"):
        if row["stream"] == stream and str(row["type"]).startswith(f"linepool.{type_}.v"):
            entries[str(row["subject"])] += 1
    for subject, count in changes.items():
        if entries[subject] < count:
            yield f"{schema}.{table} has {count} changes of {subject}, the log {entries[subject]} {type_}"
