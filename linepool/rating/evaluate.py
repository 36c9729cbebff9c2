"""Evaluating replies: every reply's tariff rated on exactly the same usage, and ranked.

The lowest total over the term has rank 1. Where replies bind for different terms, the totals per contract
month are ranked instead, which is the same order where the terms are equal. Exit fees are the same whichever
reply is selected, so they are shown but not ranked. Equal prices rank by the earlier append time, then by
reply id.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from linepool.rating.comparison import (
    BuyerResult,
    Comparison,
    ComponentTotal,
    Evaluation,
    NotEvaluated,
    Sensitivity,
    WorstOff,
)
from linepool.rating.lines import BuyerUsage, GroupUsage, UsageLine, group_usage
from linepool.rating.money import EXACT, over_months, total
from linepool.rating.rate import AS_REPORTED, Charge, group_price, rate, unpriced_usage
from linepool.rating.tariff import OneTime, Recurring, Tariff, TaxBasis, UsagePrice

SENSITIVITY_PERCENTS = (80, 120)


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply to compare. `append_time` is when Kafka appended it, in milliseconds since 1970 UTC."""

    reply_id: UUID
    append_time: int
    tariff: Tariff


@dataclass(frozen=True, slots=True)
class _Evaluated:
    """A reply with its buyers' results and its term totals by usage percent, before ranks are known."""

    reply: Reply
    buyers: tuple[BuyerResult, ...]
    components: tuple[ComponentTotal, ...]
    term_totals: dict[int, Decimal]


def evaluate(
    lines: Iterable[UsageLine],
    replies: Sequence[Reply],
    *,
    currency: str,
    tax_basis: TaxBasis,
    period_months: int,
    starts_on: date | None = None,
) -> Comparison:
    """Compare replies on the usage of one group; the order of lines and of replies changes nothing.

    Args:
        lines: the usage of all buyers in the reported period, in `currency` and `tax_basis`.
        replies: each id once. A reply in another currency or tax basis, or one that does not price a service
            in use, is listed with the reasons and not ranked.
        currency: ISO 4217 code of the purchase.
        tax_basis: of the purchase.
        period_months: length of the reported period, at least 1.
        starts_on: first day of the new contract; exit fees count for contracts that still run then.

    Raises:
        UsageError: the usage cannot be rated.
        ValueError: `period_months` is not positive, or a reply id stands twice.
    """
    if period_months < 1:
        raise ValueError("period_months must be at least 1")
    if len({reply.reply_id for reply in replies}) != len(replies):
        raise ValueError("a reply is given twice")
    group = group_usage(lines, starts_on=starts_on)
    evaluated: list[_Evaluated] = []
    not_evaluated: list[NotEvaluated] = []
    for reply in sorted(replies, key=lambda reply: reply.reply_id):
        reasons = _reasons_against(reply.tariff, group, currency, tax_basis)
        if reasons:
            not_evaluated.append(NotEvaluated(reply.reply_id, reasons))
        else:
            evaluated.append(_evaluated(reply, group.buyers, period_months))
    ranks = {percent: _ranks(evaluated, percent) for percent in (AS_REPORTED, *SENSITIVITY_PERCENTS)}
    evaluations = sorted(
        (_evaluation(one, ranks) for one in evaluated), key=lambda evaluation: evaluation.rank
    )
    return Comparison(
        currency=currency,
        tax_basis=tax_basis.value,
        period_months=period_months,
        line_count=sum(buyer.line_count for buyer in group.buyers),
        buyer_count=len(group.buyers),
        charged_in_period=total(buyer.charged for buyer in group.buyers),
        evaluations=tuple(evaluations),
        not_evaluated=tuple(not_evaluated),
    )


def _reasons_against(
    tariff: Tariff, group: GroupUsage, currency: str, tax_basis: TaxBasis
) -> tuple[str, ...]:
    reasons: list[str] = []
    if tariff.currency != currency:
        reasons.append(f"is in {tariff.currency}, the purchase is in {currency}")
    if tariff.tax_basis != tax_basis:
        reasons.append(f"is {tariff.tax_basis}, the purchase is {tax_basis}")
    return (*reasons, *unpriced_usage(tariff, group))


