"""Who of the invited providers was shown, acknowledged or declined the request: for the coordinator, after the deadline."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.notification.letters import Participant
from shared.messages.base import ProviderId
from shared.messages.bidding import RepliesOpened
from shared.messages.rfp import Mode


@dataclass(frozen=True)
class Invitation:
    """What distribution said of one provider and one version; None is what has not arrived."""

    request_version: int
    provider_id: ProviderId
    name: str | None
    mode: Mode | None
    granted_at: datetime | None


def participants(
    invitations: Sequence[Invitation], opened: RepliesOpened | None, request_version: int
) -> tuple[Participant, ...]:
    """Return the invited providers of a version, sorted by id.

    Args:
        invitations: those of the purchase.
        opened: what bidding said when it opened the box; None where it has not arrived.
        request_version: the version that was replied to.
    """
    acknowledged = {
        one.provider_id: one.acknowledged_at
        for one in (opened.acknowledged if opened else ())
        if one.request_version == request_version
    }
    declined = opened.declined if opened else ()
    return tuple(
        Participant(
            provider_id=one.provider_id,
            name=one.name or "",
            access=one.mode == "transmit" or one.granted_at is not None,
            granted_at=one.granted_at,
            acknowledged_at=acknowledged.get(one.provider_id),
            declined=one.provider_id in declined,
        )
        for one in sorted(invitations, key=lambda one: one.provider_id)
        if one.request_version == request_version
    )
