"""What bidding decides about a box: its stages, when it may be closed, and what is valid when it is opened."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from linepool.offers import validity
from shared.messages.providers import Offer
from shared.messages.rfp import DeadlinePassed, RequestIssued, ServiceNeed
from shared.outcomes import NotYet

Stage = Literal["awaited", "open", "closing", "opened", "compared", "cancelled"]
Place = tuple[str, int]
"""A topic and a partition."""

LISTED_REPLIES = 2_000
"""So many replies are named when a box is opened: more would not fit into one message."""


@dataclass(frozen=True)
class Request:
    """What bidding knows of the version of the request that stands."""

    version: int
    deadline: datetime
    provider_ids: frozenset[str]
    services: tuple[ServiceNeed, ...]
    currency: str
    tax_basis: str
    contract_months: int
    usage_digest: str
    issued_by: UUID

    @classmethod
    def issued(cls, event: RequestIssued, cause: UUID) -> "Request":
        """Take what matters here from the event."""
        return cls(
            version=event.request_version,
            deadline=event.deadline,
            provider_ids=frozenset(event.provider_ids),
            services=event.services,
            currency=event.currency,
            tax_basis=event.tax_basis,
            contract_months=event.contract_months,
            usage_digest=event.usage_digest,
            issued_by=cause,
        )


@dataclass(frozen=True)
class Box:
    """Where the replies of one purchase lie, as the facts made it; the stage follows from them."""

    purchase_id: UUID
    request: Request | None = None
    deadline_passed_by: UUID | None = None
    last_version: int | None = None
    """The version that stood when the deadline passed."""
    cancelled_by: UUID | None = None
    closing_ends: Mapping[Place, int] | None = None
    opened_at: datetime | None = None
    compared_at: datetime | None = None

    @property
    def stage(self) -> Stage:
        """Return the one stage that these facts mean, in whatever order they came.

        awaited -> open -> closing -> opened -> compared; cancelled from any of them, and for ever.
        """
        if self.cancelled_by is not None:
            return "cancelled"
        if self.compared_at is not None:
            return "compared"
        if self.opened_at is not None:
            return "opened"
        if self.request is None:
            return "awaited"
        if self.last_version is None or self.request.version < self.last_version:
            return "open"
        return "closing"

    def lists(self, provider_id: str) -> bool:
        """Whether the provider is on the frozen list; nobody is while the request is unknown."""
        return self.request is not None and provider_id in self.request.provider_ids


def issue(box: Box, event: RequestIssued, cause: UUID) -> Box | None:
    """Take a newer version of the request; None where it is no news."""
    if box.request is not None and box.request.version >= event.request_version:
        return None
    return replace(box, request=Request.issued(event, cause))


def pass_deadline(box: Box, event: DeadlinePassed, cause: UUID) -> Box | None:
    """Note that no further version can come; None where it is no news."""
    if box.deadline_passed_by is not None:
        return None
    return replace(box, deadline_passed_by=cause, last_version=event.request_version)


def cancel(box: Box, cause: UUID) -> Box | None:
    """Close everything; None where it is no news."""
    return None if box.cancelled_by is not None else replace(box, cancelled_by=cause)


def is_in_time(appended_at: datetime, deadline: datetime) -> bool:
    """In time means appended before the deadline; a message appended at the deadline is late."""
    return appended_at < deadline


def is_passed(ends: Mapping[Place, int], positions: Mapping[Place, int]) -> bool:
    """Whether everything before these ends has been taken."""
    return all(positions.get(place, 0) >= end for place, end in ends.items())


def may_read_ends(box: Box, now: datetime, *, skew: timedelta | None, allowance: timedelta) -> NotYet | None:
    """Whether no clock within the allowance of ours can append in time any more; if not, why."""
    if box.request is None or box.stage != "closing":
        return NotYet("not_closing", "The box is not to be closed.")
    if skew is None:
        return NotYet("skew_unknown", "The clocks have not been compared yet.")
    if skew > allowance:
        return NotYet("skew_too_large", "The clocks disagree by more than the allowance.")
    if now < box.request.deadline + allowance:
        return NotYet("allowance", "A broker's clock may still be before the deadline.")
    return None


@dataclass(frozen=True)
class StoredReply:
    """A receipted reply."""

    reply_id: UUID
    provider_id: str
    request_version: int
    revision: int
    appended_at: datetime
    offer: Offer


@dataclass(frozen=True)
class Standing:
    """What became of a reply when the box was opened."""

    reply: StoredReply
    standing: Literal["evaluated", "replaced", "invalid"]
    reason: str | None = None


@dataclass(frozen=True)
class Opening:
    """All that comes out of a box: each reply, by provider and falling revision, and who only declined."""

    standings: tuple[Standing, ...]
    declined: tuple[str, ...]

    @property
    def listed(self) -> tuple[Standing, ...]:
        """What the event names: all that were not replaced, then the newest others while there is room."""
        first = [one for one in self.standings if one.standing != "replaced"]
        others = [one for one in self.standings if one.standing == "replaced"]
        others.sort(key=lambda one: (one.reply.appended_at, one.reply.reply_id), reverse=True)
        return (*first, *others[: max(0, LISTED_REPLIES - len(first))])


def open_box(request: Request, replies: Iterable[StoredReply], declined: Iterable[str]) -> Opening:
    """Judge every reply: the latest revision of each provider stands or falls, the others are replaced."""
    standings: list[Standing] = []
    latest: set[str] = set()
    for reply in sorted(replies, key=lambda one: (one.provider_id, -one.revision)):
        if reply.provider_id in latest:
            standings.append(Standing(reply, "replaced"))
            continue
        latest.add(reply.provider_id)
        reasons = reasons_against(request, reply)
        standings.append(
            Standing(reply, "invalid", "; ".join(reasons)) if reasons else Standing(reply, "evaluated")
        )
    return Opening(tuple(standings), tuple(sorted(set(declined) - latest)))


def reasons_against(request: Request, reply: StoredReply) -> list[str]:
    """Return why the reply is no answer to this request, as sentences without subject; none where it is one."""
    reasons: list[str] = []
    if reply.request_version != request.version:
        reasons.append(f"answers version {reply.request_version}, version {request.version} stands")
    return [*reasons, *validity.reasons_against(request, reply.offer)]
