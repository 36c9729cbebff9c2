"""What a person reads when how they sign in or are reached has changed: whoever did not do it learns that somebody did."""

from typing import Literal

from services.notification.plain_text import moment, paragraph
from shared.messages.base import Part, Time

_NOT_YOU = (
    "If that was not you, ask for a new initial password at once, choose another password with it,",
    "and tell the operator of Linepool: somebody else was signed in as you.",
)


class PasswordChanged(Part):
    """To a person who has another password of their own than before."""

    kind: Literal["password_changed"] = "password_changed"
    at: Time

    def subject(self) -> str:
        """What the mail is about."""
        return "Your password was changed"

    def paragraphs(self) -> list[str]:
        """The mail's text."""
        return [
            f"Your password was changed on {moment(self.at)}. The one before no longer works.",
            paragraph(*_NOT_YOU),
        ]


class AddressChanged(Part):
    """To the address that counts now, and to the one that counted before; neither is named."""

    kind: Literal["address_changed"] = "address_changed"
    at: Time
    to_former: bool
    """Whether this goes to the address that counted before."""

    def subject(self) -> str:
        """What the mail is about."""
        return "Your mail address was changed"

    def paragraphs(self) -> list[str]:
        """The mail's text."""
        if self.to_former:
            return [
                paragraph(
                    f"Since {moment(self.at)}, Linepool's mails to you go to another address.",
                    "This is the last one to this address.",
                ),
                paragraph(
                    "If that was not you, tell the operator of Linepool at once: somebody else may sign in as you."
                ),
            ]
        return [
            f"Since {moment(self.at)}, Linepool's mails to you go to this address.",
            "The address before is told that it is no longer used, and not which one is.",
        ]


class SecondFactorChanged(Part):
    """To a person whose sign-in asks for a time-based code, or no longer."""

    kind: Literal["second_factor_changed"] = "second_factor_changed"
    at: Time
    enabled: bool

    def subject(self) -> str:
        """What the mail is about."""
        return "Your second factor is on" if self.enabled else "Your second factor is off"

    def paragraphs(self) -> list[str]:
        """The mail's text."""
        asks = "asks for a code of your authenticator too" if self.enabled else "asks for your password alone"
        return [
            f"Since {moment(self.at)}, signing in {asks}.",
            paragraph(*_NOT_YOU),
        ]
