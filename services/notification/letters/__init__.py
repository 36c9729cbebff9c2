"""What each mail says. A letter is the facts of one mail; its text is rendered only when it is sent.

`groups`, `requests`, `replies` and `terms` are about a purchase; `secrets` bring a password, a link or a code; `security` tells a
person what changed about themselves.

Names, titles and reasons come from strangers. They are put on one line without control characters, and longer
texts are quoted line by line, so that nobody's text can pass for ours.
"""

from typing import Annotated
from uuid import UUID

from pydantic import Field, TypeAdapter

from services.notification.letters.groups import (
    Dissolved,
    Joined,
    Lapsed,
    MinimumMissed,
    NotVerified,
    Smallest,
    Verified,
)
from services.notification.letters.replies import (
    KeyAwaited,
    NoReplies,
    Offered,
    OwnRow,
    Participant,
    RepliesCompared,
)
from services.notification.letters.requests import Cancelled, ProvidersInvited, QuestionWaits
from services.notification.letters.secrets import PLACE, AddressCode, InitialPassword, InvitationLink
from services.notification.letters.security import AddressChanged, PasswordChanged, SecondFactorChanged
from services.notification.letters.terms import Done, TermsRejected, TermsToAccept
from services.notification.plain_text import one_line

__all__ = [
    "AddressChanged",
    "AddressCode",
    "Cancelled",
    "Dissolved",
    "Done",
    "InitialPassword",
    "InvitationLink",
    "Joined",
    "KeyAwaited",
    "Lapsed",
    "Letter",
    "MinimumMissed",
    "NoReplies",
    "NotVerified",
    "Offered",
    "OwnRow",
    "Participant",
    "PasswordChanged",
    "ProvidersInvited",
    "QuestionWaits",
    "RepliesCompared",
    "SecondFactorChanged",
    "SecretLetter",
    "SecurityLetter",
    "Smallest",
    "TermsRejected",
    "TermsToAccept",
    "Verified",
    "letter_from_json",
    "render",
]

SecretLetter = InitialPassword | InvitationLink | AddressCode
"""Those that bring what was sealed for them."""
SecurityLetter = PasswordChanged | AddressChanged | SecondFactorChanged
Letter = Annotated[
    Joined
    | MinimumMissed
    | Dissolved
    | Verified
    | NotVerified
    | Lapsed
    | ProvidersInvited
    | QuestionWaits
    | KeyAwaited
    | NoReplies
    | RepliesCompared
    | TermsToAccept
    | TermsRejected
    | Cancelled
    | Done
    | SecretLetter
    | SecurityLetter,
    Field(discriminator="kind"),
]
letter_from_json: TypeAdapter[Letter] = TypeAdapter(Letter)


def render(
    letter: Letter, *, group_name: str | None, purchase_id: UUID | None, recipient: str, secret: str | None
) -> tuple[str, str]:
    """Return a mail's subject and text.

    Args:
        letter: what is told.
        group_name: None for a mail that belongs to no purchase.
        purchase_id: the same.
        recipient: the person's name.
        secret: what the letter brings as its reader sees it: the password, the link, or the code; None for all other letters.

    Raises:
        ValueError: a secret is missing, or there is one too many.
    """
    group = "Linepool" if group_name is None else one_line(group_name)
    paragraphs = letter.paragraphs()
    if isinstance(letter, SecretLetter) != (secret is not None):
        raise ValueError("a secret belongs into exactly the mails that bring one")
    if secret is not None:
        paragraphs = [text.replace(PLACE, secret) for text in paragraphs]
    signature = (
        "-- \nLinepool"
        if group_name is None
        else f"-- \nLinepool, for the group {group}\nPurchase {purchase_id}"
    )
    text = "\n\n".join([f"Hello {one_line(recipient)},", *paragraphs, signature])
    return f"[{group}] {letter.subject()}", text + "\n"
