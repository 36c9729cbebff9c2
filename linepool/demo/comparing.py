"""Part 4, first half: every reply is evaluated on every line; what the comparison says is printed, not computed here."""

from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from rich.table import Table

from linepool.demo.forming import Formed
from linepool.demo.stage import Stage
from linepool.demo.waiting import PATIENCE
from linepool.rating.money import total
from shared import documents
from shared.messages.bidding import ComparisonPart, RepliesCompared


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class WorstOff(_Read):
    """The buyer that would pay most above what it is charged."""

    buyer_id: UUID
    pays_more: Decimal


class Component(_Read):
    """A component of a tariff at the price that the group reaches."""

    kind: str
    subject: str
    unit_price: Decimal
    term_total: Decimal


class Sensitivity(_Read):
    """The total and the rank at another level of usage."""

    usage_percent: int
    term_total: Decimal
    rank: int


class BuyerResult(_Read):
    """One buyer under one reply."""

    buyer_id: UUID
    line_count: int
    term_total: Decimal
    charged_over_term: Decimal
    saving: Decimal
    alone_total: Decimal


class Evaluation(_Read):
    """One reply on the group's usage, as `bidding.comparisons` has it."""

    rank: int
    reply_id: UUID
    tariff_name: str
    contract_months: int
    term_total: Decimal
    charged_over_term: Decimal
    saving: Decimal
    alone_total: Decimal
    gain_from_group: Decimal
    buyers_paying_more: tuple[UUID, ...]
    worst_off: WorstOff | None
    sensitivity: tuple[Sensitivity, ...]
    components: tuple[Component, ...]
    buyers: tuple[BuyerResult, ...]

    @property
    def lowest_price(self) -> Decimal | None:
        """The lowest price per unit of anything used."""
        return min((part.unit_price for part in self.components if part.kind == "usage"), default=None)

    @property
    def usage_alone(self) -> Decimal:
        """What the usage alone would cost over the term: by this an offer's prices per unit are low or high."""
        return total(part.term_total for part in self.components if part.kind == "usage")


class Comparison(_Read):
    """The full comparison."""

    charged_in_period: Decimal
    line_count: int
    evaluations: tuple[Evaluation, ...]
    replies: dict[UUID, dict[str, Any]]

    def provider_of(self, reply_id: UUID) -> str:
        """Return the id of the provider that gave a reply."""
        return str(self.replies[reply_id]["provider_id"])


@dataclass(frozen=True)
class Compared:
    """The event, and the document that its hash pins."""

    event: RepliesCompared
    comparison: Comparison


async def compare(stage: Stage, formed: Formed, *, bidders: int) -> Compared:
    """Wait for the comparison, show it, and claim what it says."""
    tell = stage.tell
    tell.chapter(4, "Every reply is evaluated on every line")
    tell.doing("replies are evaluated on every line")
    compared = await comparison_of(stage)
    comparison = compared.comparison
    tell.step(
        "The replies are compared",
        f"{len(comparison.evaluations)} replies on {comparison.line_count:,} lines; charged over the same "
        f"term: {compared.event.charged:,.2f} {stage.scenario.currency}.",
    )
    tell.show(_table(stage, comparison))
    tell.claim(
        f"every reply that came in time is evaluated: {bidders}", holds=len(comparison.evaluations) == bidders
    )
    tell.claim(
        f"the comparison is of the reported usage: charged {comparison.charged_in_period:,.2f} in the period",
        holds=comparison.charged_in_period == formed.charged
        and compared.event.usage_digest == formed.aggregated.usage_digest,
    )
    await _claim_what_people_see(stage, compared)
    _tell_about_lowest_price(stage, comparison)
    best = comparison.evaluations[0]
    tell.claim(
        f"alone at the same tariffs the buyers pay {best.alone_total:,.2f}, together {best.term_total:,.2f}",
        holds=best.alone_total > best.term_total
        if stage.scenario.is_default
        else best.alone_total >= best.term_total,
    )
    return compared


