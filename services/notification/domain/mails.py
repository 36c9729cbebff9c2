"""One mail: its id, what it brings, where it goes, and when it is not worth sending any more."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from services.notification.letters import AddressCode, Letter, SecretLetter, SecurityLetter
from shared.envelope import derived_id

NEWS_FOR = timedelta(days=7)
"""For so long what changed about a person is told. A service that is built anew reads the last word of years ago."""


@dataclass(frozen=True)
class Sealed:
    """A secret on its way to one person.

    `key` is the one under which it stands on `aggregation.credentials`: of all secrets there only the one with the highest
    number is good, and only until it is closed.
    """

    key: str
    box: str
    contact_version: int | None
    """Which version of the person's contact must be known before it is sent; None: any."""


@dataclass(frozen=True)
class Mail:
    """One mail about one fact to one person; `mail_id` follows from the two, and the Message-ID from it."""

    mail_id: UUID
    purchase_id: UUID | None
    """None where the mail is about the person alone."""
    person_id: UUID
    letter: Letter
    sealed: Sealed | None = None
    former_email: str | None = None
    """Set: it goes there, and not to where the person is reached now."""


@dataclass(frozen=True)
class Reached:
    """How a person is reached now."""

    email: str
    unconfirmed_email: str | None
    version: int | None
    """The version of the person's contact that says so; None where it is not known."""


@dataclass(frozen=True)
class Newest:
    """What is known of a secret's key now."""

    number: int
    closed: bool
    """Whether the secret with this number is spent, accepted or taken back."""


def mail(fact_id: UUID, purchase_id: UUID | None, person_id: UUID, letter: Letter) -> Mail:
    """Return the mail about a fact to a person; the same of both is the same mail."""
    return Mail(derived_id("mail", fact_id, person_id), purchase_id, person_id, letter)


def not_worth_sending(one: Mail, reached: Reached, newest: Newest | None, now: datetime) -> str | None:
    """Return why a due mail is not sent any more, or None: a secret expires or is void, news become old."""
    if isinstance(one.letter, SecurityLetter):
        return "outdated" if one.letter.at + NEWS_FOR <= now else None
    if not isinstance(one.letter, SecretLetter):
        return None
    if newest is not None and one.letter.number < newest.number:
        return "superseded"
    if newest == Newest(one.letter.number, closed=True):
        return "closed"
    if one.letter.expires_at <= now:
        return "expired"
    return None if goes_to(one, reached) else "superseded"


def goes_to(one: Mail, reached: Reached) -> str | None:
    """Return the address that a mail goes to; None where there is none any more.

    A code shows that its reader has the address that it was made for: it goes to exactly that one, which the person's contact
    named in the version that the code says.
    """
    if not isinstance(one.letter, AddressCode):
        return one.former_email or reached.email
    meant = one.sealed.contact_version if one.sealed else None
    if None not in (meant, reached.version) and meant != reached.version:
        return None
    return reached.unconfirmed_email
