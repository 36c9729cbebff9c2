"""What the aggregation service obeys and says about persons: their passwords, invitations and addresses.

A password, a link or a code is in the clear nowhere but in its one mail: what travels is how to check it, and a box that only
the notification service can open. Names, addresses and numbers stand on `aggregation.contacts` alone.
"""

from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from shared.messages.aggregation import (
    AggregationCommand,
    AggregationEvent,
    AggregationRefusal,
    Contact,
    Email,
    Identifier,
)
from shared.messages.base import (
    AboutPerson,
    Command,
    Digest,
    Message,
    Name,
    Number,
    Order,
    OrderRefused,
    Role,
    Time,
)

Verifier = Annotated[
    str,
    StringConstraints(
        max_length=200,
        pattern=r"^\$argon2id\$v=19\$m=\d{1,7},t=\d{1,2},p=\d{1,2}\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+$",
    ),
]
"""An argon2id string; the password cannot be read from it."""
EVERYONE: frozenset[Role] = frozenset({"coordinator", "member", "auditor"})


class PersonCommand(AboutPerson, Order):
    """An order about one person, of that person; the refusal is `PersonOrderRefused`."""

    stream: ClassVar[str] = "aggregation.commands"
    roles: ClassVar[frozenset[Role]] = EVERYONE


class SpendPassword(AggregationCommand):
    """Spend the actor's initial password for this purchase; the portal has checked it.

    That it was mailed and has come back confirms the person's address.
    """

    roles: ClassVar[frozenset[Role]] = EVERYONE

    number: Number
    """Of the password that was spent."""
    verifier: Verifier | None
    """Of the password that the person chose in its place; None keeps the one that they have."""


class ReissuePassword(AggregationCommand):
    """Assign the actor a new initial password for this purchase; the ones before are void."""

    roles: ClassVar[frozenset[Role]] = EVERYONE


class ChangePassword(PersonCommand):
    """Choose another password; the portal has checked the one before."""

    verifier: Verifier


class ChangeContact(PersonCommand):
    """Say how one is reached oneself; a new mail address counts once it is confirmed."""

    contact: Contact
    """With the address that counts now."""
    new_email: Email | None = None


class RequestAddressCode(PersonCommand):
    """Ask for a new code to the address that is not yet confirmed; the one before is void."""


class ConfirmAddress(PersonCommand):
    """Confirm an address; the portal has checked the code that was sent there."""

    number: Number
    """Of the code."""
    contact: Contact
    """With the address that is confirmed."""


class EnableSecondFactor(PersonCommand):
    """Ask for a time-based code (RFC 6238) at each sign-in from now on; the portal has checked one."""

    number: Number
    """Which secret; the portal derives it from its own and this number."""


class DisableSecondFactor(PersonCommand):
    """Ask for no code any more; the portal has checked one."""


class InviteBuyer(AggregationCommand):
    """Invite an organisation to join, through its contact person, who gets a link that works once."""

    invitation_id: UUID
    legal_name: Name
    contact: Contact


class RenewInvitation(AggregationCommand):
    """Send a new link for an invitation; the one before is void."""

    invitation_id: UUID


class RevokeInvitation(AggregationCommand):
    """Take an invitation back that was not accepted."""

    invitation_id: UUID


class JoinGroup(AggregationCommand):
    """Accept an invitation: the actor's organisation becomes a member; the portal has checked the link."""

    roles: ClassVar[frozenset[Role]] = frozenset({"member"})

    invitation_id: UUID
    number: Number
    """Of the link."""
    buyer_id: UUID
    legal_name: Name
    identifiers: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=5)]
    verifier: Verifier | None
    """Of the password that the person chose; None keeps the one that they have."""


class AdministrationCommand(Command):
    """An order of the operator to the aggregation service about a purchase."""

    stream: ClassVar[str] = "aggregation.administration"
    roles: ClassVar[frozenset[Role]] = frozenset({"operator"})


class AppointAuditor(AdministrationCommand):
    """Let a person read all of a purchase but sealed content, and change nothing; they get an initial password."""

    contact: Contact


class DismissAuditor(AdministrationCommand):
    """Let an auditor no longer read."""

    person_id: UUID


class ErasePerson(AboutPerson, Order):
    """Erase how a person is reached, and their passwords; refused while a purchase that is not over needs them."""

    stream: ClassVar[str] = "aggregation.administration"
    roles: ClassVar[frozenset[Role]] = frozenset({"operator"})


class PersonEvent(AboutPerson):
    """A fact of the aggregation service about a person."""

    stream: ClassVar[str] = "aggregation.events"


class AddressConfirmed(PersonEvent):
    """A person has shown that mail to their address reaches them: something mailed there has come back."""


class PersonErased(PersonEvent):
    """How a person is reached is erased; who keeps anything of it erases it too."""


class PersonOrderRefused(PersonEvent, OrderRefused):
    """An order about a person was not obeyed."""


class BuyerInvited(AggregationEvent):
    """An organisation is invited to join; a renewed invitation has the next number."""

    invitation_id: UUID
    number: Number
    legal_name: str
    contact_id: UUID
    expires_at: Time


