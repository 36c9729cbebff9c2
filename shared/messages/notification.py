"""What the notification service says: results to providers, and which mail went out."""

from typing import ClassVar
from uuid import UUID

from shared.messages.aggregation import Identifier
from shared.messages.base import Digest, Message, Number, Part
from shared.messages.bidding import Notice
from shared.messages.distribution import AccessRefusalReason


class NotificationEvent(Message):
    """A fact of the notification service about a mail to a person."""

    stream: ClassVar[str] = "notification.events"

    purchase_id: UUID | None
    """None where the mail is about the person alone, such as a code to a new address."""
    person_id: UUID

    @property
    def subject(self) -> str:
        """The purchase's id, or the person's where the mail belongs to no purchase."""
        return str(self.purchase_id or self.person_id)


class MailDelivered(NotificationEvent):
    """The mail server took a mail. Neither its text nor its address stands here."""

    kind: str
    message_id: str
    """The mail's `Message-ID`, derived from fact and person."""


class MailFailed(NotificationEvent):
    """A mail could not be delivered, and is not tried again."""

    kind: str
    message_id: str
    reason: str


class AwardedBuyer(Part):
    """A buyer, named to the winner."""

    buyer_id: UUID
    legal_name: str
    identifiers: tuple[Identifier, ...]


class AccessRefusalNotified(Notice):
    """To a provider that asked for access to a request and was shown nothing."""

    message_id: str
    """The `ce_id` that the provider gave."""
    request_version: Number
    reason: AccessRefusalReason
    detail: str


class AwardNotified(Notice):
    """To the winner: the group selected your reply, and who its members are. Propose your terms."""

    award: Number
    reply_id: UUID
    buyers: tuple[AwardedBuyer, ...]


class UnsuccessfulNotified(Notice):
    """To every other bidder, at the same moment: your own rank, and why."""

    reply_id: UUID
    rank: Number
    reason: str


class AcceptanceNotified(Notice):
    """To the winner: the group accepted exactly these terms."""

    award: Number
    terms_sha256: Digest


class RejectionNotified(Notice):
    """To the winner: the group rejected these terms; others may be proposed."""

    award: Number
    terms_sha256: Digest
    reason: str
