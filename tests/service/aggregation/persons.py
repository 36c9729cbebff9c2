"""A group's persons: what they order, and what notification alone can read of what they are sent."""

from typing import Any
from uuid import UUID, uuid4

from argon2 import PasswordHasher

from services.notification.sealed import sealing_key
from shared.envelope import Actor
from shared.messages.aggregation import Contact, CredentialAssigned, Identifier
from shared.messages.people import (
    AddressCodeAssigned,
    AppointAuditor,
    ChangeContact,
    ConfirmAddress,
    InvitationLinkAssigned,
    InviteBuyer,
    JoinGroup,
    SpendPassword,
)
from shared.sealing import address_code_info, invitation_info, open_sealed, password_info
from tests.memory import Running
from tests.service.aggregation.conftest import NOTIFICATION_SECRET, Conversation, a_lei

HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
VERIFIER = HASHER.hash("a password of one's own")
OTHER_VERIFIER = HASHER.hash("another password")


def member(person_id: UUID) -> Actor:
    return Actor(person_id=person_id, role="member")


def operator() -> Actor:
    return Actor(person_id=uuid4(), role="operator")


def at(contact: Contact, email: str) -> Contact:
    return contact.model_copy(update={"email": email})


def spending(group: Conversation, number: int = 1, verifier: str | None = VERIFIER) -> SpendPassword:
    return SpendPassword(purchase_id=group.purchase_id, number=number, verifier=verifier)


def inviting(group: Conversation, contact: Contact, invitation_id: UUID | None = None) -> InviteBuyer:
    return InviteBuyer(
        purchase_id=group.purchase_id,
        invitation_id=invitation_id or uuid4(),
        legal_name="Town of Aal",
        contact=contact,
    )


def accepting(group: Conversation, invitation_id: UUID, **other: Any) -> JoinGroup:
    buyer_id = other.pop("buyer_id", None) or uuid4()
    fields = {
        "purchase_id": group.purchase_id,
        "invitation_id": invitation_id,
        "number": 1,
        "buyer_id": buyer_id,
        "legal_name": "Town of Aal",
        "identifiers": (Identifier(scheme="XI-LEI", id=a_lei(buyer_id)),),
        "verifier": VERIFIER,
    }
    return JoinGroup(**{**fields, **other})


def appointing(group: Conversation, contact: Contact) -> AppointAuditor:
    return AppointAuditor(purchase_id=group.purchase_id, contact=contact)


def changing(contact: Contact, new_email: str | None) -> ChangeContact:
    return ChangeContact(person_id=contact.person_id, contact=contact, new_email=new_email)


def confirming(contact: Contact, number: int = 1) -> ConfirmAddress:
    return ConfirmAddress(person_id=contact.person_id, number=number, contact=contact)


def opened(message: CredentialAssigned | AddressCodeAssigned | InvitationLinkAssigned) -> str:
    """Return the password, code or link's secret, as notification reads it."""
    match message:
        case CredentialAssigned():
            sealed, info = message.sealed_password, password_info(message.purchase_id, message.person_id)
        case AddressCodeAssigned():
            sealed, info = message.sealed_code, address_code_info(message.person_id, message.number)
        case InvitationLinkAssigned():
            sealed, info = message.sealed_secret, invitation_info(message.invitation_id, message.number)
    return open_sealed(sealing_key(NOTIFICATION_SECRET), sealed, info).decode()


async def signed_in(group: Conversation) -> Contact:
    """Open the group, and let its coordinator spend the initial password; return how they are reached."""
    contact = group.contact(group.coordinator.person_id)
    await group.say(group.opening(contact=contact))
    await group.say(spending(group))
    return contact


async def a_minute_later(service: Running) -> None:
    """Let what was sent a moment ago have been sent a minute before that."""
    await service.pool.execute("UPDATE credentials SET assigned_at = assigned_at - interval '1 minute'")
    await service.pool.execute("UPDATE invitations SET assigned_at = assigned_at - interval '1 minute'")
    await service.pool.execute("UPDATE people SET code_assigned_at = code_assigned_at - interval '1 minute'")
