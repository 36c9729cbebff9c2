"""What each mail says. A letter is the facts of one mail; its text is rendered only when it is sent.

Names, titles and reasons come from strangers. They are put on one line without control characters, and longer
texts are quoted line by line, so that nobody's text can pass for ours.
"""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, TypeAdapter

from services.notification.plain_text import moment, money, one_line, paragraph, quoted, table
from shared.messages.base import Amount, Count, Currency, Digest, Number, Part, ProviderId, SignedAmount, Time


class Joined(Part):
    """To a buyer's contact: the organisation is in the group."""

    kind: Literal["joined"] = "joined"
    legal_name: str

    def subject(self) -> str:
        """What the mail is about."""
        return f"{one_line(self.legal_name)} has joined"

    def paragraphs(self) -> list[str]:
        """The mail's text."""
        name = one_line(self.legal_name)
        return [
            paragraph(
                f"{name} is now a member of this group, which buys telecom services together.",
                "You are its contact.",
            ),
            paragraph(
                "You will hear from us when the group is verified, when the replies are compared,",
                "and when the purchase is complete.",
            ),
        ]


PLACE = "{password}"
"""Where the password stands in its mail, until the moment of sending."""


class InitialPassword(Part):
    """To the person whom a password is assigned to; until then it stays in its sealed box."""

    kind: Literal["initial_password"] = "initial_password"
    number: Number
    expires_at: Time

    def subject(self) -> str:
        """What the mail is about."""
        return "Your initial password"

    def paragraphs(self) -> list[str]:
        """The mail's text, with a place for the password."""
        return [
            "The group is open, and you are its coordinator. This is your initial password:",
            f"    {PLACE}",
            paragraph(
                f"It works once, until {moment(self.expires_at)}, and you choose your own when you use it.",
                "If it has expired, ask for a new one. Nobody at Linepool will ever ask you for it.",
            ),
        ]


class Verified(Part):
    """To everyone: the group is qualified."""

    kind: Literal["verified"] = "verified"
    valid_until: Time

    def subject(self) -> str:
        """What the mail is about."""
        return "The group is verified"

    def paragraphs(self) -> list[str]:
        """The mail's text."""
        return [
            paragraph(
                "An officer who is not a member of the group has verified it.",
                "Its request may now go to the providers on its list.",
            ),
            f"The verification holds until {moment(self.valid_until)}.",
        ]


class NotVerified(Part):
    """To the coordinator and the party concerned: the officer did not find it to be who it says."""

    kind: Literal["not_verified"] = "not_verified"
    party: str
    """The organisation's legal name, or `the coordinator`."""
    reason: str

    def subject(self) -> str:
        """What the mail is about."""
        return "The group is not verified"

    def paragraphs(self) -> list[str]:
        """The mail's text."""
        return [
            f"The officer could not verify {one_line(self.party)}. The reason given:",
            quoted(self.reason),
            "No request leaves before the group is verified.",
        ]


class Lapsed(Part):
    """To the coordinator: the qualification no longer holds."""

    kind: Literal["lapsed"] = "lapsed"
    reason: str

    def subject(self) -> str:
        """What the mail is about."""
        return "The verification has lapsed"

    def paragraphs(self) -> list[str]:
        """The mail's text."""
        return [
            "The group's verification no longer holds. The reason:",
            quoted(self.reason),
            "Nothing more is presented to providers until the group is verified again.",
        ]


class ProvidersInvited(Part):
    """To everyone: the request is with the providers."""

    kind: Literal["providers_invited"] = "providers_invited"
    title: str
    invited: Count
    deadline: Time

    def subject(self) -> str:
        """What the mail is about."""
        return "The request is with the providers"

    def paragraphs(self) -> list[str]:
        """The mail's text."""
        providers = "1 provider" if self.invited == 1 else f"{self.invited} providers"
        return [
            f"The request {one_line(self.title)} was presented to {providers}.",
            f"Replies count until {moment(self.deadline)}. We write again once they are compared.",
        ]


class QuestionWaits(Part):
    """To the coordinator: a provider asked something; nobody learns which."""

    kind: Literal["question_waits"] = "question_waits"
    question_id: UUID
    question: str

    def subject(self) -> str:
        """What the mail is about."""
        return "A question waits for your answer"

    def paragraphs(self) -> list[str]:
        """The mail's text."""
        return [
            f"A provider asks about the request (question {self.question_id}):",
            quoted(self.question),
            paragraph(
                "Please answer before the deadline. Question and answer go to every invited provider at the",
                "same time; put the question in other words where its own would tell who asked.",
            ),
        ]


class Participant(Part):
    """One invited provider, and what it did with the request."""

    provider_id: ProviderId
    name: str
    """Empty where it is not known."""
    access: bool
    """Whether it was shown the request, and not only offered it."""
    granted_at: Time | None
    """When it was shown the request that it had asked for; None where it was transmitted."""
    acknowledged_at: Time | None
    declined: bool


class NoReplies(Part):
    """To everyone: the deadline passed, and there is nothing to compare."""

    kind: Literal["no_replies"] = "no_replies"
    participants: tuple[Participant, ...] = ()
    """Empty for everyone but the coordinator."""

    def subject(self) -> str:
        """What the mail is about."""
        return "No replies to compare"

    def paragraphs(self) -> list[str]:
        """The mail's text."""
        return [
            "The deadline has passed, and there is no valid reply to the group's request.",
            *_participation(self.participants),
        ]


class Offered(Part):
    """One reply: what it comes to over its term, and what was charged over the same time."""

    rank: Number
    provider_id: ProviderId
    contract_months: Number
    charged: Amount
    total: Amount
    saving: SignedAmount


class OwnRow(Part):
    """What one buyer would pay under each reply."""

    legal_name: str
    offers: tuple[Offered, ...]


