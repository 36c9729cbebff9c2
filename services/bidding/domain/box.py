"""What bidding decides about a box: its stages, when it may be closed, and what is valid when it is opened."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from linepool.offers import validity
from shared.messages.bidding import Acknowledgement
from shared.messages.providers import Offer
from shared.messages.rfp import DeadlinePassed, RequestIssued, ServiceNeed
from shared.outcomes import NotYet

Stage = Literal["awaited", "open", "closing", "closed", "opened", "compared", "cancelled"]
Seal = Literal["none", "hpke"]
Place = tuple[str, int]
"""A topic and a partition."""

LISTED_REPLIES = 2_000
"""So many replies are named when a box is opened: more would not fit into one message."""
LISTED_ACKNOWLEDGEMENTS = 2_000
"""So many acknowledgements are named beside them, those of the newest versions first."""


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
    seal: Seal = "none"
    """How replies to this version must be sealed."""
    custodian_key: str | None = None
    """The public key for which offers are sealed beside the opener's, in base64."""

    @classmethod
    def issued(cls, event: RequestIssued, cause: UUID, seal: Seal) -> "Request":
        """Take what matters here from the event; what has a custodian is sealed in any case."""
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
            seal="hpke" if event.custodian else seal,
            custodian_key=event.custodian.public_key if event.custodian else None,
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
    ready_version: int | None = None
    """The newest version of which was said that replies to it can be taken."""
    closed_at: datetime | None = None
    opened_at: datetime | None = None
    compared_at: datetime | None = None

    @property
    def stage(self) -> Stage:
        """Return the one stage that these facts mean, in whatever order they came.

        awaited -> open -> closing -> closed -> opened -> compared; cancelled from any of them, and for ever.
        """
        reached: tuple[tuple[bool, Stage], ...] = (
            (self.cancelled_by is not None, "cancelled"),
            (self.compared_at is not None, "compared"),
            (self.opened_at is not None, "opened"),
            (self.closed_at is not None, "closed"),
            (self.request is None, "awaited"),
            (self._is_last_version(), "closing"),
        )
        return next((stage for holds, stage in reached if holds), "open")

    def _is_last_version(self) -> bool:
        return (
            self.request is not None
            and self.last_version is not None
            and self.request.version >= self.last_version
        )

    def lists(self, provider_id: str) -> bool:
        """Whether the provider is on the frozen list; nobody is while the request is unknown."""
        return self.request is not None and provider_id in self.request.provider_ids


def issue(box: Box, event: RequestIssued, cause: UUID, seal: Seal) -> Box | None:
    """Take a newer version of the request; None where it is no news. A box that is not sealed needs no key to be ready."""
    if box.request is not None and box.request.version >= event.request_version:
        return None
    request = Request.issued(event, cause, seal)
    ready = request.version if request.seal == "none" else box.ready_version
    return replace(box, request=request, ready_version=ready)


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
class NoOffer:
    """Why a reply that stands in the box holds no offer, as a sentence without subject; it quotes nothing."""

    reason: str


@dataclass(frozen=True)
class StoredReply:
    """A receipted reply. What does not stand in a sealed box is never opened, so nobody knows its offer."""

    reply_id: UUID
    provider_id: str
    request_version: int
    revision: int
    appended_at: datetime
    offer: Offer | NoOffer | None
    withdrawn: bool = False


@dataclass(frozen=True)
class Standing:
    """What became of a reply when the box was opened."""

    reply: StoredReply
    standing: Literal["evaluated", "replaced", "withdrawn", "invalid"]
    reason: str | None = None


@dataclass(frozen=True)
class Opening:
    """All that comes out of a box: each reply, by provider and falling revision, and who only declined."""

    standings: tuple[Standing, ...]
    declined: tuple[str, ...]
    acknowledged: tuple[Acknowledgement, ...] = ()

    @property
    def listed(self) -> tuple[Standing, ...]:
        """What the event names: all that were not replaced, then the newest others while there is room."""
        first = [one for one in self.standings if one.standing != "replaced"]
        others = [one for one in self.standings if one.standing == "replaced"]
        others.sort(key=lambda one: (one.reply.appended_at, one.reply.reply_id), reverse=True)
        return (*first, *others[: max(0, LISTED_REPLIES - len(first))])


def open_box(
    request: Request,
    replies: Iterable[StoredReply],
    declined: Iterable[str],
    acknowledged: Iterable[Acknowledgement] = (),
) -> Opening:
    """Judge every reply: the latest revision of each provider stands or falls, the others are replaced.

    What was replaced does not come back: not where the latest revision is invalid, and not where it was withdrawn.
    """
    standings: list[Standing] = []
    latest: set[str] = set()
    bidders: set[str] = set()
    for reply in sorted(replies, key=lambda one: (one.provider_id, -one.revision)):
        if reply.withdrawn or reply.provider_id in latest:
            standings.append(Standing(reply, "withdrawn" if reply.withdrawn else "replaced"))
            latest.add(reply.provider_id)
            continue
        latest.add(reply.provider_id)
        bidders.add(reply.provider_id)
        reasons = reasons_against(request, reply)
        standings.append(
            Standing(reply, "invalid", "; ".join(reasons)) if reasons else Standing(reply, "evaluated")
        )
    newest_first = sorted(acknowledged, key=lambda one: (-one.request_version, one.provider_id))
    known = [one for one in newest_first if one.request_version <= request.version]
    return Opening(
        tuple(standings), tuple(sorted(set(declined) - bidders)), tuple(known[:LISTED_ACKNOWLEDGEMENTS])
    )


def reasons_against(request: Request, reply: StoredReply) -> list[str]:
    """Return why the reply is no answer to this request, as sentences without subject; none where it is one."""
    offer = reply.offer
    if offer is None:
        raise ValueError("a reply that stands is judged by its content, and nobody has opened it")
    if isinstance(offer, NoOffer):
        return [offer.reason]
    reasons: list[str] = []
    if reply.request_version != request.version:
        reasons.append(f"answers version {reply.request_version}, version {request.version} stands")
    return [*reasons, *validity.reasons_against(request, offer)]
