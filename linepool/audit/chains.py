"""Judges the log of one subject on one stream: by itself, and against what stands on the topic."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal
from uuid import UUID

from linepool.audit.evidence import TOPICS, End, Logged, Said, Topic
from shared.chain import LogEntry
from shared.messages import registry

Kind = Literal["edited", "deleted", "inserted", "reordered", "truncated", "forked"]


@dataclass(frozen=True)
class Finding:
    """One difference: what was done, as far as it shows, and where."""

    service: str
    kind: Kind
    place: str
    detail: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.service}: {self.kind}: {self.place}: {self.detail}"


@dataclass
class Book:
    """The log of one subject on one stream, and what was said of it.

    `topic` is None where no topic was read. `elsewhere` finds any event of the service by its id.
    """

    service: str
    stream: str
    subject: str
    rows: Sequence[Logged]
    end: End | None
    events: Sequence[Said]
    topic: Topic | None
    elsewhere: Callable[[UUID], Said | None]
    findings: list[Finding] = field(default_factory=list)
    not_compared: int = 0
    """Rows whose event the topic need not hold any more, or that there was no topic to compare with."""

    def judge(self) -> list[Finding]:
        """Return every difference."""
        rows = sorted(self.rows, key=lambda row: row.entry.sequence)
        broken = dict(self._links(rows))
        differing = dict(self._rows_and_events(rows, set(broken)))
        # What a comparison shows is more exact than that a link is broken.
        for version in sorted(broken.keys() | differing.keys()):
            self._find(*(differing.get(version) or broken[version]), version)
        self._end(rows)
        self._events_without_row(rows)
        self._events_among_themselves()
        return self.findings

    def _find(self, kind: Kind, detail: str, version: int) -> None:
        self.findings.append(
            Finding(self.service, kind, f"log of {self.stream} {self.subject} version {version}", detail)
        )

    def _links(self, rows: Sequence[Logged]) -> Iterator[tuple[int, tuple[Kind, str]]]:
        heads = {event.entry.sequence: event.head for event in self.events}
        head: bytes | None = b""
        last = 0
        for row in rows:
            version = row.entry.sequence
            if version <= last:
                yield version, ("forked", "two rows have this version")
                continue
            if version > last + 1:
                missing = (
                    f"version {last + 1}" if version == last + 2 else f"versions {last + 1} to {version - 1}"
                )
                yield last + 1, ("deleted", f"{missing} missing")
                head = heads.get(version - 1)
            if head is not None and row.entry.head_after(head) != row.head:
                yield version, ("edited", "the chain does not lead here")
            head, last = row.head, version

    def _end(self, rows: Sequence[Logged]) -> None:
        version, head = (rows[-1].entry.sequence, rows[-1].head) if rows else (0, b"")
        if self.end is None:
            if rows:
                self._find("deleted", "the subject's own row is missing", version)
        elif self.end.version > version:
            self._find("truncated", f"the subject is at version {self.end.version}", version + 1)
        elif self.end.version < version:
            self._find("inserted", f"the subject is at version {self.end.version}", version)
        elif self.end.head != head:
            self._find("edited", "the subject has another head than its last row", version)

    def _rows_and_events(
        self, rows: Sequence[Logged], broken: set[int]
    ) -> Iterator[tuple[int, tuple[Kind, str]]]:
        forked = False
        own: dict[UUID, Said] = {}
        for one in self.events:
            own.setdefault(one.entry.event_id, one)
        for row in rows:
            version = row.entry.sequence
            event = own.get(row.entry.event_id) or self.elsewhere(row.entry.event_id)
            if difference := self._without_event(version) if event is None else _difference(row, event):
                yield version, difference
            elif event is not None and event.head is not None and event.head != row.head:
                if version in broken:
                    yield version, ("edited", f"its head is not as on {event.place}")
                elif not forked:
                    forked = True
                    yield version, ("forked", f"from here on the heads are not as on {event.place}")

    def _without_event(self, version: int) -> tuple[Kind, str] | None:
        if self._need_not_be_there(version):
            self.not_compared += 1
            return None
        if any(event.entry.sequence == version for event in self.events):
            return "edited", "another event has this version"
        return "inserted", "it was never said"

    def _need_not_be_there(self, version: int) -> bool:
        if self.topic is None:
            return True
        left = [event.entry.sequence for event in self.events]
        if TOPICS[self.stream].cleanup_policy == "compact":
            return version < max(left, default=0) or (not left and self._is_erased())
        return bool(self.topic.cut) and version < min(left, default=version + 1)

    def _is_erased(self) -> bool:
        # Kafka forgets a tombstone too, some days after all that stood before it.
        newest = max(self.rows, key=lambda row: row.entry.sequence).entry.type if self.rows else ""
        by_us = newest in registry and registry[newest].tombstone
        return by_us or (self.topic is not None and self.subject in self.topic.erased)

    def _events_without_row(self, rows: Sequence[Logged]) -> None:
        ids = {row.entry.event_id for row in rows}
        versions = {row.entry.sequence for row in rows}
        for event in {event.entry.event_id: event for event in self.events}.values():
            version = event.entry.sequence
            if event.entry.event_id not in ids and version not in versions:
                at_the_end = rows and version > max(versions)
                self._find("truncated" if at_the_end else "deleted", f"{event.place} has no row", version)

    def _events_among_themselves(self) -> None:
        by_version: dict[int, list[Said]] = defaultdict(list)
        for event in self.events:
            by_version[event.entry.sequence].append(event)
        before: Said | None = None
        for version in sorted(by_version):
            first, *others = by_version[version]
            for other in others:
                if (other.entry, other.head) != (first.entry, first.head):
                    self._find_event(
                        "forked", other, f"{first.place} has the same version and says something else"
                    )
            head = (
                b""
                if version == 1
                else before.head
                if before and before.entry.sequence == version - 1
                else None
            )
            if head is not None and first.head is not None and first.entry.head_after(head) != first.head:
                self._find_event("edited", first, "the chain does not lead here")
            before = first

    def _find_event(self, kind: Kind, event: Said, detail: str) -> None:
        self.findings.append(Finding(self.service, kind, event.place, detail))


def _difference(row: Logged, event: Said) -> tuple[Kind, str] | None:
    if (event.stream, event.subject) != (row.stream, row.subject):
        return "edited", f"it was said of {event.subject} on {event.stream}"
    if event.entry.sequence != row.entry.sequence:
        return "reordered", f"it was said as version {event.entry.sequence}"
    names = [
        one.name for one in fields(LogEntry) if getattr(row.entry, one.name) != getattr(event.entry, one.name)
    ]
    return ("edited", f"not as on {event.place}: {', '.join(names)}") if names else None
