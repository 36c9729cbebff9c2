"""How far a purchase has come, what it waits for, and since when: judged from its facts."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from services.portal.domain.facts import Fact, newest
from shared.messages import Message
from shared.messages.aggregation import GroupAggregated, GroupDissolved, GroupOpened
from shared.messages.bidding import (
    CustodianKeyReleased,
    ProviderSelected,
    RepliesCompared,
    RepliesOpened,
    TermsAccepted,
    TermsPresented,
    TermsRejected,
)
from shared.messages.distribution import RequestDistributed
from shared.messages.rfp import (
    DeadlinePassed,
    GroupNotQualified,
    GroupQualified,
    QualificationLapsed,
    RequestCancelled,
    RequestIssued,
)

Stage = Literal[
    "forming",
    "closed",
    "issued",
    "distributed",
    "deadline_passed",
    "opened",
    "compared",
    "selected",
    "terms_presented",
    "complete",
    "no_replies",
    "cancelled",
    "dissolved",
]
_REACHED: dict[type[Message], Stage] = {
    GroupOpened: "forming",
    GroupAggregated: "closed",
    RequestIssued: "issued",
    RequestDistributed: "distributed",
    DeadlinePassed: "deadline_passed",
    RepliesOpened: "opened",
    RepliesCompared: "compared",
    ProviderSelected: "selected",
    TermsPresented: "terms_presented",
    TermsRejected: "selected",
    TermsAccepted: "complete",
    RequestCancelled: "cancelled",
    GroupDissolved: "dissolved",
}
_ORDER: tuple[Stage, ...] = (
    "forming",
    "closed",
    "issued",
    "distributed",
    "deadline_passed",
    "opened",
    "compared",
)
_WAITS: dict[Stage, str] = {
    "forming": "the coordinator to close the group",
    "closed": "the coordinator to describe the need, list providers and issue the request",
    "issued": "the officer to verify the group",
    "distributed": "the deadline for replies",
    "deadline_passed": "the replies to be opened",
    "opened": "the replies to be compared",
    "compared": "the group to select a reply",
    "selected": "the selected provider to present its terms",
    "terms_presented": "the group to accept or reject the terms",
    "complete": "",
    "no_replies": "",
    "cancelled": "",
    "dissolved": "",
}


class Progress(BaseModel):
    """How far a purchase has come."""

    stage: Stage
    since: datetime
    waits_for: str
    """Who or what it waits for, in words; empty where it is over."""
    qualified_until: datetime | None
    """Until when the group's qualification holds; None where there is none."""


def progress(facts: Sequence[Fact]) -> Progress | None:
    """Judge how far a purchase has come; None before its group is open.

    The steps' facts come from several services and reach the portal in any order, so up to the comparison the furthest step
    counts. From the selection on all facts come from one service, in order.
    """
    reached: tuple[Stage, datetime] | None = None
    qualified_until: datetime | None = None
    for fact in sorted(facts, key=lambda one: one.number or 0):
        match fact.message:
            case GroupQualified() as qualified:
                qualified_until = qualified.valid_until
            case QualificationLapsed() | GroupNotQualified():
                qualified_until = None
            case RepliesOpened() as opened if not any(one.standing == "evaluated" for one in opened.replies):
                reached = ("no_replies", fact.said_at)
            case message if stage := _REACHED.get(type(message)):
                reached = _further(reached, (stage, fact.said_at))
            case _:
                pass
    if reached is None:
        return None
    stage, since = reached
    waits_for = _WAITS[stage]
    if stage == "deadline_passed" and _needs_key(facts):
        waits_for = "the custodian's key, which the coordinator hands in"
    if stage == "issued" and qualified_until:
        waits_for = "the request to be distributed"
    return Progress(stage=stage, since=since, waits_for=waits_for, qualified_until=qualified_until)


def _needs_key(facts: Sequence[Fact]) -> bool:
    issued = newest(facts, RequestIssued)
    has_custodian = issued is not None and issued.custodian is not None
    return has_custodian and newest(facts, CustodianKeyReleased) is None


def _further(before: tuple[Stage, datetime] | None, now: tuple[Stage, datetime]) -> tuple[Stage, datetime]:
    if before is None:
        return now
    if before[0] in {"complete", "no_replies", "cancelled", "dissolved"}:
        return before
    if now[0] in _ORDER and (before[0] not in _ORDER or _ORDER.index(now[0]) <= _ORDER.index(before[0])):
        return before
    return now
