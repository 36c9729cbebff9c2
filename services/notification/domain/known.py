"""What has arrived about one purchase so far, as far as people and providers are told of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.notification import letters
from services.notification.domain.comparison import Comparison
from services.notification.domain.participation import Invitation
from shared.messages.aggregation import Identifier
from shared.messages.base import Message
from shared.messages.bidding import RepliesOpened


@dataclass(frozen=True)
class Buyer:
    """A member of the group, and the person to write to about it."""

    buyer_id: UUID
    legal_name: str
    identifiers: tuple[Identifier, ...]
    contact_id: UUID


@dataclass(frozen=True)
class Request:
    """What people are told of an issued version of the request."""

    title: str
    deadline: datetime
    custodian: str | None
    """The name of whoever holds the second key to the replies."""


@dataclass(frozen=True)
class Fact:
    """Something that people or providers are told about, and the id of the message that said it."""

    cause_id: UUID
    message: Message


@dataclass(frozen=True)
class Known:
    """All that has arrived about one purchase so far."""

    purchase_id: UUID
    coordinator_id: UUID | None = None
    member_ids: tuple[UUID, ...] | None = None
    """Set once the membership is frozen."""
    present: tuple[Buyer, ...] = ()
    """The members as the last fact about the group's membership left them."""
    needed: letters.Smallest | None = None
    """How large the group must become."""
    buyers: Mapping[UUID, Buyer] | None = None
    requests: Mapping[int, Request] | None = None
    comparisons: Mapping[str, Comparison] | None = None
    """By SHA-256; those whose parts are complete."""
    awards_told: frozenset[int] = frozenset()
    invitations: tuple[Invitation, ...] = ()
    opened: RepliesOpened | None = None
    """What bidding said when it opened the box."""

    @property
    def members(self) -> tuple[Buyer, ...] | None:
        """The members of the frozen group, or None while one of them is unknown."""
        buyers = self.buyers or {}
        if self.member_ids is None or any(buyer_id not in buyers for buyer_id in self.member_ids):
            return None
        return tuple(buyers[buyer_id] for buyer_id in self.member_ids)

    def request(self, version: int) -> Request | None:
        """A version of the request, or None while it has not arrived."""
        return (self.requests or {}).get(version)
