"""What persons may do with their passwords, addresses and invitations, and when."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from services.aggregation.domain.groups import Buyer, Group, Repeated, may_change
from shared.envelope import Actor
from shared.messages.aggregation import Contact
from shared.messages.people import InviteBuyer, JoinGroup, SpendPassword
from shared.outcomes import NotYet, Refusal

InvitationState = Literal["invited", "accepted", "revoked"]
SHORTEST_PAUSE = timedelta(minutes=1)
MOST_A_DAY = 10
"""Initial passwords that one person is sent for one purchase."""
_TOO_SOON = Refusal("too_soon", "One was sent a moment ago; try again in a minute.")
# Orders about a person and about a purchase come in no common order: what one of them needs may still be on its way.
UNKNOWN = NotYet("person_unknown", "Nothing is known of this person.")


@dataclass(frozen=True)
class Credential:
    """A person's newest initial password for a purchase."""

    number: int
    assigned_at: datetime
    spent: bool
    address_digest: str | None
    """Of the address that it was mailed to; None where that was not noted."""
    in_a_day: int
    """How many were assigned in the last 24 hours."""


@dataclass(frozen=True)
class Person:
    """What is known of a person. The digests are of mail addresses: the one that counts, and one that is not yet confirmed."""

    person_id: UUID
    address_digest: str | None
    pending_digest: str | None
    confirmed: bool
    chosen: int
    """How many passwords of their own they have chosen."""
    codes: int
    code_assigned_at: datetime | None
    code_open: bool
    erased_at: datetime | None = None


@dataclass(frozen=True)
class Invitation:
    """An invitation to join a group."""

    invitation_id: UUID
    purchase_id: UUID
    legal_name: str
    contact_id: UUID
    number: int
    state: InvitationState
    assigned_at: datetime
    address_digest: str | None
    """Of the address that the newest link was mailed to; None where that was not noted."""


def refuse_erased(person: Person | None, now: datetime) -> Refusal | None:
    """An erased id has no part in anything any more: whoever comes back is a new person to us.

    What was obeyed before the erasure is obeyed again after a restore, in whatever order the two come then.
    """
    if person is None or person.erased_at is None or now < person.erased_at:
        return None
    return Refusal("person_erased", "The person with this id was erased; name them by a new id.")


def may_spend(credential: Credential | None, command: SpendPassword) -> Refusal | NotYet | None:
    """Only the newest password is spent, once.

    Whether it was in time is judged by the portal when it accepts it: an order that waited somewhere is not late.
    """
    if credential is None or credential.number < command.number:
        return NotYet("password_unknown", "You were never assigned this password.")
    if credential.number > command.number or credential.spent:
        return Refusal("password_void", "A newer password was assigned, or this one is spent.")
    return None


def may_sign_in(person: Person | None, verifier: str | None) -> NotYet | None:
    """Whoever spends a password or a link can sign in afterwards: they choose a password, or have one."""
    if person is None:
        return UNKNOWN
    if verifier is None and person.chosen == 0:
        return NotYet("no_password", "You have no password of your own yet; choose one.")
    return None


def is_proven(person: Person | None, mailed_to: str | None) -> bool:
    """Whether what was mailed to an address, and has come back, shows that the person's address reaches them."""
    return person is not None and mailed_to is not None and person.address_digest == mailed_to


def may_reissue(credential: Credential | None, *, belongs: bool, now: datetime) -> Refusal | NotYet | None:
    """Who was assigned a password for this purchase, or belongs to it, may have a new one, now and then."""
    if credential is None:
        return (
            None
            if belongs
            else NotYet("password_unknown", "You were never assigned a password for this purchase.")
        )
    if now - credential.assigned_at < SHORTEST_PAUSE:
        return _TOO_SOON
    if credential.in_a_day >= MOST_A_DAY:
        return Refusal("too_many", f"At most {MOST_A_DAY} passwords are assigned a day.")
    return None


def is_oneself(
    actor: Actor, person: Person | None, person_id: UUID, contact: Contact | None = None
) -> Refusal | NotYet | None:
    """Orders about a person come from that person, and so does what they say of how they are reached."""
    if actor.person_id != person_id:
        return Refusal("not_oneself", "Only the person themselves may give this order.")
    if contact is not None and contact.person_id != person_id:
        return Refusal("contact_not_actor", "The contact must be the person who gives the order.")
    return UNKNOWN if person is None else None


