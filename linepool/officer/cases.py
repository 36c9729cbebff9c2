"""What the events say of each group that an officer verifies: its parties, what they filed, and what was found."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from linepool.client.journal import Entry
from shared.messages import Message
from shared.messages.aggregation import (
    BuyerJoined,
    BuyerLeft,
    GroupAggregated,
    GroupDissolved,
    GroupOpened,
    Identifier,
)
from shared.messages.evidence import Agency, EvidenceFiled, LetterFiled, Party
from shared.messages.people import AddressConfirmed
from shared.messages.rfp import (
    BuyerVerified,
    GroupNotQualified,
    GroupQualified,
    Level,
    QualificationLapsed,
    QualificationPolicy,
    RequestCancelled,
    RequestDrafted,
)

Who = tuple[Party, UUID]


@dataclass(frozen=True)
class Filed:
    """A document about a party; a letter of agency says what it allows."""

    kind: str
    sha256: str
    size: int
    filed_at: datetime
    agency: Agency | None = None


@dataclass(frozen=True)
class Found:
    """The newest finding about a party that counts."""

    outcome: Literal["verified", "refused"]
    found_at: datetime
    level: Level | None = None
    valid_until: datetime | None = None
    reason: str | None = None

    def holds(self, now: datetime) -> bool:
        """Return whether the party is verified now."""
        return self.outcome == "verified" and self.valid_until is not None and self.valid_until > now


@dataclass
class Subject:
    """A party of a group: who it is, whom it is reached through, and what there is about it."""

    who: Who
    legal_name: str
    person_id: UUID
    identifiers: tuple[Identifier, ...] = ()
    address_confirmed: bool = False
    filed: list[Filed] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    """In their order; the last counts."""

    def level(self, now: datetime) -> Level | None:
        """Return the level at which the party is verified now, or None."""
        return self.found[-1].level if self.found and self.found[-1].holds(now) else None


@dataclass
class Case:
    """A group, as far as it concerns who verifies it."""

    purchase_id: UUID
    name: str
    subjects: dict[Who, Subject]
    snapshot: str | None = None
    policy: QualificationPolicy | None = None
    waiting_since: datetime | None = None
    """When it was closed, or when its qualification lapsed; None while it is open."""
    qualified: GroupQualified | None = None
    ended: bool = False

    def is_qualified(self, now: datetime) -> bool:
        """Return whether a qualification holds."""
        return self.qualified is not None and self.qualified.valid_until > now

    def waits(self, now: datetime) -> bool:
        """Return whether an officer has something to do."""
        return self.snapshot is not None and not self.ended and not self.is_qualified(now)

    def needed(self, party: Party) -> Level | None:
        """Return the level that the operator asks for of such a party."""
        if self.policy is None:
            return None
        return self.policy.coordinator_level if party == "coordinator" else self.policy.buyer_level


def read_cases(entries: Iterable[Entry]) -> dict[UUID, Case]:
    """Return every group by its purchase, as aggregation's and rfp's events leave it.

    Order holds within a partition only, so aggregation's events are read before rfp's: none of those comes before its cause.
    """
    known = list(entries)
    cases: dict[UUID, Case] = {}
    confirmed: set[UUID] = set()
    for topic, types in (("aggregation.events", _OF_AGGREGATION), ("rfp.events", _OF_RFP)):
        for entry in known:
            if entry.topic != topic:
                continue
            message = next((found for type_ in types if (found := entry.says(type_))), None)
            if isinstance(message, AddressConfirmed):
                confirmed.add(message.person_id)
            elif message is not None:
                _learn(cases, message, entry.envelope.time or entry.appended_at)
    for case in cases.values():
        for subject in case.subjects.values():
            subject.address_confirmed = subject.person_id in confirmed
    return cases


_OF_AGGREGATION: tuple[type[Message], ...] = (
    GroupOpened,
    BuyerJoined,
    BuyerLeft,
    EvidenceFiled,
    LetterFiled,
    GroupAggregated,
    GroupDissolved,
    AddressConfirmed,
)
_OF_RFP: tuple[type[Message], ...] = (
    RequestDrafted,
    BuyerVerified,
    GroupNotQualified,
    GroupQualified,
    QualificationLapsed,
    RequestCancelled,
)


def _learn(cases: dict[UUID, Case], message: Message, at: datetime) -> None:
    if isinstance(message, GroupOpened):
        who: Who = ("coordinator", message.coordinator_id)
        subject = Subject(who, f"coordinator of {message.name}", message.coordinator_id)
        cases.setdefault(message.purchase_id, Case(message.purchase_id, message.name, {who: subject}))
        return
    case = cases.get(getattr(message, "purchase_id", UUID(int=0)))
    if case is None:
        return
    _learn_of_parties(case, message, at)
    _learn_of_group(case, message, at)


def _learn_of_parties(case: Case, message: Message, at: datetime) -> None:
    match message:
        case BuyerJoined():
            who: Who = ("buyer", message.buyer_id)
            case.subjects[who] = Subject(who, message.legal_name, message.contact_id, message.identifiers)
        case BuyerLeft():
            case.subjects.pop(("buyer", message.buyer_id), None)
        case EvidenceFiled():
            filed = Filed(message.kind, message.sha256, message.size, at)
            _file(case.subjects, (message.party, message.party_id), filed)
        case LetterFiled():
            letter = Filed("letter_of_agency", message.sha256, message.size, at, message.agency)
            _file(case.subjects, ("buyer", message.buyer_id), letter)
        case BuyerVerified():
            found = Found("verified", at, message.level, message.valid_until)
            _find(case.subjects, (message.party, message.party_id), found)
        case GroupNotQualified():
            found = Found("refused", at, reason=message.reason)
            _find(case.subjects, (message.party, message.party_id), found)


def _learn_of_group(case: Case, message: Message, at: datetime) -> None:
    match message:
        case GroupAggregated():
            case.snapshot, case.waiting_since = message.snapshot, at
        case GroupDissolved() | RequestCancelled():
            case.ended = True
        case RequestDrafted():
            case.policy = message.policy
        case GroupQualified():
            case.qualified = message
        case QualificationLapsed():
            if case.qualified is not None and case.qualified.number == message.number:
                case.qualified, case.waiting_since = None, at


def _file(subjects: Mapping[Who, Subject], who: Who, filed: Filed) -> None:
    if who in subjects:
        subjects[who].filed.append(filed)


def _find(subjects: Mapping[Who, Subject], who: Who, found: Found) -> None:
    if who in subjects:
        subjects[who].found.append(found)
