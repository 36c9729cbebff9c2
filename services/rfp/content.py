"""What an issued request says to providers: its content, the usage by line, and a sample of a reply.

What the members were charged, and what leaving a contract costs them, stays in the group: it would tell bidders how much to ask.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from services.rfp.domain import FIRST_VERSION, Buyer
from shared.canonical import canonical_json
from shared.messages.aggregation import BillingPreferences, GroupAggregated, LineUsage
from shared.messages.base import Quantity
from shared.messages.providers import Offer, OneTimePrice, RecurringPrice, ReplySubmitted, UsagePrice
from shared.messages.rfp import DescribeNeed

Usage = Sequence[tuple[UUID, LineUsage]]
"""(buyer id, line), the lines of the reports that count."""
CONTENT = "request"
USAGE_LINES = "usage-lines"
"""The names of a request's documents."""


def request_content(
    aggregated: GroupAggregated, members: Sequence[Buyer], usage: Usage, need: DescribeNeed
) -> bytes:
    """Return the content as canonical JSON: what is asked for, by whom, their totals, and how a reply must look.

    With `pseudonymous` a buyer has only a label. Labels count the buyers in the order of their ids, so that the winner, who
    learns the ids with the award, can tell them.
    """
    labels = _labels(members)
    content: dict[str, Any] = {
        "purchase_id": str(aggregated.purchase_id),
        "request_version": FIRST_VERSION,
        "group": aggregated.name if need.buyers_shown == "named" else None,
        "currency": aggregated.currency,
        "tax_basis": aggregated.tax_basis,
        "need": need.model_dump(mode="json", exclude={"purchase_id"}),
        "usage_period": aggregated.period.model_dump(mode="json"),
        "usage_digest": aggregated.usage_digest,
        "buyers": [
            {
                "buyer": labels[buyer.buyer_id],
                **_identity(buyer, need.buyers_shown),
                "billing_preferences": _preferences(aggregated.billing_preferences.get(buyer.buyer_id)),
                **_totals(line for buyer_id, line in usage if buyer_id == buyer.buyer_id),
            }
            for buyer in members
        ],
        "sample_reply": sample_reply(aggregated, need).model_dump(mode="json", exclude_none=True),
    }
    return canonical_json(content)


def usage_lines(members: Sequence[Buyer], usage: Usage, shown: Literal["named", "pseudonymous"]) -> bytes:
    """Return the usage by line as canonical JSON: quantities and contract ends, sorted by buyer and line.

    A line's id may be its telephone number, so with `pseudonymous` the lines of a buyer are counted instead.
    """
    labels = _labels(members)
    lines = []
    by_buyer: dict[UUID, list[LineUsage]] = defaultdict(list)
    for buyer_id, line in usage:
        by_buyer[buyer_id].append(line)
    for buyer in members:
        ordered = sorted(by_buyer[buyer.buyer_id], key=lambda line: line.line_id)
        for number, line in enumerate(ordered, start=1):
            lines.append(
                {
                    "buyer": labels[buyer.buyer_id],
                    "line": line.line_id if shown == "named" else f"{labels[buyer.buyer_id]}-L{number}",
                    "services": [
                        {"service": use.service, "quantity": _plain(use.quantity), "unit": use.unit}
                        for use in sorted(line.services, key=lambda use: use.service)
                    ],
                    "contract_end": line.contract_end.isoformat() if line.contract_end else None,
                }
            )
    return canonical_json({"lines": lines})


def sample_reply(aggregated: GroupAggregated, need: DescribeNeed) -> ReplySubmitted:
    """Return a reply that would be valid: a monthly price per line, and a price for each service that is asked for."""
    nothing = Decimal("0.00")
    offer = Offer(
        name="The name of your tariff",
        currency=aggregated.currency,
        tax_basis=aggregated.tax_basis,
        contract_months=need.contract_months,
        components=(
            RecurringPrice(kind="recurring", per="line", price=nothing),
            OneTimePrice(kind="one_time", per="line", price=nothing),
            *(
                UsagePrice(kind="usage", service=one.service, unit=one.unit, price=nothing)
                for one in need.services
            ),
        ),
        billing="Your answer to each buyer's billing preferences",
    )
    return ReplySubmitted(
        purchase_id=aggregated.purchase_id,
        request_version=FIRST_VERSION,
        revision=1,
        seal="none",
        offer=offer,
    )


def _labels(members: Sequence[Buyer]) -> Mapping[UUID, str]:
    ordered = sorted((buyer.buyer_id for buyer in members), key=str)
    return {buyer_id: f"B{number}" for number, buyer_id in enumerate(ordered, start=1)}


def _identity(buyer: Buyer, shown: Literal["named", "pseudonymous"]) -> dict[str, Any]:
    if shown == "pseudonymous":
        return {}
    return {
        "buyer_id": str(buyer.buyer_id),
        "legal_name": buyer.legal_name,
        "identifiers": [one.model_dump() for one in buyer.identifiers],
    }


def _preferences(preferences: BillingPreferences | None) -> dict[str, Any] | None:
    return preferences.model_dump() if preferences else None


def _totals(lines: Iterable[LineUsage]) -> dict[str, Any]:
    count = 0
    totals: dict[tuple[str, str], Quantity] = defaultdict(Decimal)
    for line in lines:
        count += 1
        for use in line.services:
            totals[use.service, use.unit] += use.quantity
    return {
        "lines": count,
        "usage": [
            {"service": service, "unit": unit, "quantity": _plain(quantity)}
            for (service, unit), quantity in sorted(totals.items())
        ],
    }


def _plain(quantity: Decimal) -> str:
    return format(quantity, "f")
