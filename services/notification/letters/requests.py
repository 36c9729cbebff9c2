"""What people read about the request that is with the providers."""

from typing import Literal
from uuid import UUID

from services.notification.plain_text import moment, one_line, paragraph, quoted
from shared.messages.base import Count, Part, Time


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
