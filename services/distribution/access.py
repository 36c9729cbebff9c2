"""Decisions on access: why somebody who asked for a request is not shown it, and what is said about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from services.distribution.domain import Gate
from shared.adoption import AdoptedEvent
from shared.messages.bidding import AccessRequestReceived
from shared.messages.distribution import AccessGranted, AccessRefusalReason, AccessRefused

DETAILS: Mapping[AccessRefusalReason, str] = {
    "unknown_purchase": "There is no such request for you.",
    "suspended": "You are presented nothing at present.",
    "not_qualified": "The group's verification does not hold at present.",
    "deadline_passed": "The request's deadline has passed.",
    "cancelled": "The purchase was called off.",
    "superseded": "A newer version of the request was issued.",
}
"""What a provider reads beside the reason."""


@dataclass(frozen=True)
class SaidOfAccess:
    """What a restored service finds that it had already said about a request for access.

    `refused` is None where access was granted; `qualification` where no fact about the granting got out.
    """

    at: datetime
    refused: AccessRefusalReason | None
    qualification: int | None


def why_refused(
    gate: Gate | None, version: int, now: datetime, *, in_ledger: bool, barred: bool
) -> AccessRefusalReason:
    """Return why a version is not shown to a provider that asked for it.

    Whoever was never offered the version learns nothing at all about the purchase, not even whether it exists.

    Args:
        gate: None where nothing is known of the purchase.
        version: the version that was asked for.
        now: the time of the decision; only the clock may have gone on since the access was not granted.
        in_ledger: whether this version was offered or transmitted to the provider.
        barred: whether the provider is suspended or removed.
    """
    request = next((one for one in gate.requests if one.version == version), None) if gate else None
    if gate is None or request is None or not in_ledger:
        return "unknown_purchase"
    if barred:
        return "suspended"
    if gate.cancelled:
        return "cancelled"
    if gate.deadline_passed or request.deadline <= now:
        return "deadline_passed"
    if any(other.version > version for other in gate.requests):
        return "superseded"
    return "not_qualified"


def grant_fact(
    event: AccessRequestReceived, content_sha256: str, qualification: int, at: datetime
) -> AccessGranted:
    """Return the ledger's entry as a fact."""
    return AccessGranted(
        purchase_id=event.purchase_id,
        request_id=event.request_id,
        request_version=event.request_version,
        provider_id=event.provider_id,
        content_sha256=content_sha256,
        qualification=qualification,
        granted_at=at,
    )


def refusal_fact(event: AccessRequestReceived, reason: AccessRefusalReason) -> AccessRefused:
    """Return that the provider was shown nothing, and why."""
    return AccessRefused(
        purchase_id=event.purchase_id,
        request_id=event.request_id,
        request_version=event.request_version,
        provider_id=event.provider_id,
        message_id=event.message_id,
        reason=reason,
        detail=DETAILS[reason],
    )


def said_of_access(events: list[AdoptedEvent]) -> SaidOfAccess | None:
    """Return what the events of one decision on access say together; None where there are none."""
    if not events:
        return None
    at = min(event.decided_at for event in events)
    for event in events:
        if event.type == AccessRefused.type():
            return SaidOfAccess(at, AccessRefused.model_validate_json(event.body).reason, None)
        if event.type == AccessGranted.type():
            return SaidOfAccess(at, None, AccessGranted.model_validate_json(event.body).qualification)
    return SaidOfAccess(at, None, None)
