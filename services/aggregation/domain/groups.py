"""What a group may do and when: who may give which order, how a usage report grows, and what closing freezes."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, assert_never
from uuid import UUID

from services.aggregation.domain.identifiers import may_identify
from shared.canonical import digest
from shared.envelope import Actor
from shared.messages.aggregation import (
    Identifier,
    LineUsage,
    OpenGroup,
    Period,
    ReportUsage,
    TaxBasis,
)
from shared.outcomes import Refusal

ReportState = Literal["collecting", "counts", "replaced", "withdrawn", "refused"]
"""collecting: parts miss. counts: complete, and the buyer's newest. replaced: a newer one counts. withdrawn: the buyer left.
refused: a line was bad. The last three are ends."""


@dataclass(frozen=True)
class Group:
    """A group for one purchase."""

    purchase_id: UUID
    name: str
    currency: str
    tax_basis: TaxBasis
    coordinator_id: UUID
    closed: bool
    dissolved: bool = False
    letters_required: bool = False


@dataclass(frozen=True)
class Buyer:
    """A member of a group, or a former one."""

    buyer_id: UUID
    legal_name: str
    identifiers: tuple[Identifier, ...]
    contact_id: UUID
    left: bool


@dataclass(frozen=True)
class Report:
    """A buyer's usage report; `number` counts the group's reports in the order in which they began."""

    report_id: UUID
    buyer_id: UUID
    number: int
    state: ReportState
    period: Period
    parts: int


@dataclass(frozen=True)
class Repeated:
    """The same again: nothing changes, and nothing is said."""


@dataclass(frozen=True)
class BadLine:
    """The report counts for nothing because of this line."""

    line_id: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Collected:
    """The part is taken. `completes`: it was the last one that missed; `replaces`: reports that count no longer then."""

    completes: bool
    replaces: tuple[UUID, ...]


def may_open(command: OpenGroup, actor: Actor) -> Refusal | None:
    """Only a person can open a group that they coordinate themselves."""
    if command.contact.person_id != actor.person_id:
        return Refusal("contact_not_actor", "The contact must be the person who opens the group.")
    return None


def may_coordinate(group: Group | None, actor: Actor) -> Refusal | None:
    """Only the group's own coordinator may give the coordinator's orders."""
    if group is None:
        return Refusal("group_unknown", "There is no such group.")
    if actor.person_id != group.coordinator_id:
        return Refusal("not_coordinator", "Only the group's coordinator may give this order.")
    return None


def may_speak_for(group: Group | None, buyer: Buyer | None, actor: Actor) -> Refusal | None:
    """The coordinator may speak for every buyer, a member only for the buyer whose contact person they are."""
    if group is None or actor.role != "member":
        refusal = may_coordinate(group, actor)
        if refusal is not None:
            return refusal
    elif buyer is None or actor.person_id != buyer.contact_id:
        return Refusal("not_member", "Only a buyer's contact person may speak for it.")
    if buyer is None or buyer.left:
        return Refusal("buyer_unknown", "The group has no such buyer.")
    return None


def may_change(group: Group) -> Refusal | None:
    """Nothing of a group changes that is closed or given up."""
    if group.dissolved:
        return Refusal("group_dissolved", "The group was given up; nothing more is taken for it.")
    if group.closed:
        return Refusal("group_closed", "The group is closed; its membership and usage are frozen.")
    return None


def join(group: Group, buyers: Sequence[Buyer], joining: Buyer) -> Refusal | Repeated | None:
    """Decide whether the organisation becomes a member.

    An id that was used before is not used again, and no organisation is a member twice, under whatever id.
    """
    buyer = next((one for one in buyers if one.buyer_id == joining.buyer_id), None)
    if buyer is None:
        refusal = may_identify(joining.identifiers)
        if refusal is not None:
            return refusal
        entries = {(one.scheme, one.id.upper()) for one in joining.identifiers}
        members = (one for one in buyers if not one.left)
        if any(
            (entry.scheme, entry.id.upper()) in entries for member in members for entry in member.identifiers
        ):
            return Refusal(
                "organisation_is_member", "An organisation with this register entry is a member already."
            )
        return may_change(group)
    if buyer.left:
        return Refusal("buyer_left", "This buyer has left; an id is not used twice in a group.")
    if (buyer.legal_name, buyer.identifiers, buyer.contact_id) == (
        joining.legal_name,
        joining.identifiers,
        joining.contact_id,
    ):
        return Repeated()
    return Refusal("buyer_exists", "The group has a buyer with this id and other details.")


def leave(group: Group, buyer: Buyer | None) -> Refusal | Repeated | None:
    """Decide whether a buyer leaves the group."""
    if buyer is None:
        return Refusal("buyer_unknown", "The group has no such buyer.")
    return Repeated() if buyer.left else may_change(group)


def take_part(
    group: Group, command: ReportUsage, reports: Sequence[Report], known_parts: Mapping[int, str], sha256: str
) -> Refusal | Repeated | BadLine | Collected:
    """Decide about one part of a usage report.

    Args:
        group: the group, its buyer already checked.
        command: the part.
        reports: all reports of the group.
        known_parts: the hashes of this report's parts that were taken before, by number.
        sha256: this part's hash.
    """
    report = next((one for one in reports if one.report_id == command.report_id), None)
    if report is not None:
        refusal = _fits(report, command)
        if refusal is not None:
            return refusal
        if known_parts.get(command.part) == sha256 and report.state != "refused":
            return Repeated()
    refusal = may_change(group) or _still_open(report) or _agrees(command, reports, known_parts)
    if refusal is not None:
        return refusal
    repeated = duplicate_line(command.lines)
    if repeated is not None:
        return repeated
    number = report.number if report else next_number(reports)
    return Collected(
        completes=len(known_parts) + 1 == command.parts,
        replaces=tuple(
            one.report_id
            for one in _standing(reports)
            if one.buyer_id == command.buyer_id and one.number < number
        ),
    )


def _fits(report: Report, command: ReportUsage) -> Refusal | None:
    if (report.buyer_id, report.period, report.parts) != (command.buyer_id, command.period, command.parts):
        return Refusal("report_changed", "The report began with another buyer, period or number of parts.")
    return None


def _still_open(report: Report | None) -> Refusal | None:
    match report.state if report else "collecting":
        case "refused":
            return Refusal("report_refused", "A line of this report was bad; report again under a new id.")
        case "replaced" | "withdrawn":
            return Refusal("report_replaced", "This report no longer counts.")
        case "collecting" | "counts":
            return None
        case never:
            assert_never(never)


def _agrees(
    command: ReportUsage, reports: Sequence[Report], known_parts: Mapping[int, str]
) -> Refusal | None:
    if command.part in known_parts:
        return Refusal("part_changed", "This part of the report was taken with other content.")
    # A buyer alone may move to another period by a newer report; against others it would mix periods.
    if any(one.period != command.period for one in _standing(reports) if one.buyer_id != command.buyer_id):
        return Refusal("period_differs", "The group's usage is reported for another period.")
    return None


def duplicate_line(lines: Sequence[LineUsage], already: Collection[str] = ()) -> BadLine | None:
    """Name the first line that stands twice among these lines, or is among those taken already."""
    counted = Counter(line.line_id for line in lines)
    for line in lines:
        if counted[line.line_id] > 1 or line.line_id in already:
            return BadLine(line.line_id, "line_duplicate", f"Line {line.line_id} stands twice in the report.")
    return None


def next_number(reports: Sequence[Report]) -> int:
    """Return the number of a report that begins now."""
    return max((one.number for one in reports), default=0) + 1


def _standing(reports: Iterable[Report]) -> list[Report]:
    return [one for one in reports if one.state in {"collecting", "counts"}]


def close(group: Group, buyers: Sequence[Buyer], reports: Sequence[Report]) -> Refusal | dict[UUID, Report]:
    """Return the report that counts for each buyer, in the order of their ids, or why the group cannot be closed."""
    refusal = may_change(group)
    if refusal is not None:
        return refusal
    members = sorted((one.buyer_id for one in buyers if not one.left), key=str)
    if not members:
        return Refusal("no_buyers", "The group has no buyers.")
    if any(one.state == "collecting" for one in reports):
        return Refusal("parts_missing", "Parts of a usage report are missing.")
    counting = {one.buyer_id: one for one in reports if one.state == "counts"}
    if any(member not in counting for member in members):
        return Refusal("usage_missing", "A buyer has not reported its usage.")
    return {member: counting[member] for member in members}


def snapshot(group: Group, buyers: Sequence[Buyer], period: Period, usage_digest: str) -> str:
    """Return the hash of what is verified: the group, its members' identities, and their usage."""
    content: dict[str, Any] = {
        "purchase_id": str(group.purchase_id),
        "name": group.name,
        "currency": group.currency,
        "tax_basis": group.tax_basis,
        "coordinator_id": str(group.coordinator_id),
        "buyers": [
            {
                "buyer_id": str(buyer.buyer_id),
                "legal_name": buyer.legal_name,
                "identifiers": [{"scheme": one.scheme, "id": one.id} for one in buyer.identifiers],
                "contact_id": str(buyer.contact_id),
            }
            for buyer in sorted(buyers, key=lambda one: str(one.buyer_id))
            if not buyer.left
        ],
        "period": {"start": _day(period.start), "end": _day(period.end), "months": period.months},
        "usage_digest": usage_digest,
    }
    return digest(content)


def _day(day: date) -> str:
    return day.isoformat()
