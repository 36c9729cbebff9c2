"""What people read about the selected provider's terms."""

from typing import Literal

from services.notification.plain_text import one_line, quoted
from shared.messages.base import Digest, Part, ProviderId
from shared.messages.providers import TermsDocument


class TermsToAccept(Part):
    """To the coordinator: the selected provider's terms lie before the group."""

    kind: Literal["terms_to_accept"] = "terms_to_accept"
    provider_id: ProviderId
    title: str
    terms_sha256: Digest
    document: TermsDocument | None = None

    def subject(self) -> str:
        """What the mail is about."""
        return "Terms to accept"

    def paragraphs(self) -> list[str]:
        """The mail's text."""
        return [
            f"Provider {self.provider_id}, whose reply the group selected, has presented its terms:",
            f"    {one_line(self.title)}\n    SHA-256 {self.terms_sha256}",
            *self._document(),
            "Please read them. Your answer cites this hash, so that it means exactly this text."
            if self.document is None
            else "Please read both. Your answer cites the first hash, so that it means exactly both.",
        ]

    def _document(self) -> list[str]:
        if self.document is None:
            return []
        name, media_type = one_line(self.document.name), self.document.media_type
        described = f"{name} ({media_type}, {self.document.size} bytes)"
        return ["A document belongs to them:", f"    {described}\n    SHA-256 {self.document.sha256}"]


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
