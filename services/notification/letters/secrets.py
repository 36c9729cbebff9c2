"""What brings a person a secret: an initial password, the link of an invitation, or a code to a new address.

Until the moment of sending, the secret stays in its sealed box, and the text has a place for it.
"""

from typing import Literal
from uuid import UUID

from services.notification.plain_text import moment, paragraph
from shared.messages.base import Number, Part, Time

PLACE = "{secret}"
"""Where the secret stands in its mail, until the moment of sending."""
_NEVER_ASKED = "Nobody at Linepool will ever ask you for it."


class InitialPassword(Part):
    """To the person whom a password is assigned to."""

    kind: Literal["initial_password"] = "initial_password"
    number: Number
    """Counts the passwords assigned to this person for this purchase."""
    expires_at: Time

    def subject(self) -> str:
        """What the mail is about."""
        return "Your initial password" if self.number == 1 else "Your new initial password"

    def paragraphs(self) -> list[str]:
        """The mail's text."""
        if self.number == 1:
            return [
                "You belong to this group. This is your initial password for it:",
                f"    {PLACE}",
                paragraph(
                    f"It works once, until {moment(self.expires_at)}, and you choose your own when you use it.",
                    f"If it has expired, ask for a new one. {_NEVER_ASKED}",
                ),
            ]
        return [
            paragraph(
                "This is a new initial password for this group. Those that were mailed to you before no longer work."
            ),
            f"    {PLACE}",
            paragraph(
                f"It works once, until {moment(self.expires_at)}, and you choose your own when you use it.",
                f"A password that you chose yourself works until then. {_NEVER_ASKED}",
            ),
            paragraph(
                "If you did not ask for it, somebody else may have, and they have not got it.",
                "You need not do anything.",
            ),
        ]


class InvitationLink(Part):
    """To an invited organisation's contact: how to join the group."""

    kind: Literal["invitation"] = "invitation"
    invitation_id: UUID
    number: Number
    """Counts the links sent for this invitation."""
    expires_at: Time

    def subject(self) -> str:
        """What the mail is about."""
        return "Your organisation is invited" if self.number == 1 else "A new link for your invitation"

    def paragraphs(self) -> list[str]:
        """The mail's text."""
        before = [] if self.number == 1 else ["The links that were mailed to you before no longer work."]
        return [
            paragraph(
                "The coordinator of this group invites your organisation to buy telecom services together with it.",
                "You are named as its contact.",
                *before,
                f"{'This link' if not before else 'This one'} shows you the invitation, and lets your organisation join:",
            ),
            f"    {PLACE}",
            paragraph(
                f"It works once, until {moment(self.expires_at)}. Who has it can join in your organisation's name:",
                "keep it to yourself. If you do not want to join, you need not do anything.",
            ),
        ]


class AddressCode(Part):
    """To an address that is not yet confirmed, and nowhere else."""

    kind: Literal["address_code"] = "address_code"
    number: Number
    """Counts the codes sent to this person."""
    expires_at: Time

    def subject(self) -> str:
        """What the mail is about."""
        return "Confirm your address"

    def paragraphs(self) -> list[str]:
        """The mail's text."""
        return [
            paragraph(
                "Somebody who is signed in with your account wants to be reached at this address.",
                "The code for it:",
            ),
            f"    {PLACE}",
            paragraph(
                f"It works once, until {moment(self.expires_at)}, for whoever is signed in there.",
                "Linepool's mails go to this address once it has come back.",
            ),
            "If that was not you, you need not do anything: this address is not used then.",
        ]
