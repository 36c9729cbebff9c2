"""What people read about their group: who joins, whether it becomes large enough, whether it is verified."""

from typing import Literal

from services.notification.plain_text import counted, moment, one_line, paragraph, quoted
from shared.messages.base import Count, Part, Time


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


class Smallest(Part):
    """How large the group had to become."""

    buyers: Count
    lines: Count
    decide_by: Time


class MinimumMissed(Part):
    """To everyone: the time is over, the group is too small, and its coordinator decides what becomes of it."""

    kind: Literal["minimum_missed"] = "minimum_missed"
    buyers: Count
    lines: Count
    """How large it was."""
    needed: Smallest | None
    """None where it is not known."""
    decides: bool
    """Whether the reader is the coordinator."""

    def subject(self) -> str:
        """What the mail is about."""
        return "The group is smaller than it had to become"

    def paragraphs(self) -> list[str]:
        """The mail's text."""
        text = [f"The time in which the group had to grow is over. It has {_size(self.buyers, self.lines)}."]
        if self.needed is not None:
            needed = _size(self.needed.buyers or None, self.needed.lines or None)
            text.append(f"It needed at least {needed} by {moment(self.needed.decide_by)}.")
        if not self.decides:
            return [
                paragraph(*text),
                "The coordinator decides now whether the group goes on, and you are told.",
            ]
        return [
            paragraph(*text),
            paragraph(
                "You decide now: close the group as it is, give its members more time with another minimum,",
                "or give it up. Until then nothing happens.",
            ),
        ]


class Dissolved(Part):
    """To everyone: the group is given up."""

    kind: Literal["dissolved"] = "dissolved"
    reason: str

    def subject(self) -> str:
        """What the mail is about."""
        return "The group is given up"

    def paragraphs(self) -> list[str]:
        """The mail's text."""
        return [
            "The group was given up before it was closed. The reason given:",
            quoted(self.reason),
            paragraph(
                "No provider was shown anything of it. Nothing more is taken for this purchase;",
                "to buy together after all, a new group is opened.",
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


def _size(buyers: int | None, lines: int | None) -> str:
    """Name how many members and lines; None of one that nothing was said of."""
    members = [] if buyers is None else [counted(buyers, "member")]
    usage = [] if lines is None else [f"{counted(lines, 'line')} of reported usage"]
    return " and ".join(members + usage)
