"""`linepool usage ...`: what an import of usage files would do, and a file to start from."""

import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from linepool.people.asking import PurchaseOption, chosen
from linepool.people.asking import one_sentence as one_refusal
from linepool.people.importing import import_usage
from linepool.people.showing import say
from linepool.rating.money import EXACT, total
from linepool.tables.badrows import Policy
from linepool.tables.cells import Cell, shown
from linepool.tables.columns import ColumnError
from linepool.tables.options import (
    AsJson,
    ColumnNames,
    CurrencyCode,
    Dates,
    Decimals,
    EncodingName,
    KeepGood,
    LeftOut,
    ReportFile,
    Separator,
    Sheet,
    names_of,
    one_sentence,
    policy_of,
    reading_of,
    tell,
)
from linepool.tables.values import UnfitError, month_of
from linepool.tables.writing import written
from linepool.usage.folder import UsageImport, UsageOptions, read_folder
from linepool.usage.reports import MAXIMUM_MONTHS, UsageReport, months
from linepool.usage.template import TEMPLATE
from shared.messages.aggregation import LineUsage, Period

IMPORT = "import"
usage = typer.Typer(help="Usage files: what buyers really used and paid.", no_args_is_help=True)


def read(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of CSV and XLSX files, or one file.")],
    *,
    decimal: Decimals = "auto",
    dates: Dates = "iso",
    currency: CurrencyCode = None,
    buyer: Annotated[str | None, typer.Option(help="Whose lines they are where no column says it.")] = None,
    first_month: Annotated[
        str | None, typer.Option("--from", metavar="YYYY-MM", help="The first month where no column says it.")
    ] = None,
    month_count: Annotated[
        int,
        typer.Option(
            "--months", min=1, max=MAXIMUM_MONTHS, help="How many months each row covers, with --from."
        ),
    ] = 1,
    columns: ColumnNames = None,
    leave_out: LeftOut = None,
    encoding: EncodingName = None,
    separator: Separator = None,
    sheet: Sheet = None,
    keep_good: KeepGood = False,
    as_json: AsJson = False,
    report: ReportFile = None,
    purchase: PurchaseOption = None,
) -> None:
    """Read usage files, and report what is in them where that was asked for."""
    with one_sentence(), one_refusal():
        options = UsageOptions(
            reading=reading_of(decimal, dates, currency, encoding, separator, sheet),
            columns=names_of(columns),
            left_out=leave_out or (),
            buyer=buyer,
            period=_period(first_month, month_count),
        )
        found = read_folder(path, options)
        policy = policy_of(keep_good)
        sentences = _sentences(found, policy)
        told = _as_object(found, policy)
        if context.info_name == IMPORT and found.to_report(policy):
            done: list[str] = []
            import_usage(chosen(purchase), found.to_report(policy), done.append if as_json else say)
            sentences, told = [], {**told, "done": done}
        tell(told, sentences, found.bad_rows, report, as_json=as_json)


usage.command(
    "check", help="Read usage files and say what an import would report; exit code 1 where a row is bad."
)(read)
usage.command(IMPORT, help="Read usage files and report what is in them; exit code 1 where a row is bad.")(
    read
)


@usage.command()
def template(
    file: Annotated[
        Path | None, typer.Argument(help="A new file, .csv or .xlsx (default: print CSV).")
    ] = None,
) -> None:
    """Write a usage file to start from."""
    with one_sentence():
        sys.stdout.write(written(TEMPLATE, "Usage", file) or "")


def _period(first_month: str | None, month_count: int) -> Period | None:
    if first_month is None:
        return None
    try:
        return months(month_of(Cell(first_month)), month_count)
    except UnfitError as error:
        raise ColumnError(f"--from {error}.") from None


def _as_object(found: UsageImport, policy: Policy) -> dict[str, Any]:
    return {
        "files": [
            {
                "file": one.file,
                "sheet": one.sheet,
                "rows": one.lines,
                "totals_rows": one.totals,
                "note": one.note,
            }
            for one in found.files
        ],
        "reports": [
            {
                "buyer": report.buyer,
                "start": report.period.start.isoformat(),
                "end": report.period.end.isoformat(),
                "months": report.period.months,
                "lines": len(report.lines),
                "recurring_charged": str(_recurring(report.lines)),
                "usage_charged": str(_charged(report.lines)),
                "quantities": {
                    service: {"quantity": format(quantity, "f"), "unit": unit}
                    for (service, unit), quantity in _quantities(report.lines).items()
                },
            }
            for report in found.to_report(policy)
        ],
    }


def _sentences(found: UsageImport, policy: Policy) -> list[str]:
    told = [
        f"{shown(one.file)}: {_counted(one.lines, 'good row')}"
        + (f", {_counted(one.totals, 'row')} of totals" if one.totals else "")
        + (f" ({one.note})" if one.note else "")
        for one in found.files
    ]
    reports = found.to_report(policy)
    told += [_sentence(report) for report in reports]
    if not reports:
        held_back = " The good rows alone: --keep-good." if found.reports else ""
        told.append(f"An import would report nothing.{held_back}")
    return told


def _sentence(report: UsageReport) -> str:
    quantities = "; ".join(
        f"{service} {quantity.normalize():f} {unit}"
        for (service, unit), quantity in _quantities(report.lines).items()
    )
    months_told = f"{report.period.start} to {report.period.end}"
    charges = f"{_recurring(report.lines)} recurring, {_charged(report.lines)} for usage ({quantities})"
    lines = _counted(len(report.lines), "line")
    return f"An import would report for {shown(report.buyer)}, {months_told}: {lines}, {charges}."


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _recurring(lines: Sequence[LineUsage]) -> Decimal:
    return total(line.recurring_charged for line in lines)


def _charged(lines: Sequence[LineUsage]) -> Decimal:
    return total(used.charged for line in lines for used in line.services)


def _quantities(lines: Sequence[LineUsage]) -> dict[tuple[str, str], Decimal]:
    quantities: dict[tuple[str, str], Decimal] = {}
    for line in lines:
        for used in line.services:
            key = used.service, used.unit
            quantities[key] = EXACT.add(quantities.get(key, Decimal(0)), used.quantity)
    return dict(sorted(quantities.items()))
