"""Showing on a terminal what the group will see of an offer."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from linepool.provider.pricing import buyer_names
from linepool.provider.request import Request
from linepool.rating.comparison import Evaluation
from shared.messages.providers import Offer

_KINDS = {"recurring": "each month, per", "one_time": "once, per", "usage": "usage of"}


def show_preview(console: Console, request: Request, offer: Offer, seen: Evaluation) -> None:
    """Print totals, components and each buyer's share, rated on the request's own usage by line."""
    content, currency = request.content, request.content.currency
    console.print(f"[bold]{escape(offer.name)}[/bold] for {escape(content.need.title)}")
    console.print(
        f"What the group will see, in {currency} ({content.tax_basis}), over {seen.contract_months} months:"
    )
    parts = Table("component", "unit price", "over the term", box=None)
    for part in seen.components:
        parts.add_row(
            escape(f"{_KINDS[part.kind]} {part.subject}"), f"{part.unit_price:f}", f"{part.term_total:,.2f}"
        )
    console.print(parts)
    buyers = Table("buyer", "lines", "over the term", "the same tariff alone", box=None)
    names = buyer_names(content)
    for buyer in seen.buyers:
        buyers.add_row(
            escape(names[buyer.buyer_id]),
            str(buyer.line_count),
            f"{buyer.term_total:,.2f}",
            f"{buyer.alone_total:,.2f}",
        )
    console.print(buyers)
    console.print(f"[bold]Total over the term: {seen.term_total:,.2f} {currency}[/bold]")
    console.print(f"of it once: {seen.one_time_total:,.2f}; in the reported period: {seen.period_total:,.2f}")
    for one in seen.sensitivity:
        console.print(f"at {one.usage_percent} % of this usage: {one.term_total:,.2f}")
    console.print(f"the members alone, each at this tariff: {seen.alone_total:,.2f}")
    console.print("The group also sees its saving against what it pays today; that is told to no bidder.")
    sealed, custodian = request.presented.seal == "hpke", request.content.need.custodian
    console.print(
        "The reply is sealed: nobody can read it before the deadline."
        if sealed
        else "This request takes replies unsealed."
    )
    if sealed and custodian is not None:
        console.print(
            f"It is sealed twice: without {escape(custodian.name)}, whose key is {custodian.public_key}, nobody can ever."
        )
