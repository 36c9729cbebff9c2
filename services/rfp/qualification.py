"""When a group is qualified: enough of it is verified, as far as the operator's policy asks, and nobody is refused.

Enough is the coordinator and so many buyers, for exactly the group's snapshot. Findings are judged one after another in the order
in which they were recorded, so the outcome is the same whether the group was known before them or became known after.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, get_args
from uuid import UUID

from shared.envelope import Actor
from shared.messages.rfp import (
    BuyerVerified,
    GroupNotQualified,
    GroupQualified,
    Level,
    QualificationLapsed,
    QualificationPolicy,
    RecordVerification,
)
from shared.outcomes import Refusal

Party = Literal["coordinator", "buyer"]
LEVELS: Mapping[Literal["address", "register", "document", "visit"], Level] = {
    "address": "address_confirmed",
    "register": "registry_matched",
    "document": "document_reviewed",
    "visit": "document_reviewed",
}
"""How far a party's identity was looked into, by what was looked at."""
_STRENGTH: Mapping[Level, int] = {level: strength for strength, level in enumerate(get_args(Level))}
Said = BuyerVerified | GroupNotQualified | GroupQualified | QualificationLapsed


@dataclass(frozen=True)
class FrozenGroup:
    """What is verified: exactly this snapshot, and the parties in it."""

    purchase_id: UUID
    snapshot: str
    coordinator_id: UUID
    buyer_ids: Collection[UUID]
    people: Collection[UUID]
    """Everyone who speaks or spoke for a buyer, or was invited to."""
    policy: QualificationPolicy


@dataclass(frozen=True)
class Verification:
    """A finding of the officer; `number` counts the purchase's findings, `cause_id` is the command that brought it."""

    number: int
    cause_id: UUID
    officer_id: UUID
    finding: RecordVerification


@dataclass(frozen=True)
class Qualification:
    """Where the group stands: its newest findings by party, the last number given, and until when that holds."""

    findings: Mapping[tuple[Party, UUID], RecordVerification]
    number: int
    valid_until: datetime | None
    """None: no qualification holds."""


def may_verify(officer: Actor) -> Refusal | None:
    """A finding needs a person who answers for it, or nobody could tell whether they belong to the group."""
    if officer.person_id.int == 0:
        return Refusal("no_actor", "The finding does not say which officer made it.")
    return None


def judge(
    group: FrozenGroup, before: Qualification, verification: Verification, now: datetime
) -> Refusal | tuple[Qualification, list[Said]]:
    """Take one finding into account; return where the group stands then and what there is to say, or why it does not count."""
    finding = verification.finding
    refusal = _counts(group, verification, now)
    if refusal is not None:
        return refusal
    party = (finding.party, finding.party_id)
    after = replace(before, findings={**before.findings, party: finding})
    said: list[Said] = []
    if finding.outcome == "refused":
        said.append(
            GroupNotQualified(
                purchase_id=group.purchase_id,
                snapshot=group.snapshot,
                party=finding.party,
                party_id=finding.party_id,
                reason=finding.reason or "refused",
            )
        )
        if after.valid_until is not None:
            after, lapsed = _lapse(group, after, "party_refused")
            said.append(lapsed)
        return after, said
    said.append(
        BuyerVerified(
            purchase_id=group.purchase_id,
            snapshot=group.snapshot,
            party=finding.party,
            party_id=finding.party_id,
            valid_until=finding.valid_until,
            level=LEVELS[finding.method],
        )
    )
    valid_until = _valid_until(group, after.findings)
    if after.valid_until is not None and (valid_until is None or valid_until < after.valid_until):
        reason = "level_lowered" if valid_until is None else "validity_shortened"
        after, lapsed = _lapse(group, after, reason)
        said.append(lapsed)
    if after.valid_until is None:
        after, qualified = _qualify(group, after, now)
        said.extend(qualified)
    return after, said


def lapse(group: FrozenGroup, before: Qualification, now: datetime) -> tuple[Qualification, list[Said]]:
    """End a qualification whose time is over; where newer findings carry on, the next number follows at once."""
    if before.valid_until is None or before.valid_until > now:
        return before, []
    after, lapsed = _lapse(group, before, "expired")
    after, qualified = _qualify(group, after, now)
    return after, [lapsed, *qualified]


def latest(findings: Iterable[RecordVerification]) -> dict[tuple[Party, UUID], RecordVerification]:
    """Return the newest finding about each party, from findings in the order in which they were recorded."""
    return {(one.party, one.party_id): one for one in findings}


def _counts(group: FrozenGroup, verification: Verification, now: datetime) -> Refusal | None:
    finding = verification.finding
    if verification.officer_id == group.coordinator_id or verification.officer_id in group.people:
        return Refusal("officer_is_member", "The officer belongs to the group that is to be verified.")
    if finding.snapshot != group.snapshot:
        return Refusal("other_snapshot", "The verification is for another snapshot of the group.")
    parties = group.buyer_ids if finding.party == "buyer" else (group.coordinator_id,)
    if finding.party_id not in parties:
        return Refusal("party_unknown", "The group has no such party.")
    if finding.outcome == "verified" and finding.valid_until <= now:
        return Refusal("expired", "The verification is no longer valid.")
    return None


def _valid_until(
    group: FrozenGroup, findings: Mapping[tuple[Party, UUID], RecordVerification]
) -> datetime | None:
    if any(finding.outcome == "refused" for finding in findings.values()):
        return None
    policy, everyone = group.policy, len(group.buyer_ids)
    needed = everyone if policy.buyers == "all" else min(policy.buyers, everyone)
    coordinator = _times(findings, "coordinator", policy.coordinator_level)
    buyers = _times(findings, "buyer", policy.buyer_level)
    if not coordinator or len(buyers) < needed:
        return None
    # Those that are valid longest carry the qualification; the first of them to end, ends it.
    return min(coordinator[0], buyers[needed - 1])


def _times(
    findings: Mapping[tuple[Party, UUID], RecordVerification], of: Party, level: Level
) -> list[datetime]:
    """Return until when the parties are verified whose findings reach this level, the longest first."""
    return sorted(
        (
            one.valid_until
            for (party, _), one in findings.items()
            if party == of and _STRENGTH[LEVELS[one.method]] >= _STRENGTH[level]
        ),
        reverse=True,
    )


def _qualify(group: FrozenGroup, before: Qualification, now: datetime) -> tuple[Qualification, list[Said]]:
    valid_until = _valid_until(group, before.findings)
    if valid_until is None or valid_until <= now:
        return before, []
    number = before.number + 1
    qualified = GroupQualified(
        purchase_id=group.purchase_id,
        number=number,
        snapshot=group.snapshot,
        valid_until=valid_until,
        policy=group.policy,
    )
    return replace(before, number=number, valid_until=valid_until), [qualified]


def _lapse(
    group: FrozenGroup, before: Qualification, reason: str
) -> tuple[Qualification, QualificationLapsed]:
    lapsed = QualificationLapsed(purchase_id=group.purchase_id, number=before.number, reason=reason)
    return replace(before, valid_until=None), lapsed