def may_change_password(person: Person) -> NotYet | None:
    """A password takes the place of one."""
    if person.chosen == 0:
        return NotYet("no_password", "You have no password of your own yet; spend your initial one.")
    return None


def may_change_contact(
    person: Person, address_digest: str, *, with_code: bool, now: datetime
) -> Refusal | None:
    """A contact that names another address than the one that counts would change it unconfirmed."""
    if person.address_digest != address_digest:
        return Refusal("address_outdated", "Your address has changed in the meantime; look again.")
    return _paused(person, now) if with_code else None


def may_have_code(person: Person, now: datetime) -> Refusal | None:
    """A code goes to an address that waits for it, and not every moment."""
    if person.pending_digest is None:
        return Refusal("nothing_to_confirm", "There is no address to confirm.")
    return _paused(person, now)


def _paused(person: Person, now: datetime) -> Refusal | None:
    if person.code_assigned_at is not None and now - person.code_assigned_at < SHORTEST_PAUSE:
        return _TOO_SOON
    return None


def may_confirm(person: Person, number: int, address_digest: str) -> Refusal | None:
    """Only the newest code confirms, once, and the address that it was sent to."""
    if not person.code_open or person.codes != number or person.pending_digest != address_digest:
        return Refusal("code_void", "A newer code was sent, or this one is spent.")
    return None


def may_invite(group: Group, known: Invitation | None, command: InviteBuyer) -> Refusal | Repeated | None:
    """Decide whether an organisation is invited."""
    if known is None:
        return may_change(group)
    said = (command.purchase_id, command.legal_name, command.contact.person_id)
    if (known.purchase_id, known.legal_name, known.contact_id) == said:
        return Repeated()
    return Refusal("invitation_exists", "There is an invitation with this id and other details.")


def may_renew(invitation: Invitation | None, purchase_id: UUID, now: datetime) -> Refusal | None:
    """A new link is sent for an invitation that nobody has accepted."""
    refusal = _open(invitation, purchase_id)
    if refusal is None and invitation is not None and now - invitation.assigned_at < SHORTEST_PAUSE:
        return _TOO_SOON
    return refusal


def may_revoke(invitation: Invitation | None, purchase_id: UUID) -> Refusal | Repeated | None:
    """An invitation is taken back that nobody has accepted."""
    if invitation is not None and invitation.purchase_id == purchase_id and invitation.state == "revoked":
        return Repeated()
    return _open(invitation, purchase_id)


def may_accept(invitation: Invitation | None, command: JoinGroup, actor: Actor) -> Refusal | None:
    """Only the invited person accepts, by the newest link."""
    if invitation is None or invitation.contact_id != actor.person_id:
        return Refusal("invitation_unknown", "You have no such invitation.")
    refusal = _open(invitation, command.purchase_id)
    if refusal is None and invitation.number != command.number:
        return Refusal("invitation_void", "A newer link was sent.")
    return refusal


def may_appoint(group: Group | None, buyers: list[Buyer], person_id: UUID) -> Refusal | NotYet | None:
    """An auditor does not belong to the group."""
    if group is None:
        return NotYet("group_unknown", "There is no such group.")
    if is_of_the_group(group, buyers, person_id):
        return Refusal("auditor_is_member", "The person belongs to the group.")
    return None


def is_of_the_group(group: Group, buyers: list[Buyer], person_id: UUID) -> bool:
    """Whether a person is the group's coordinator or a member's contact person."""
    return person_id == group.coordinator_id or any(
        one.contact_id == person_id for one in buyers if not one.left
    )


def _open(invitation: Invitation | None, purchase_id: UUID) -> Refusal | None:
    if invitation is None or invitation.purchase_id != purchase_id:
        return Refusal("invitation_unknown", "The group has no such invitation.")
    match invitation.state:
        case "accepted":
            return Refusal("invitation_accepted", "The invitation was accepted; remove the buyer instead.")
        case "revoked":
            return Refusal("invitation_revoked", "The invitation was taken back.")
        case "invited":
            return None
