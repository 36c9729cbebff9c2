"""What the group may order once its replies are compared: select one, accept or reject its terms."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from services.bidding.domain.box import Box
from shared.messages.bidding import AcceptTerms, ProviderSelected, RejectTerms, SelectReply, Unsuccessful
from shared.outcomes import NotYet, Refusal

REASON_BYTES = 700 * 1024
"""All reasons of a selection travel in one message."""


@dataclass(frozen=True)
class RankedReply:
    """A compared reply."""

    reply_id: UUID
    provider_id: str
    rank: int


@dataclass(frozen=True)
class Award:
    """An award of a purchase."""

    number: int
    provider_id: str
    reply_id: UUID
    standing: bool


@dataclass(frozen=True)
class Terms:
    """Terms that were presented for an award; `answer` is None while they lie before the group."""

    id: UUID
    award: int
    sha256: str
    answer: Literal["accepted", "rejected"] | None


def may_order(person_id: UUID, coordinator_id: UUID | None) -> Refusal | NotYet | None:
    """Whether this person coordinates the group."""
    if coordinator_id is None:
        return NotYet("unknown_purchase", "There is no closed group with this id.")
    if person_id != coordinator_id:
        return Refusal("not_coordinator", "Only the group's coordinator may give this order.")
    return None


def select(
    command: SelectReply, box: Box, ranked: Sequence[RankedReply], awards: Sequence[Award]
) -> ProviderSelected | Refusal | NotYet:
    """Select one of the compared replies, if none is selected."""
    if refused := _refused_before_looking(box, awards):
        return refused
    selected = next((one for one in ranked if one.reply_id == command.reply_id), None)
    others = [one for one in ranked if one.reply_id != command.reply_id]
    if selected is None:
        return Refusal("unknown_reply", "It is none of the compared replies.")
    own = {reason.reply_id: reason.reason for reason in command.reasons}
    if len(own) != len(command.reasons) or own.keys() - {one.reply_id for one in others}:
        return Refusal("unknown_reply", "Reasons are for the other compared replies, at most one for each.")
    unsuccessful = tuple(
        Unsuccessful(
            provider_id=one.provider_id,
            reply_id=one.reply_id,
            rank=one.rank,
            reason=own.get(one.reply_id, command.reason_for_others),
        )
        for one in sorted(others, key=lambda one: one.rank)
    )
    if sum(len(one.reason.encode()) for one in unsuccessful) > REASON_BYTES:
        return Refusal("reasons_too_long", "All reasons together are too long for one message.")
    return ProviderSelected(
        purchase_id=box.purchase_id,
        award=1 + max((award.number for award in awards), default=0),
        provider_id=selected.provider_id,
        reply_id=selected.reply_id,
        others=unsuccessful,
    )


def _refused_before_looking(box: Box, awards: Sequence[Award]) -> Refusal | NotYet | None:
    if box.stage == "cancelled":
        return Refusal("cancelled", "The purchase was called off.")
    if box.stage != "compared":
        return NotYet("not_compared", "The replies are not compared yet.")
    if any(award.standing for award in awards):
        return Refusal("already_selected", "Another reply is selected.")
    return None


@dataclass(frozen=True)
class Agreed:
    """The terms that an answer is about, and the award that they are for."""

    award: Award
    terms: Terms


def answer_terms(
    command: AcceptTerms | RejectTerms, box: Box, awards: Sequence[Award], terms: Sequence[Terms]
) -> Agreed | Refusal | NotYet:
    """Find the terms that the order cites by their hash: those of the standing award that await an answer."""
    if box.stage == "cancelled":
        return Refusal("cancelled", "The purchase was called off.")
    award = next((one for one in awards if one.standing), None)
    if award is None or award.number != command.award:
        return Refusal("no_such_award", "It is not the award that stands.")
    of_award = [one for one in terms if one.award == award.number]
    if any(one.answer == "accepted" for one in of_award):
        return Refusal("already_accepted", "The terms were accepted.")
    presented = next((one for one in of_award if one.answer is None), None)
    if presented is None:
        return NotYet("no_terms", "No terms lie before the group.")
    if presented.sha256 != command.terms_sha256:
        return Refusal("wrong_terms", "The terms that lie before the group have another hash.")
    return Agreed(award, presented)
