"""Usage reports out of many files: one for each buyer, over all months that the files have of it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise

from linepool.rating.money import EXACT, ZERO
from linepool.tables.badrows import BadRow
from linepool.usage.rows import UsageRow
from shared.messages.aggregation import LineUsage, Period, ServiceUsage

MAXIMUM_LINES = 100_000
"""What a report can carry: 200 parts of 500 lines."""
MAXIMUM_MONTHS = 24


@dataclass(frozen=True, slots=True)
class UsageReport:
    """What is reported for a buyer (a name, or an id as a UUID): its lines, each once, over whole months."""

    buyer: str
    period: Period
    lines: tuple[LineUsage, ...]


def months(first: date, count: int) -> Period:
    """Return the period of whole months that begins on the first day of a month."""
    return Period(start=first, end=_later(first, count) - timedelta(days=1), months=count)


def reports_of(
    rows: Iterable[UsageRow], period: Period | None = None
) -> tuple[tuple[UsageReport, ...], tuple[BadRow, ...]]:
    """Return a report for each buyer, and the rows that cannot be part of one because of the others.

    Every row has a buyer. Rows with a month are added up line by line, and of a line's contract its last month counts; a row
    without a month is about all of `period`. A buyer with a bad row among these has no report.
    """
    good, bad = _without_doubles(rows)
    by_buyer: dict[str, list[UsageRow]] = defaultdict(list)
    for row in good:
        by_buyer[row.buyer or ""].append(row)
    reports: list[UsageReport] = []
    for buyer, theirs in sorted(by_buyer.items()):
        of_all = [row for row in theirs if row.month is None]
        faults = [*_unit_faults(theirs), *_month_faults(buyer, theirs)]
        if of_all and len(of_all) < len(theirs):
            faults.append(
                replace(of_all[0].place, column="month", reason=f"other rows of {buyer} have a month")
            )
        lines = _added_up(theirs)
        if len(lines) > MAXIMUM_LINES:
            faults.append(
                replace(theirs[-1].place, reason=f"is one of more than {MAXIMUM_LINES} lines of {buyer}")
            )
        bad.extend(faults)
        if faults:
            continue
        known = sorted({row.month for row in theirs if row.month is not None})
        theirs_period = months(known[0], len(known)) if known else period
        if theirs_period is not None:
            reports.append(UsageReport(buyer, theirs_period, lines))
    return tuple(reports), tuple(bad)


def periods_that_differ(reports: Sequence[UsageReport]) -> str | None:
    """Return a sentence if not all reports are about the same months, as a group's must be."""
    first_with: dict[tuple[date, int], str] = {}
    for report in reports:
        first_with.setdefault((report.period.start, report.period.months), report.buyer)
    if len(first_with) <= 1:
        return None
    told = "; ".join(
        f"{buyer}: {start:%Y-%m}, months: {count}" for (start, count), buyer in first_with.items()
    )
    return f"all buyers of a group must report the same months, and these do not: {told}"


def _without_doubles(rows: Iterable[UsageRow]) -> tuple[list[UsageRow], list[BadRow]]:
    """Return the rows whose line stands once in its month. Which of several would be right nobody can tell."""
    met: dict[tuple[str | None, date | None, str], list[UsageRow]] = defaultdict(list)
    for row in rows:
        met[row.buyer, row.month, row.line.line_id].append(row)
    bad = [
        replace(row.place, reason=f"is the same line as in {_where(other.place, row.place)}")
        for same in met.values()
        if len(same) > 1
        for row, other in zip(same, [same[1], *same[:1] * (len(same) - 1)], strict=True)
    ]
    return [same[0] for same in met.values() if len(same) == 1], bad


def _where(place: BadRow, seen_from: BadRow) -> str:
    if (place.file, place.sheet) == (seen_from.file, seen_from.sheet):
        return f"line {place.line}"
    return f"{place.file}, line {place.line}"


def _unit_faults(rows: Sequence[UsageRow]) -> list[BadRow]:
    """Quantities in different units cannot be added up."""
    units: dict[str, tuple[str, BadRow]] = {}
    faults: list[BadRow] = []
    for row in rows:
        for used in row.line.services:
            unit, place = units.setdefault(used.service, (used.unit, row.place))
            if unit != used.unit:
                column = f"{used.service}:{used.unit}"
                where = _where(place, row.place)
                reason = f"counts {used.service} in {used.unit}; in {where} it is {unit}"
                faults.append(replace(row.place, column=column, reason=reason))
    return faults


def _month_faults(buyer: str, rows: Sequence[UsageRow]) -> list[BadRow]:
    first_rows: dict[date, UsageRow] = {}
    for row in rows:
        if row.month is not None:
            first_rows.setdefault(row.month, row)
    ordered = sorted(first_rows)
    faults = [
        replace(
            first_rows[later].place,
            column="month",
            reason=f"is {later:%Y-%m}, and the month of {buyer} before it is {earlier:%Y-%m}; those between are missing",
        )
        for earlier, later in pairwise(ordered)
        if _later(earlier, 1) != later
    ]
    if len(ordered) > MAXIMUM_MONTHS:
        reason = f"makes more than {MAXIMUM_MONTHS} months of {buyer}"
        faults.append(replace(first_rows[ordered[-1]].place, column="month", reason=reason))
    return faults


def _added_up(rows: Iterable[UsageRow]) -> tuple[LineUsage, ...]:
    """Return the lines by id, each with all of its months."""
    lines: dict[str, list[UsageRow]] = defaultdict(list)
    for row in rows:
        lines[row.line.line_id].append(row)
    return tuple(
        _joined([part.line for part in sorted(parts, key=lambda part: part.month or date.min)])
        for _, parts in sorted(lines.items())
    )


def _joined(parts: Sequence[LineUsage]) -> LineUsage:
    if len(parts) == 1:
        return parts[0]
    services: dict[str, ServiceUsage] = {}
    recurring = ZERO
    for part in parts:
        recurring = EXACT.add(recurring, part.recurring_charged)
        for used in part.services:
            before = services.get(used.service)
            services[used.service] = ServiceUsage(
                service=used.service,
                quantity=EXACT.add(used.quantity, before.quantity if before else Decimal(0)),
                unit=used.unit,
                charged=EXACT.add(used.charged, before.charged if before else ZERO),
            )
    return parts[-1].model_copy(update={"services": tuple(services.values()), "recurring_charged": recurring})


def _later(month: date, count: int) -> date:
    years, index = divmod(month.month - 1 + count, 12)
    return date(month.year + years, index + 1, 1)
