"""I4: at most one award stands, only its winner is told so, and only its winner's terms lie before the group."""

from collections import defaultdict
from collections.abc import Iterator

from linepool.checker.history import History, Record
from linepool.checker.report import Verdict, found
from linepool.checker.terms import check_terms


def check_awards(history: History) -> Verdict:
    """Judge the selections, the table of awards, what bidders were told, and terms."""
    selections = history.facts("bidding.events", "provider-selected")
    findings = [*_standing(history), *_table(history), *check_terms(history)]
    for selection in selections:
        findings += _told(history, selection)
    selected = {(record.purchase, record.body["award"]) for record in selections}
    findings += [
        f"{record.place} tells {record.provider} of an award that was never given"
        for record in history.told("notices.", "award-notified")
        if (record.purchase, record.body["award"]) not in selected
    ]
    return found("I4", findings, len(selections))


def _standing(history: History) -> Iterator[str]:
    standing: dict[str, list[int]] = defaultdict(list)
    for record in history.topic("bidding.events"):
        if record.type == "award-withdrawn" and record.body["award"] in standing[record.purchase]:
            standing[record.purchase].remove(record.body["award"])
        if record.type == "provider-selected" and record.body["award"] not in standing[record.purchase]:
            standing[record.purchase].append(record.body["award"])
            if len(standing[record.purchase]) > 1:
                yield f"{record.place} gives purchase {record.purchase} a second standing award"
    by_award: dict[tuple[str, int], set[str]] = defaultdict(set)
    for record in history.facts("bidding.events", "provider-selected"):
        by_award[record.purchase, record.body["award"]].add(record.body["provider_id"])
    for (purchase, award), providers in by_award.items():
        if len(providers) > 1:
            yield f"award {award} of {purchase} went to {' and '.join(sorted(providers))}"


def _table(history: History) -> Iterator[str]:
    standing: dict[str, int] = defaultdict(int)
    for row in history.rows("bidding", "awards"):
        standing[str(row["purchase_id"])] += bool(row["standing"])
    for purchase, count in standing.items():
        if count > 1:
            yield f"the table of awards has {count} that stand for {purchase}"


def _told(history: History, selection: Record) -> Iterator[str]:
    purchase, award = selection.purchase, selection.body["award"]
    winner = selection.body["provider_id"]
    told = {
        record.provider
        for record in history.told("notices.", "award-notified")
        if record.purchase == purchase and record.body["award"] == award
    }
    others = {one["provider_id"] for one in selection.body["others"]}
    unsuccessful = {
        record.provider
        for record in history.told("notices.", "unsuccessful-notified")
        if record.purchase == purchase
    }
    for provider in sorted(told - {winner}):
        yield f"{provider} was told of award {award} of {purchase}, which went to {winner}"
    for provider in sorted(unsuccessful - others):
        yield f"{provider} was told that it was unsuccessful in {purchase}, and is not among the others"
    if not history.unsent:
        if winner not in told:
            yield f"{winner} was never told of award {award} of {purchase}"
        for provider in sorted(others - unsuccessful):
            yield f"{provider} was never told that it was unsuccessful in {purchase}"
