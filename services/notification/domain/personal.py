"""What a person is told of their own: passwords, links and codes on their way to them, and what has changed about them."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from services.notification import letters
from services.notification.domain.mails import Mail, Reached, Sealed, mail
from shared.envelope import derived_id
from shared.messages.aggregation import BuyerJoined, ContactRecorded, CredentialAssigned
from shared.messages.people import (
    AddressCodeAssigned,
    InvitationLinkAssigned,
    PasswordChosen,
    SecondFactorSet,
)


def mail_about_joining(event: BuyerJoined, cause_id: UUID) -> Mail:
    """Return the mail to a new member's contact."""
    return mail(cause_id, event.purchase_id, event.contact_id, letters.Joined(legal_name=event.legal_name))


def mail_with_password(event: CredentialAssigned) -> Mail:
    """Return the mail that brings a person their initial password."""
    letter = letters.InitialPassword(number=event.number, expires_at=event.expires_at)
    fact = derived_id("credential", event.purchase_id, event.person_id, event.number)
    sealed = Sealed(event.subject, event.sealed_password, event.contact_version)
    return replace(mail(fact, event.purchase_id, event.person_id, letter), sealed=sealed)


def mail_with_link(event: InvitationLinkAssigned) -> Mail:
    """Return the mail that brings an invited person their link."""
    letter = letters.InvitationLink(
        invitation_id=event.invitation_id, number=event.number, expires_at=event.expires_at
    )
    fact = derived_id("invitation", event.invitation_id, event.number)
    sealed = Sealed(event.subject, event.sealed_secret, event.contact_version)
    return replace(mail(fact, event.purchase_id, event.person_id, letter), sealed=sealed)


def mail_with_code(event: AddressCodeAssigned) -> Mail:
    """Return the mail that brings a code to an address that is not yet confirmed."""
    letter = letters.AddressCode(number=event.number, expires_at=event.expires_at)
    fact = derived_id("address code", event.person_id, event.number)
    sealed = Sealed(event.subject, event.sealed_code, event.contact_version)
    return replace(mail(fact, None, event.person_id, letter), sealed=sealed)


def mails_about_address(
    event: ContactRecorded, before: Reached | None, cause_id: UUID, at: datetime
) -> list[Mail]:
    """Return the mails to the address that counted before and to the one that counts now, where these differ."""
    if before is None or before.email.lower() == event.email.lower():
        return []
    to_former = mail(
        derived_id("former address", cause_id),
        None,
        event.person_id,
        letters.AddressChanged(at=at, to_former=True),
    )
    to_new = mail(cause_id, None, event.person_id, letters.AddressChanged(at=at, to_former=False))
    return [replace(to_former, former_email=before.email), to_new]


def mails_about_password(event: PasswordChosen, cause_id: UUID, at: datetime) -> list[Mail]:
    """Return the mail about another password; a person's first one takes no other's place."""
    if event.number == 1:
        return []
    return [mail(cause_id, None, event.person_id, letters.PasswordChanged(at=at))]


def mail_about_second_factor(event: SecondFactorSet, cause_id: UUID, at: datetime) -> Mail:
    """Return the mail about a second factor that is on or off now."""
    return mail(
        cause_id, None, event.person_id, letters.SecondFactorChanged(at=at, enabled=event.state == "enabled")
    )
