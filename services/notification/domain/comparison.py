"""The parts of the full comparison that mails are made from, as bidding's document says them."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict

from shared.messages.base import Currency, SignedDecimal


class ComparedBuyer(BaseModel):
    """What one buyer would pay under one reply, as the full comparison says it."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, extra="ignore")

    buyer_id: UUID
    term_total: SignedDecimal
    charged_over_term: SignedDecimal
    saving: SignedDecimal


class ComparedReply(BaseModel):
    """One reply in the full comparison."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, extra="ignore")

    rank: int
    reply_id: UUID
    contract_months: int
    term_total: SignedDecimal
    charged_over_term: SignedDecimal
    saving: SignedDecimal
    buyers: tuple[ComparedBuyer, ...]


class Comparison(BaseModel):
    """The parts of the full comparison that mails are made from."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, extra="ignore")

    currency: Currency
    tax_basis: str
    evaluations: tuple[ComparedReply, ...]
