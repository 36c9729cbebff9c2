"""What happened."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from pydantic import BaseModel

from services.portal.domain.facts import Fact
from services.portal.domain.roles import Standing
from shared.messages import OrderRefused
from shared.messages.bidding import (
    QuestionReceived,
)
from shared.messages.distribution import AccessGranted, AccessRefused, ProviderInvited
from shared.messages.evidence import EvidenceFiled, LetterFiled
from shared.messages.notification import MailDelivered, MailFailed
from shared.messages.people import BuyerInvited, InvitationRevoked
from shared.messages.rfp import (
    BuyerVerified,
    GroupNotQualified,
)


class SeenFact(BaseModel):
    """An entry of the purchase's history."""

    id: UUID
    type: str
    said_at: datetime
    ordered_by: UUID | None
    reason: str | None = None
    """Where an order was refused."""


_NOT_FOR_MEMBERS = (
    ProviderInvited,
    AccessGranted,
    AccessRefused,
    QuestionReceived,
    BuyerInvited,
    InvitationRevoked,
)


def history(facts: Iterable[Fact], who: Standing) -> list[SeenFact]:
    """Return what happened, in the order in which it was said, which is the same after a portal has read everything anew.

    A member sees neither others' mails and papers nor others' refused orders.
    """
    return [
        SeenFact(
            id=fact.event_id,
            type=fact.type,
            said_at=fact.said_at,
            ordered_by=fact.ordered_by if who.sees_all or fact.ordered_by == who.person_id else None,
            reason=fact.message.reason if isinstance(fact.message, OrderRefused) else None,
        )
        for fact in sorted(facts, key=lambda one: (one.said_at, one.event_id))
        if who.sees_all or not _is_of_others(fact, who)
    ]


def _is_of_others(fact: Fact, who: Standing) -> bool:
    message = fact.message
    if isinstance(message, OrderRefused):
        return fact.ordered_by != who.person_id
    if isinstance(message, MailDelivered | MailFailed):
        return message.person_id != who.person_id
    if isinstance(message, LetterFiled):
        return message.buyer_id not in who.buyer_ids
    if isinstance(message, EvidenceFiled | GroupNotQualified | BuyerVerified):
        return message.party_id not in who.buyer_ids
    return isinstance(
        message,
        ProviderInvited | AccessGranted | AccessRefused | QuestionReceived | BuyerInvited | InvitationRevoked,
    )