class InvitationRevoked(AggregationEvent):
    """An invitation no longer holds."""

    invitation_id: UUID


class AuditorAppointed(AggregationEvent):
    """A person may read all of the purchase but sealed content."""

    person_id: UUID


class AuditorDismissed(AggregationEvent):
    """A person is no longer auditor of the purchase."""

    person_id: UUID


class PasswordSpent(AboutPerson):
    """An initial password is spent; it takes the place of `CredentialAssigned`, so that nobody accepts it again."""

    stream: ClassVar[str] = "aggregation.credentials"
    compacted: ClassVar[bool] = True

    purchase_id: UUID
    number: Number
    state: Literal["spent"] = "spent"

    @property
    def subject(self) -> str:
        """The same as the password's."""
        return f"{self.person_id}/{self.purchase_id}"


class PasswordChosen(AboutPerson):
    """A person has this password from now on."""

    stream: ClassVar[str] = "aggregation.credentials"
    compacted: ClassVar[bool] = True

    number: Number
    """Counts the person's chosen passwords."""
    verifier: Verifier


class SecondFactorSet(AboutPerson):
    """Whether a person's sign-in asks for a time-based code, and from which secret."""

    stream: ClassVar[str] = "aggregation.credentials"
    compacted: ClassVar[bool] = True

    number: Number
    state: Literal["enabled", "disabled"]

    @property
    def subject(self) -> str:
        """The person's id and what is set."""
        return f"{self.person_id}/second-factor"


class AddressCodeAssigned(AboutPerson):
    """A code to an address that is not yet confirmed: here its verifier, and the code sealed for notification."""

    stream: ClassVar[str] = "aggregation.credentials"
    compacted: ClassVar[bool] = True

    number: Number
    verifier: Verifier
    sealed_code: str
    """Base64 of an HPKE box addressed to the notification service; `info` is `linepool address code <person> <number>`."""
    expires_at: Time
    contact_version: Number | None = None
    """The `ce_sequence` of the `ContactRecorded` that names the address which is not yet confirmed: of this one, and no newer."""

    @property
    def subject(self) -> str:
        """The person's id and what the code is for."""
        return f"{self.person_id}/address"


class AddressCodeSpent(AboutPerson):
    """A code is spent; it takes the place of `AddressCodeAssigned`."""

    stream: ClassVar[str] = "aggregation.credentials"
    compacted: ClassVar[bool] = True

    number: Number

    @property
    def subject(self) -> str:
        """The same as the code's."""
        return f"{self.person_id}/address"


class AboutInvitation(Message):
    """What is known of an invitation's link; keyed by the invitation."""

    stream: ClassVar[str] = "aggregation.credentials"
    compacted: ClassVar[bool] = True

    invitation_id: UUID
    purchase_id: UUID
    person_id: UUID
    number: Number

    @property
    def subject(self) -> str:
        """The invitation's id."""
        return f"{self.person_id}/{self.invitation_id}"


class InvitationLinkAssigned(AboutInvitation):
    """An invitation's link: here the hash of its 130 random bits, and the link's secret sealed for notification."""

    sha256: Digest
    """Of the 26 characters of Crockford's base32, in ASCII."""
    sealed_secret: str
    """Base64 of an HPKE box addressed to the notification service; `info` is `linepool invitation <invitation> <number>`."""
    expires_at: Time
    contact_version: Number | None = None
    """The `ce_sequence` of the `ContactRecorded` that says where it is mailed to, or of a newer one."""


class InvitationLinkClosed(AboutInvitation):
    """An invitation's link no longer works; it takes the place of `InvitationLinkAssigned`."""

    state: Literal["accepted", "revoked"]


class ContactErased(AboutPerson):
    """Erases what stands on a compacted topic under the person's key: it travels without a body, as Kafka's tombstone."""

    stream: ClassVar[str] = "aggregation.contacts"
    compacted: ClassVar[bool] = True
    tombstone: ClassVar[bool] = True


class CredentialErased(Message):
    """Erases what stands on `aggregation.credentials` under one key: it travels without a body, as Kafka's tombstone."""

    stream: ClassVar[str] = "aggregation.credentials"
    compacted: ClassVar[bool] = True
    tombstone: ClassVar[bool] = True

    key: str

    @property
    def subject(self) -> str:
        """The key of what is erased; it begins with the person's id."""
        return self.key


class SpendPasswordRefused(AggregationRefusal):
    """`SpendPassword` was not obeyed."""


class ReissuePasswordRefused(AggregationRefusal):
    """`ReissuePassword` was not obeyed."""


class InviteBuyerRefused(AggregationRefusal):
    """`InviteBuyer` was not obeyed."""


class RenewInvitationRefused(AggregationRefusal):
    """`RenewInvitation` was not obeyed."""


class RevokeInvitationRefused(AggregationRefusal):
    """`RevokeInvitation` was not obeyed."""


class JoinGroupRefused(AggregationRefusal):
    """`JoinGroup` was not obeyed."""


class AppointAuditorRefused(AggregationRefusal):
    """`AppointAuditor` was not obeyed."""


class DismissAuditorRefused(AggregationRefusal):
    """`DismissAuditor` was not obeyed."""
