"""Evaluating a box's valid replies on the pinned usage: pure computing, made to run in a worker process.

The comparison is a JSON document: what `linepool.rating` finds out, and beside it which provider gave each reply
and how it answers the billing preferences.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

from linepool.offers.tariffs import TAX_BASES, tariff_of
from linepool.rating.comparison import Comparison
from linepool.rating.evaluate import Reply, evaluate
from linepool.rating.lines import ServiceUsage, UsageLine
from linepool.rating.money import over_months
from services.bidding.domain.box import StoredReply
from shared.canonical import canonical_json
from shared.messages.aggregation import LineUsage, UsageLinesReported
from shared.messages.providers import Offer
from shared.usage_digest import usage_digest

LARGEST_AMOUNT = Decimal("999999999999.99")
"""What an amount in a message can be."""


@dataclass(frozen=True)
class Task:
    """What is to be evaluated. `usage` are bodies of `UsageLinesReported`: every part of the pinned reports."""

    purchase_id: UUID
    request_version: int
    usage_digest: str
    currency: str
    tax_basis: str
    contract_months: int
    period_months: int
    starts_on: date
    """The earliest day a new contract can begin; exit fees count for present contracts that outlast it."""
    usage: tuple[bytes, ...]
    replies: tuple[StoredReply, ...]


@dataclass(frozen=True)
class Ranked:
    """An evaluated reply; `total` and `saving` are over the term."""

    reply_id: UUID
    provider_id: str
    rank: int
    total: Decimal
    saving: Decimal


@dataclass(frozen=True)
class Evaluated:
    """The outcome. `charged` is over the same term; `disqualified` cannot be compared, each with its reason."""

    document: bytes
    charged: Decimal
    ranked: tuple[Ranked, ...]
    disqualified: tuple[tuple[UUID, str, str], ...]
    """Reply, provider and reason."""


@dataclass(frozen=True)
class UsageDiffers:
    """The copy of the usage is not what was pinned."""

    found: str


def evaluate_replies(task: Task) -> Evaluated | UsageDiffers:
    """Evaluate every reply on every line, if the lines are exactly the pinned ones."""
    lines = list(_lines(task.usage))
    found = usage_digest(lines)
    if found != task.usage_digest:
        return UsageDiffers(found)
    usage = [_usage_line(buyer_id, line) for buyer_id, line in lines]
    comparison = _compare(task, usage, task.replies)
    disqualified = {one.reply_id: "; ".join(one.reasons) for one in comparison.not_evaluated}
    for one in comparison.evaluations:
        if max(one.term_total, abs(one.saving), one.alone_total) > LARGEST_AMOUNT:
            disqualified[one.reply_id] = "comes to more than an amount can be"
    if len(disqualified) > len(comparison.not_evaluated):
        # Ranks are without gaps, so what cannot be told to anyone is left out before ranking.
        comparison = _compare(task, usage, [one for one in task.replies if one.reply_id not in disqualified])
    provider_of = {one.reply_id: one.provider_id for one in task.replies}
    return Evaluated(
        document=_document(task, comparison, disqualified),
        charged=_charged(task, comparison),
        ranked=tuple(
            Ranked(one.reply_id, provider_of[one.reply_id], one.rank, one.term_total, one.saving)
            for one in comparison.evaluations
        ),
        disqualified=tuple(
            (reply_id, provider_of[reply_id], reason) for reply_id, reason in sorted(disqualified.items())
        ),
    )


def _lines(usage: tuple[bytes, ...]) -> Iterator[tuple[UUID, LineUsage]]:
    for body in usage:
        part = UsageLinesReported.model_validate_json(body)
        for line in part.lines:
            yield part.buyer_id, line


def _usage_line(buyer_id: UUID, line: LineUsage) -> UsageLine:
    return UsageLine(
        buyer_id=buyer_id,
        line_id=line.line_id,
        services=tuple(
            ServiceUsage(use.service, use.quantity, use.unit, use.charged) for use in line.services
        ),
        recurring_charged=line.recurring_charged,
        contract_end=line.contract_end,
        exit_fee=line.exit_fee,
    )


def _compare(
    task: Task, usage: list[UsageLine], replies: tuple[StoredReply, ...] | list[StoredReply]
) -> Comparison:
    return evaluate(
        usage,
        [Reply(one.reply_id, _milliseconds(one.appended_at), tariff_of(_offer(one))) for one in replies],
        currency=task.currency,
        tax_basis=TAX_BASES[task.tax_basis],
        period_months=task.period_months,
        starts_on=task.starts_on,
    )


def _charged(task: Task, comparison: Comparison) -> Decimal:
    if comparison.evaluations:
        return comparison.evaluations[0].charged_over_term
    return over_months(comparison.charged_in_period, task.contract_months, task.period_months)


def _document(task: Task, comparison: Comparison, disqualified: dict[UUID, str]) -> bytes:
    return canonical_json(
        {
            **comparison.to_json(),
            "not_evaluated": [
                {"reply_id": str(reply_id), "reason": reason}
                for reply_id, reason in sorted(disqualified.items())
            ],
            "purchase_id": str(task.purchase_id),
            "request_version": task.request_version,
            "usage_digest": task.usage_digest,
            "replies": {
                str(one.reply_id): {
                    "provider_id": one.provider_id,
                    "revision": one.revision,
                    "appended_at": one.appended_at.astimezone(UTC).isoformat(),
                    "billing": _offer(one).billing,
                }
                for one in task.replies
            },
        }
    )


def _milliseconds(time: datetime) -> int:
    return round(time.timestamp() * 1000)


def _offer(reply: StoredReply) -> Offer:
    if not isinstance(reply.offer, Offer):
        raise TypeError("only a reply with a valid offer is evaluated")
    return reply.offer