class RepliesCompared(Part):
    """To the coordinator: the group's figures. To a buyer's contact: that buyer's own, and no other's."""

    kind: Literal["replies_compared"] = "replies_compared"
    currency: Currency
    tax_basis: str
    group: tuple[Offered, ...]
    """Empty for everyone but the coordinator."""
    own: tuple[OwnRow, ...]
    participants: tuple[Participant, ...] = ()
    """Empty for everyone but the coordinator."""

    def subject(self) -> str:
        """What the mail is about."""
        return "The replies are compared"

    def paragraphs(self) -> list[str]:
        """The mail's text."""
        unit = f"{self.currency}, {one_line(self.tax_basis)}"
        text = [
            paragraph(
                "Every reply was rated on every line of the group's own usage. Rank 1 costs the group least.",
                "A negative saving is an amount that would be paid more.",
            )
        ]
        if self.group:
            text += [f"The group as a whole ({unit}):", _offers(self.group)]
        for row in self.own:
            text += [f"{one_line(row.legal_name)} ({unit}):", _offers(row.offers)]
        text += _participation(self.participants)
        if self.group:
            text.append("Please select a reply, and say why not the others.")
        else:
            text.append("No other member is shown these figures, and you are shown no other member's.")
        return text


class TermsToAccept(Part):
    """To the coordinator: the selected provider's terms lie before the group."""

    kind: Literal["terms_to_accept"] = "terms_to_accept"
    provider_id: ProviderId
    title: str
    terms_sha256: Digest

    def subject(self) -> str:
        """What the mail is about."""
        return "Terms to accept"

    def paragraphs(self) -> list[str]:
        """The mail's text."""
        return [
            f"Provider {self.provider_id}, whose reply the group selected, has presented its terms:",
            f"    {one_line(self.title)}\n    SHA-256 {self.terms_sha256}",
            "Please read them. Your answer cites this hash, so that it means exactly this text.",
        ]


class TermsRejected(Part):
    """To everyone: the group did not accept these terms."""

    kind: Literal["rejected"] = "rejected"
    reason: str

    def subject(self) -> str:
        """What the mail is about."""
        return "The terms were rejected"

    def paragraphs(self) -> list[str]:
        """The mail's text."""
        return [
            "The group did not accept the terms that were presented. The reason given:",
            quoted(self.reason),
            "The provider may propose others.",
        ]


class Cancelled(Part):
    """To everyone: the purchase is called off."""

    kind: Literal["cancelled"] = "cancelled"
    reason: str

    def subject(self) -> str:
        """What the mail is about."""
        return "The purchase is called off"

    def paragraphs(self) -> list[str]:
        """The mail's text."""
        return [
            "The group's request was cancelled. The reason given:",
            quoted(self.reason),
            "Every provider that was shown any of it is told.",
        ]


class Done(Part):
    """To everyone: the terms are accepted, the purchase is complete."""

    kind: Literal["done"] = "done"
    provider_id: ProviderId
    terms_sha256: Digest

    def subject(self) -> str:
        """What the mail is about."""
        return "The purchase is complete"

    def paragraphs(self) -> list[str]:
        """The mail's text."""
        return [
            f"The group has accepted the terms of provider {self.provider_id}, and the provider is told.",
            f"Accepted were exactly the terms with SHA-256\n    {self.terms_sha256}",
        ]


Letter = Annotated[
    Joined
    | InitialPassword
    | Verified
    | NotVerified
    | Lapsed
    | ProvidersInvited
    | QuestionWaits
    | NoReplies
    | RepliesCompared
    | TermsToAccept
    | TermsRejected
    | Cancelled
    | Done,
    Field(discriminator="kind"),
]
letter_from_json: TypeAdapter[Letter] = TypeAdapter(Letter)


def render(
    letter: Letter, *, group_name: str, purchase_id: UUID, recipient: str, password: str | None
) -> tuple[str, str]:
    """Return a mail's subject and text.

    `password` is set for an initial password and for nothing else.

    Raises:
        ValueError: it is the other way round.
    """
    group = one_line(group_name)
    paragraphs = letter.paragraphs()
    if isinstance(letter, InitialPassword) != (password is not None):
        raise ValueError("a password belongs into exactly one kind of mail")
    if isinstance(letter, InitialPassword) and password is not None:
        paragraphs = [text.replace(PLACE, password) for text in paragraphs]
    signature = f"-- \nLinepool, for the group {group}\nPurchase {purchase_id}"
    text = "\n\n".join([f"Hello {one_line(recipient)},", *paragraphs, signature])
    return f"[{group}] {letter.subject()}", text + "\n"


def _participation(participants: tuple[Participant, ...]) -> list[str]:
    if not participants:
        return []
    return ["The invited providers, and what they did with the request:", "\n".join(map(_did, participants))]


def _did(one: Participant) -> str:
    named = f" ({one_line(one.name)[:40]})" if one.name else ""
    done = ["was shown it" if one.access else "was offered it, and was not shown it"]
    if one.granted_at is not None:
        done = [f"was shown it on {moment(one.granted_at)}"]
    if one.acknowledged_at is not None:
        done.append(f"acknowledged it on {moment(one.acknowledged_at)}")
    if one.declined:
        done.append("declined")
    return paragraph(f"{one.provider_id}{named}:", ", ".join(done) + ".")


def _offers(offers: tuple[Offered, ...]) -> str:
    return table(
        ("rank", "provider", "months", "charged", "would pay", "saving"),
        [
            (
                str(offer.rank),
                offer.provider_id,
                str(offer.contract_months),
                money(offer.charged),
                money(offer.total),
                money(offer.saving),
            )
            for offer in offers
        ],
    )
