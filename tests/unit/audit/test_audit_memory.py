"""However long a service's log is, auditing it takes as much memory as its largest subject: the rest is on disk."""

import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from itertools import islice, product
from uuid import UUID

from linepool.audit.evidence import End, Logged, Topic
from linepool.audit.gathered import Gathered
from linepool.audit.verify import Report, judge
from linepool.client.journal import Entry
from shared.chain import LogEntry
from shared.envelope import Envelope, read_headers

STREAM = "rfp.events"
VERSIONS = 10
TYPE = "linepool.request-drafted.v1"
AT = datetime(2026, 5, 1, tzinfo=UTC)
AT_A_TIME = 200
"""So many records come at once; in truth it is as many as the broker hands over."""
SLACK_BYTES = 1_000_000


def made_up(subject: UUID, version: int) -> tuple[LogEntry, bytes]:
    """Return one of a subject's entries, and the body of 4 kB that it is about."""
    id_ = UUID(int=subject.int + version)
    body = id_.bytes * 256
    return LogEntry(version, id_, TYPE, subject, None, AT, sha256(body).digest()), body


def rows(subject: UUID) -> Iterator[Logged]:
    head = b""
    for version in range(1, VERSIONS + 1):
        entry, _ = made_up(subject, version)
        head = entry.head_after(head)
        yield Logged(STREAM, str(subject), entry, head)


def records(subjects: list[UUID]) -> Iterator[Entry]:
    """Yield records as a topic has them: those of all subjects mixed, here by version."""
    heads = dict.fromkeys(subjects, b"")
    for offset, (version, subject) in enumerate(product(range(1, VERSIONS + 1), subjects)):
        entry, body = made_up(subject, version)
        heads[subject] = entry.head_after(heads[subject])
        headers = Envelope(
            id=entry.event_id,
            type=TYPE,
            source="/linepool/rfp",
            subject=str(subject),
            time=AT,
            sequence=version,
            correlation_id=subject,
            causation_id=entry.cause_id,
            log_head=heads[subject],
        ).to_headers()
        yield Entry(STREAM, 0, offset, None, body, tuple(headers), AT, read_headers(headers))


def audited(count: int) -> tuple[Report, int]:
    """Audit a log of so many subjects; return the report and the peak of what Python held, in bytes."""
    subjects = [UUID(int=1_000 * (number + 1)) for number in range(count)]
    tracemalloc.start()
    try:
        with Gathered("rfp") as gathered:
            gathered.topics = {STREAM: Topic()}
            coming = records(subjects)
            while batch := list(islice(coming, AT_A_TIME)):
                gathered.add_records(batch)
            for subject in subjects:
                *_, last = rows(subject)
                gathered.add_rows(rows(subject))
                gathered.add_end(STREAM, str(subject), End(VERSIONS, last.head))
            return judge(gathered), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_made_up_log_of_four_times_the_length_takes_no_more_memory() -> None:
    peaks = []
    for count in (100, 400):
        report, peak = audited(count)
        assert report.ok, str(report)
        assert (report.logs, report.entries) == (count, count * VERSIONS)
        peaks.append(peak)
    # Its 3,000 entries more have 12 MB of bodies, and 3 MB without them.
    assert peaks[1] < peaks[0] + SLACK_BYTES
