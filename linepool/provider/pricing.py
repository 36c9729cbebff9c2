"""Rating an offer offline on the request's usage by line, exactly as bidding will after the deadline.

What the group pays today is told to no bidder, so a provider sees every total but not the saving.
"""

from decimal import Decimal
from uuid import UUID

from linepool.offers.tariffs import TAX_BASES, tariff_of
from linepool.offers.validity import reasons_against
from linepool.provider.request import Request, RequestContent
from linepool.rating.comparison import Evaluation
from linepool.rating.evaluate import Reply, evaluate
from linepool.rating.lines import ServiceUsage, UsageLine
from linepool.rating.money import ZERO
from shared.messages.providers import Offer

LARGEST = Decimal("999999999999.99")
"""What an amount in a message can be."""
_ANY = UUID(int=0)


def problems_of(request: Request, offer: Offer) -> tuple[str, ...]:
    """Return why bidding would find the offer invalid, as sentences without subject; none where it would not."""
    known = reasons_against(request.content, offer)
    units = {part.service: part.unit for part in offer.components if part.kind == "usage"}
    for (service, unit), quantity in sorted(request.content.totals.items()):
        if not quantity:
            continue
        # Usage that was reported is rated even where the group did not ask for the service by name.
        if service not in units:
            known.append(f"does not price {service}")
        elif units[service] != unit:
            known.append(f"prices {service} per {units[service]}, the usage is in {unit}")
    if not known and _at_most(request.content, offer) > LARGEST:
        seen = preview(request, offer)
        if max(seen.term_total, seen.alone_total) > LARGEST:
            known.append("comes to more than an amount can be")
    return tuple(dict.fromkeys(known))


def preview(request: Request, offer: Offer) -> Evaluation:
    """Return what the group would see of a valid offer; rank and saving mean nothing here.

    Raises:
        RequestError: the request has no usage by line.
        ValueError: the offer is not valid; see `problems_of`.
    """
    content = request.content
    comparison = evaluate(
        _lines(request),
        [Reply(_ANY, 0, tariff_of(offer))],
        currency=content.currency,
        tax_basis=TAX_BASES[content.tax_basis],
        period_months=content.usage_period.months,
    )
    if not comparison.evaluations:
        raise ValueError("; ".join(comparison.not_evaluated[0].reasons))
    return comparison.evaluations[0]


def buyer_names(content: RequestContent) -> dict[UUID, str]:
    """Return what to call each buyer of a preview."""
    ids = _buyer_ids(content)
    return {ids[buyer.buyer]: buyer.legal_name or buyer.buyer for buyer in content.buyers}


def _at_most(content: RequestContent, offer: Offer) -> Decimal:
    """Return what the offer cannot exceed, for the group or for its members alone, without rating every line."""
    months, totals = content.contract_months, content.totals
    parts = {"line": content.line_count, "buyer": len(content.buyers), "group": len(content.buyers)}
    most = Decimal(0)
    for part in offer.components:
        if part.kind == "usage":
            dearest = max(part.price or 0, *(tier.price for tier in part.tiers), Decimal(0))
            # A line's charge is rounded up by half a cent at most.
            per_period = totals.get((part.service, part.unit), Decimal(0)) * dearest + content.line_count
            most += per_period * months
        else:
            most += part.price * parts[part.per] * (months if part.kind == "recurring" else 1)
    return most


def _lines(request: Request) -> list[UsageLine]:
    ids = _buyer_ids(request.content)
    return [
        UsageLine(
            buyer_id=ids[line.buyer],
            line_id=line.line,
            services=tuple(ServiceUsage(use.service, use.quantity, use.unit, ZERO) for use in line.services),
        )
        for line in request.usage_lines().lines
    ]


def _buyer_ids(content: RequestContent) -> dict[str, UUID]:
    # Labels count in the order of the true ids, so that cents left over fall to the same buyers.
    return {
        buyer.buyer: buyer.buyer_id or UUID(int=int("".join(filter(str.isdigit, buyer.buyer)) or 0))
        for buyer in content.buyers
    }
