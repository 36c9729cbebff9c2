"""What can go wrong on a provider's side, each with one sentence; waiting too long is a TimeoutError."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.messages.bidding import MessageRejected
from shared.messages.notification import AccessRefusalNotified


class ProviderError(Exception):
    """Something did not work; the text says what, in one sentence."""


class BundleError(ProviderError):
    """The bundle lacks something, or cannot be read."""


class RequestError(ProviderError):
    """A request, or a document of it, is not what its manifest says."""


class SealError(ProviderError):
    """The key of the request is not one that an offer may be sealed to."""


class OfferError(ProviderError):
    """The offer would be no answer to the request. `reasons` are sentences without subject."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("the offer " + "; ".join(reasons))
        self.reasons = tuple(reasons)


class TermsError(ProviderError):
    """The document cannot belong to terms: it is empty, too large, or its name cannot be sent."""


class RejectedError(ProviderError):
    """The message was not taken, or access was not granted. `answer` is the notice that says so."""

    def __init__(self, answer: MessageRejected | AccessRefusalNotified) -> None:
        super().__init__(f"rejected as {answer.reason}: {answer.detail}")
        self.answer = answer


@dataclass(frozen=True)
class Problem:
    """What is wrong with one cell."""

    cell: str
    """Its sheet and place, such as `Prices!C14`; empty where the whole file is meant."""
    reason: str

    def __str__(self) -> str:
        return f"{self.cell}: {self.reason}" if self.cell else self.reason


class SheetError(ProviderError):
    """The price sheet is not filled in as it must be. `problems` names each cell and why."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)
