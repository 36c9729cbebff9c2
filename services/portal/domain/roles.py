"""Who a person is in a purchase, judged from its facts."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from services.portal.domain.facts import Fact
from shared.messages import Message
from shared.messages.aggregation import BuyerJoined, BuyerLeft, GroupOpened
from shared.messages.base import Role
from shared.messages.people import AuditorAppointed, AuditorDismissed


@dataclass(frozen=True)
class Standing:
    """Who a person is in one purchase: their roles, and the buyers that they speak for."""

    person_id: UUID
    roles: frozenset[Role]
    buyer_ids: frozenset[UUID]

    @property
    def sees_all(self) -> bool:
        """Whether this person sees all but sealed content."""
        return bool(self.roles & {"coordinator", "auditor"})


def concerned_by(message: Message) -> frozenset[UUID]:
    """Return the persons who have to do with a purchase by this fact."""
    match message:
        case GroupOpened():
            return frozenset({message.coordinator_id})
        case BuyerJoined():
            return frozenset({message.contact_id})
        case AuditorAppointed():
            return frozenset({message.person_id})
        case _:
            return frozenset()


def standing(person_id: UUID, facts: Iterable[Fact]) -> Standing:
    """Judge who a person is now."""
    coordinates = audits = False
    buyers: dict[UUID, UUID] = {}
    for fact in sorted(facts, key=lambda one: one.number or 0):
        match fact.message:
            case GroupOpened() as opened:
                coordinates = opened.coordinator_id == person_id
            case BuyerJoined() as joined:
                buyers[joined.buyer_id] = joined.contact_id
            case BuyerLeft() as left:
                buyers.pop(left.buyer_id, None)
            case AuditorAppointed(person_id=auditor) if auditor == person_id:
                audits = True
            case AuditorDismissed(person_id=auditor) if auditor == person_id:
                audits = False
            case _:
                pass
    own = frozenset(buyer for buyer, contact in buyers.items() if contact == person_id)
    roles: dict[Role, bool] = {"coordinator": coordinates, "member": bool(own), "auditor": audits}
    return Standing(person_id, frozenset(role for role, holds in roles.items() if holds), own)
