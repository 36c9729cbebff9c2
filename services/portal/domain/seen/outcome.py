"""What came of the request: the comparison, the award and the terms."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from services.portal.domain.facts import Fact, newest, of_type
from services.portal.domain.roles import Standing
from shared.messages.base import SignedDecimal
from shared.messages.bidding import (
    ProviderSelected,
    RepliesCompared,
    TermsAccepted,
    TermsPresented,
    TermsRejected,
)
from shared.messages.providers import TermsDocument


class _Read(BaseModel):
    """What is read of the comparison document; it says more than is needed here."""

    model_config = ConfigDict(extra="ignore")


class SeenRow(_Read):
    """What one buyer would pay under one reply, over the term."""

    buyer_id: UUID
    line_count: int
    term_total: SignedDecimal
    charged_over_term: SignedDecimal
    saving: SignedDecimal
    exit_fees: SignedDecimal
    saving_after_exit_fees: SignedDecimal
    alone_total: SignedDecimal
    gain_from_group: SignedDecimal


class SeenReply(_Read):
    """One reply, compared."""

    rank: int
    reply_id: UUID
    provider_id: str = ""
    billing: str = ""
    """The provider's answer to the group's billing preferences."""
    tariff_name: str
    contract_months: int
    term_total: SignedDecimal
    one_time_total: SignedDecimal
    charged_over_term: SignedDecimal
    saving: SignedDecimal
    saving_after_exit_fees: SignedDecimal
    gain_from_group: SignedDecimal
    buyers_paying_more: tuple[UUID, ...]
    sensitivity: tuple[dict[str, Any], ...]
    buyers: tuple[SeenRow, ...]


class SeenComparison(_Read):
    """All replies on the group's own usage; a member sees the totals and its own row."""

    currency: str
    tax_basis: str
    period_months: int
    line_count: int
    buyer_count: int
    evaluations: tuple[SeenReply, ...]
    sha256: str = ""
    """Of the full comparison, as it was announced."""


class _GivenBy(_Read):
    provider_id: str
    billing: str


class _Replies(_Read):
    replies: dict[UUID, _GivenBy]


class SeenTerms(BaseModel):
    """The terms that lie before the group."""

    award: int
    provider_id: str
    title: str
    text: str
    terms_sha256: str
    """What an answer cites: over the text and the document's manifest."""
    document: TermsDocument | None
    state: str


class SeenAward(BaseModel):
    """The award that stands."""

    award: int
    provider_id: str
    reply_id: UUID
    selected_at: datetime


def comparison(facts: Sequence[Fact], document: bytes | None, who: Standing) -> SeenComparison | None:
    """Return the comparison, with the rows that this person may see."""
    compared = newest(facts, RepliesCompared)
    if compared is None or document is None:
        return None
    full = SeenComparison.model_validate_json(document)
    given_by = _Replies.model_validate_json(document).replies
    shown = tuple(
        one.model_copy(
            update={
                "provider_id": given_by[one.reply_id].provider_id,
                "billing": given_by[one.reply_id].billing,
                "buyers": tuple(row for row in one.buyers if who.sees_all or row.buyer_id in who.buyer_ids),
                "buyers_paying_more": one.buyers_paying_more
                if who.sees_all
                else tuple(buyer for buyer in one.buyers_paying_more if buyer in who.buyer_ids),
            }
        )
        for one in full.evaluations
    )
    return full.model_copy(update={"evaluations": shown, "sha256": compared.comparison_sha256})


def award(facts: Sequence[Fact]) -> SeenAward | None:
    """Return the award that stands."""
    for fact, one in reversed([*of_type(facts, ProviderSelected)]):
        return SeenAward(
            award=one.award, provider_id=one.provider_id, reply_id=one.reply_id, selected_at=fact.said_at
        )
    return None


def terms(facts: Sequence[Fact]) -> SeenTerms | None:
    """Return the newest terms, and what became of them."""
    presented = newest(facts, TermsPresented)
    if presented is None:
        return None
    accepted = any(one.terms_sha256 == presented.terms_sha256 for _, one in of_type(facts, TermsAccepted))
    rejected = any(one.terms_sha256 == presented.terms_sha256 for _, one in of_type(facts, TermsRejected))
    return SeenTerms(
        award=presented.award,
        provider_id=presented.provider_id,
        title=presented.title,
        text=presented.text,
        terms_sha256=presented.terms_sha256,
        document=presented.document,
        state="accepted" if accepted else "rejected" if rejected else "presented",
    )