def _evaluated(reply: Reply, buyers: Sequence[BuyerUsage], period_months: int) -> _Evaluated:
    tariff = reply.tariff
    in_group = rate(tariff, buyers, period_months=period_months)
    results: list[BuyerResult] = []
    for buyer in buyers:
        alone = rate(tariff, [buyer], period_months=period_months)[buyer.buyer_id]
        results.append(_buyer_result(buyer, tariff, in_group[buyer.buyer_id], alone, period_months))
    term_totals = {AS_REPORTED: total(result.term_total for result in results)}
    for percent in SENSITIVITY_PERCENTS:
        rating = rate(tariff, buyers, period_months=period_months, usage_percent=percent)
        term_totals[percent] = total(charge.term for charges in rating.values() for charge in charges)
    components = tuple(
        _component_total(
            tariff, index, buyers, [charges[index] for charges in in_group.values()], period_months
        )
        for index in range(len(tariff.components))
    )
    return _Evaluated(reply, tuple(results), components, term_totals)


def _buyer_result(
    buyer: BuyerUsage, tariff: Tariff, charges: Sequence[Charge], alone: Sequence[Charge], period_months: int
) -> BuyerResult:
    term_total = total(charge.term for charge in charges)
    alone_total = total(charge.term for charge in alone)
    charged_over_term = over_months(buyer.charged, tariff.contract_months, period_months)
    saving = EXACT.subtract(charged_over_term, term_total)
    return BuyerResult(
        buyer_id=buyer.buyer_id,
        line_count=buyer.line_count,
        term_total=term_total,
        period_total=total(charge.period for charge in charges),
        one_time_total=total(
            charge.term
            for part, charge in zip(tariff.components, charges, strict=True)
            if isinstance(part, OneTime)
        ),
        charged_over_term=charged_over_term,
        saving=saving,
        exit_fees=buyer.exit_fees,
        saving_after_exit_fees=EXACT.subtract(saving, buyer.exit_fees),
        alone_total=alone_total,
        gain_from_group=EXACT.subtract(alone_total, term_total),
    )


def _component_total(
    tariff: Tariff, index: int, buyers: Sequence[BuyerUsage], charges: Sequence[Charge], period_months: int
) -> ComponentTotal:
    component = tariff.components[index]
    price = component.price
    match component:
        case UsagePrice():
            kind, subject = "usage", component.service
            price = group_price(component, buyers, period_months=period_months, usage_percent=AS_REPORTED)
        case Recurring():
            kind, subject = "recurring", component.per.value
        case OneTime():
            kind, subject = "one_time", component.per.value
    return ComponentTotal(
        kind=kind,
        subject=subject,
        unit_price=price,
        period_total=total(charge.period for charge in charges),
        term_total=total(charge.term for charge in charges),
    )


def _ranks(evaluated: Sequence[_Evaluated], percent: int) -> dict[UUID, int]:
    def order(one: _Evaluated) -> tuple[Fraction, int, UUID]:
        per_month = Fraction(one.term_totals[percent]) / one.reply.tariff.contract_months
        return per_month, one.reply.append_time, one.reply.reply_id

    return {one.reply.reply_id: rank for rank, one in enumerate(sorted(evaluated, key=order), start=1)}


def _evaluation(one: _Evaluated, ranks: dict[int, dict[UUID, int]]) -> Evaluation:
    reply_id = one.reply.reply_id
    paying_more = [buyer for buyer in one.buyers if buyer.saving < 0]
    worst = min(paying_more, key=lambda buyer: buyer.saving, default=None)
    return Evaluation(
        rank=ranks[AS_REPORTED][reply_id],
        reply_id=reply_id,
        tariff_name=one.reply.tariff.name,
        contract_months=one.reply.tariff.contract_months,
        term_total=one.term_totals[AS_REPORTED],
        period_total=total(buyer.period_total for buyer in one.buyers),
        one_time_total=total(buyer.one_time_total for buyer in one.buyers),
        charged_over_term=total(buyer.charged_over_term for buyer in one.buyers),
        saving=total(buyer.saving for buyer in one.buyers),
        exit_fees=total(buyer.exit_fees for buyer in one.buyers),
        saving_after_exit_fees=total(buyer.saving_after_exit_fees for buyer in one.buyers),
        alone_total=total(buyer.alone_total for buyer in one.buyers),
        gain_from_group=total(buyer.gain_from_group for buyer in one.buyers),
        buyers_paying_more=tuple(buyer.buyer_id for buyer in paying_more),
        worst_off=None if worst is None else WorstOff(worst.buyer_id, EXACT.minus(worst.saving)),
        sensitivity=tuple(
            Sensitivity(percent, one.term_totals[percent], ranks[percent][reply_id])
            for percent in SENSITIVITY_PERCENTS
        ),
        components=one.components,
        buyers=one.buyers,
    )
