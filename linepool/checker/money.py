"""The totals of every comparison, computed again in the plainest way from usage lines and offers."""

import json
from base64 import b64decode
from collections import defaultdict
from collections.abc import Iterator, Mapping
from decimal import ROUND_HALF_UP, Decimal, localcontext
from hashlib import sha256
from typing import Any

from linepool.checker.history import History, Record
from linepool.checker.report import Verdict, found

CENT = Decimal("0.01")
Lines = Mapping[str, list[dict[str, Any]]]
"""The lines of each buyer."""


def check_money(history: History) -> Verdict:
    """Judge charged, total, saving and rank of every evaluated reply, and the hash of the full comparison."""
    compared = history.facts("bidding.events", "replies-compared")
    with localcontext() as context:
        context.prec = 60
        findings = [finding for record in compared for finding in _comparison(history, record)]
    return found("money", findings, sum(len(record.body["replies"]) for record in compared))


def _comparison(history: History, record: Record) -> Iterator[str]:
    group = _only(history.facts("aggregation.events", "group-aggregated"), record.purchase)
    requests = [
        one
        for one in history.facts("rfp.events", "request-issued")
        if one.purchase == record.purchase and one.body["request_version"] == record.body["request_version"]
    ]
    if group is None or len(requests) != 1:
        yield f"{record.place} compares replies without one frozen group and one request"
        return
    lines = _usage(history, group)
    months = int(group.body["period"]["months"])
    term = int(requests[0].body["contract_months"])
    charged = sum((_over(_charged(own), term, months) for own in lines.values()), Decimal(0))
    if Decimal(record.body["charged"]) != charged:
        yield f"{record.place} says {record.body['charged']} was charged, the lines say {charged}"
    offers = _offers(history)
    ranked = sorted(record.body["replies"], key=lambda reply: int(reply["rank"]))
    order: list[Decimal] = []
    for reply in ranked:
        offer = offers.get(reply["reply_id"])
        if offer is None:
            yield f"{record.place} evaluates reply {reply['reply_id']}, which is on no replies topic"
            continue
        total = rated(offer, lines, months)
        saving = sum(
            (_over(_charged(own), offer["contract_months"], months) for own in lines.values()), -total
        )
        order.append(total / offer["contract_months"])
        if Decimal(reply["total"]) != total:
            yield f"{record.place} says reply {reply['reply_id']} costs {reply['total']}, it costs {total}"
        if Decimal(reply["saving"]) != saving:
            yield f"{record.place} says reply {reply['reply_id']} saves {reply['saving']}, it saves {saving}"
    if order != sorted(order) or [int(reply["rank"]) for reply in ranked] != list(range(1, len(ranked) + 1)):
        yield f"{record.place} does not rank its replies by what they cost"
    yield from _document(history, record)


def rated(offer: Mapping[str, Any], lines: Lines, months: int) -> Decimal:
    """Return what the group pays over the offer's term, for usage that was reported over `months` months."""
    term = int(offer["contract_months"])
    line_count = sum(len(own) for own in lines.values())
    total = Decimal(0)
    for component in offer["components"]:
        if component["kind"] == "usage":
            price = _price(component, lines, months)
            for own in lines.values():
                period = sum(
                    (
                        (Decimal(use["quantity"]) * price).quantize(CENT, ROUND_HALF_UP)
                        for line in own
                        for use in line["services"]
                        if use["service"] == component["service"]
                    ),
                    Decimal(0),
                )
                total += _over(period, term, months)
            continue
        count = {"line": line_count, "buyer": len(lines), "group": 1}[component["per"]]
        times = term if component["kind"] == "recurring" else 1
        total += Decimal(component["price"]) * count * times
    return total.quantize(CENT, ROUND_HALF_UP)


def _price(component: Mapping[str, Any], lines: Lines, months: int) -> Decimal:
    if component.get("price") is not None:
        return Decimal(component["price"])
    volume = sum(
        (
            Decimal(use["quantity"])
            for own in lines.values()
            for line in own
            for use in line["services"]
            if use["service"] == component["service"]
        ),
        Decimal(0),
    )
    reached = [tier for tier in component["tiers"] if Decimal(tier["from_volume"]) * months <= volume]
    return Decimal(reached[-1]["price"])


def _charged(lines: list[dict[str, Any]]) -> Decimal:
    return sum(
        (
            Decimal(line["recurring_charged"])
            + sum((Decimal(use["charged"]) for use in line["services"]), Decimal(0))
            for line in lines
        ),
        Decimal(0),
    )


def _over(amount: Decimal, term: int, months: int) -> Decimal:
    return (amount * term / months).quantize(CENT, ROUND_HALF_UP)


def _usage(history: History, group: Record) -> Lines:
    lines: dict[str, list[dict[str, Any]]] = defaultdict(list)
    counting = set(group.body["reports"].values())
    parts: set[tuple[str, int]] = set()
    for record in history.facts("aggregation.usage", "usage-lines-reported"):
        part = (record.body["report_id"], record.body["part"])
        if record.purchase == group.purchase and part[0] in counting and part not in parts:
            parts.add(part)
            lines[record.body["buyer_id"]].extend(record.body["lines"])
    return lines


def _offers(history: History) -> dict[str, dict[str, Any]]:
    sent = {
        (record.provider, record.id, sha256(record.value or b"").hexdigest()): record
        for record in reversed(history.of_providers("replies."))
    }
    offers: dict[str, dict[str, Any]] = {}
    for receipt in history.told("notices.", "receipt-issued"):
        record = sent.get((receipt.provider, receipt.body["message_id"], receipt.body["sha256"]))
        if record is not None and receipt.body.get("reply_id") and record.body.get("offer"):
            offers[receipt.body["reply_id"]] = record.body["offer"]
    # A sealed one is readable only where the opener wrote down what it found.
    for row in history.rows("opener", "openings"):
        if (offer := _offer_in(row["content"])) is not None:
            offers[str(row["reply_id"])] = offer
    return offers


def _document(history: History, record: Record) -> Iterator[str]:
    wanted = record.body["comparison_sha256"]
    parts: dict[int, bytes] = {}
    for one in history.facts("bidding.comparisons", "comparison-part"):
        if one.purchase == record.purchase and one.body["document"]["sha256"] == wanted:
            parts[int(one.body["part"])] = b64decode(one.body["data"])
    content = b"".join(parts[number] for number in sorted(parts))
    if sha256(content).hexdigest() != wanted and not history.unsent:
        yield f"{record.place} cites a comparison that is not on bidding.comparisons"


def _only(records: list[Record], purchase: str) -> Record | None:
    own = [record for record in records if record.purchase == purchase]
    return own[0] if len(own) == 1 else None


def _offer_in(content: bytes | None) -> dict[str, Any] | None:
    try:
        offer = json.loads(content or b"null")
    except (ValueError, RecursionError):
        return None
    return offer if isinstance(offer, dict) else None