async def _claim_what_people_see(stage: Stage, compared: Compared) -> None:
    """Ask the portal as the coordinator and as each member who is signed in."""
    path = f"/purchases/{stage.purchase_id}/comparison"
    people, everybody = stage.people, {row.buyer_id for row in compared.comparison.evaluations[0].buyers}
    stage.tell.claim(
        f"the portal shows the coordinator what each of the {len(everybody)} buyers would pay",
        holds=_rows(await people.coordinator.get(path)) == everybody,
    )
    seen = {buyer_id: _rows(await member.get(path)) for buyer_id, member in people.members.items()}
    stage.tell.claim(
        f"and each of {len(seen)} members the totals, and of the buyers' rows its own alone",
        holds=all(rows == {buyer_id} for buyer_id, rows in seen.items()),
    )


def _rows(shown: dict[str, Any]) -> set[UUID]:
    """Return the buyers whose rows are shown under any reply."""
    return {UUID(row["buyer_id"]) for one in shown["evaluations"] for row in one["buyers"]}


async def comparison_of(stage: Stage) -> Compared:
    """Return the comparison once all of it has arrived and has the hash that the event names."""
    purchase_id, journal = stage.purchase_id, stage.watcher.journal
    event = await journal.wait_for(
        lambda entry: entry.says(RepliesCompared, purchase_id),
        within=PATIENCE + stage.scenario.period.months + len(stage.scenario.lines) / 50,
        what="the comparison",
    )

    def parts() -> dict[int, ComparisonPart]:
        said = journal.all_of(ComparisonPart, purchase_id)
        return {part.part: part for part in said if part.document.sha256 == event.comparison_sha256}

    await journal.wait_until(
        lambda: bool(parts()) and len(parts()) == parts()[min(parts())].document.parts,
        within=PATIENCE,
        what="the whole comparison",
    )
    ordered = [part for _, part in sorted(parts().items())]
    content = documents.join(ordered[0].document, [part.data for part in ordered])
    stage.tell.claim(
        f"the comparison has the hash {event.comparison_sha256[:16]}... that its event names",
        holds=sha256(content).hexdigest() == event.comparison_sha256,
    )
    return Compared(event, Comparison.model_validate_json(content))


def _tell_about_lowest_price(stage: Stage, comparison: Comparison) -> None:
    tell = stage.tell
    lowest = min(comparison.evaluations, key=lambda one: one.usage_alone)
    name = stage.roles.names[comparison.provider_of(lowest.reply_id)]
    prices = "minute price" if set(stage.scenario.services.values()) == {"MIN"} else "prices per unit"
    if lowest.rank == 1:
        tell.say(
            f"On this usage the lowest {prices} ({name}, from {lowest.lowest_price}) make the cheapest offer."
        )
    else:
        tell.claim(
            f"the lowest {prices} ({name}, from {lowest.lowest_price}) is not the cheapest on this usage: "
            f"rank {lowest.rank} of {len(comparison.evaluations)}",
            holds=lowest.rank > 1,
        )
    more, worst = len(lowest.buyers_paying_more), lowest.worst_off
    if worst is None:
        tell.say(f"No buyer would pay more under it than it is charged ({name}).")
    else:
        tell.claim(
            f"{more} of {len(lowest.buyers)} buyers would pay more under it than now, the worst by {worst.pays_more:,.2f}",
            holds=more > 0 and worst.pays_more > 0,
        )
    if stage.scenario.is_default:
        tell.claim(
            "it is also the one with the lowest single price of a minute",
            holds=lowest.rank > 1
            and more > 0
            and lowest.lowest_price == min(one.lowest_price or total([]) for one in comparison.evaluations),
        )


def _table(stage: Stage, comparison: Comparison) -> Table:
    table = Table(
        box=None, padding=(0, 1), header_style="bold", title="All offers are invented.", title_justify="left"
    )
    for column in ("rank", "provider", "offer"):
        table.add_column(column)
    for column in ("lowest price", "over the term", "saving", "pay more", "worst by", "each alone"):
        table.add_column(column, justify="right", no_wrap=True)
    for one in comparison.evaluations:
        table.add_row(
            str(one.rank),
            stage.roles.names[comparison.provider_of(one.reply_id)],
            one.tariff_name.removeprefix("Invented offer: "),
            str(one.lowest_price),
            f"{one.term_total:,.2f}",
            f"{one.saving:,.2f}",
            str(len(one.buyers_paying_more)),
            f"{one.worst_off.pays_more:,.2f}" if one.worst_off else "-",
            f"{one.alone_total:,.2f}",
        )
    return table
