"""What people read about the replies: each its own figures, and the coordinator the group's."""

from typing import Literal

from services.notification.plain_text import moment, money, one_line, paragraph, table
from shared.messages.base import Amount, Currency, Number, Part, ProviderId, SignedAmount, Time


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


class KeyAwaited(Part):
    """To the coordinator: the deadline passed, and the replies are sealed for a custodian too."""

    kind: Literal["key_awaited"] = "key_awaited"
    custodian: str

    def subject(self) -> str:
        """What the mail is about."""
        return "The replies wait for the custodian's key"

    def paragraphs(self) -> list[str]:
        """The mail's text."""
        return [
            paragraph(
                "The deadline has passed. The replies are also sealed for",
                f"{one_line(self.custodian)}, and nobody can open them without that key.",
            ),
            paragraph(
                "Please ask the custodian to release it (linepool custodian release), and hand it in at the",
                "portal (linepool request release-key). The key opens the replies to this request and no others.",
            ),
        ]


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
