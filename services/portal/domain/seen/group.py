"""Who belongs to the group."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from uuid import UUID

from pydantic import BaseModel

from services.portal.domain.facts import Fact, of_type
from services.portal.domain.roles import Standing
from shared.messages.aggregation import (
    BillingPreferences,
    BillingPreferencesSet,
    BuyerJoined,
    BuyerLeft,
    Identifier,
    UsageReported,
)
from shared.messages.evidence import LetterFiled
from shared.messages.people import BuyerInvited, InvitationRevoked
from shared.messages.rfp import (
    BuyerVerified,
    GroupNotQualified,
)


class SeenBuyer(BaseModel):
    """A member of the group."""

    buyer_id: UUID
    legal_name: str
    identifiers: tuple[Identifier, ...]
    verified: str | None
    """The level of the newest finding; None where there is none or it was refused."""
    verified_until: datetime | None
    letter_until: date | None
    """How long its letter of agency holds."""
    usage_lines: int | None
    """Of its report that counts; None where it has reported none."""
    preferences: BillingPreferences | None


class SeenInvitation(BaseModel):
    """An invitation to join that nobody has accepted so far."""

    invitation_id: UUID
    legal_name: str
    expires_at: datetime


class SeenBuyers(BaseModel):
    """Who belongs to the group: a member sees itself, and how many there are."""

    count: int
    usage_lines: int
    buyers: list[SeenBuyer]
    invitations: list[SeenInvitation]


def buyers(facts: Sequence[Fact], who: Standing) -> SeenBuyers:
    """Return who belongs to the group."""
    joined = {one.buyer_id: one for _, one in of_type(facts, BuyerJoined)}
    for _, left in of_type(facts, BuyerLeft):
        joined.pop(left.buyer_id, None)
    lines = {one.buyer_id: one.lines for _, one in of_type(facts, UsageReported) if one.buyer_id in joined}
    letters = {one.buyer_id: one.agency.valid_until for _, one in of_type(facts, LetterFiled)}
    preferences = {one.buyer_id: one.preferences for _, one in of_type(facts, BillingPreferencesSet)}
    verified = _verified(facts)
    return SeenBuyers(
        count=len(joined),
        usage_lines=sum(lines.values()),
        buyers=[
            SeenBuyer(
                buyer_id=one.buyer_id,
                legal_name=one.legal_name,
                identifiers=one.identifiers,
                verified=verified[one.buyer_id].level if one.buyer_id in verified else None,
                verified_until=verified[one.buyer_id].valid_until if one.buyer_id in verified else None,
                letter_until=letters.get(one.buyer_id),
                usage_lines=lines.get(one.buyer_id),
                preferences=preferences.get(one.buyer_id),
            )
            for one in joined.values()
            if who.sees_all or one.buyer_id in who.buyer_ids
        ],
        invitations=[
            SeenInvitation(
                invitation_id=one.invitation_id, legal_name=one.legal_name, expires_at=one.expires_at
            )
            for one in _invited(facts, joined.values())
        ]
        if who.sees_all
        else [],
    )


def _verified(facts: Sequence[Fact]) -> dict[UUID, BuyerVerified]:
    found: dict[UUID, BuyerVerified] = {}
    for fact in facts:
        match fact.message:
            case BuyerVerified() as verified:
                found[verified.party_id] = verified
            case GroupNotQualified(party_id=party_id):
                found.pop(party_id, None)
            case _:
                pass
    return found


def _invited(facts: Sequence[Fact], joined: Iterable[BuyerJoined]) -> list[BuyerInvited]:
    revoked = {one.invitation_id for _, one in of_type(facts, InvitationRevoked)}
    accepted = {one.contact_id for one in joined}
    newest_of = {one.invitation_id: one for _, one in of_type(facts, BuyerInvited)}
    return [
        one
        for one in newest_of.values()
        if one.invitation_id not in revoked and one.contact_id not in accepted
    ]
