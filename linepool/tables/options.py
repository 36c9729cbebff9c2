"""What the commands that read tables share: their options, and how they report bad rows."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from linepool.tables.badrows import BadRow, Policy, as_csv, as_objects, as_table
from linepool.tables.columns import ColumnError
from linepool.tables.csvtable import SEPARATORS, CsvOptions, Encoding, SeparatorName
from linepool.tables.reading import Reading
from linepool.tables.values import Conventions, DateOrder, DecimalSign
from shared.messages.currencies import TWO_DECIMALS

Decimals = Annotated[
    DecimalSign,
    typer.Option(
        "--decimal", help="The decimal sign; auto refuses numbers that have two readings, such as 1.234."
    ),
]
Dates = Annotated[DateOrder, typer.Option(help="How dates are written that are not ISO 8601.")]
CurrencyCode = Annotated[
    str | None,
    typer.Option("--currency", help="Of the purchase, by ISO 4217; amounts in others are refused."),
]
EncodingName = Annotated[
    Encoding | None, typer.Option("--encoding", help="Of CSV files (default: found out).")
]
Separator = Annotated[
    SeparatorName | None, typer.Option("--separator", help="Of CSV files (default: found out).")
]
Sheet = Annotated[str | None, typer.Option(help="Which sheet (default: the only visible one).")]
ColumnNames = Annotated[
    list[str] | None,
    typer.Option("--column", metavar="THEIRS=OURS", help="What a column of the file is; may be repeated."),
]
LeftOut = Annotated[
    list[str] | None,
    typer.Option("--leave-out", metavar="COLUMN", help="A column that is not read; may be repeated."),
]
KeepGood = Annotated[
    bool,
    typer.Option(
        "--keep-good/--all-or-nothing",
        help="Whether good rows count where others are bad (default: they do not).",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Say it for programs.")]
ReportFile = Annotated[
    Path | None, typer.Option("--report", help="Write the bad rows into this CSV file too; it is replaced.")
]


def reading_of(
    decimal: DecimalSign,
    dates: DateOrder,
    currency: str | None,
    encoding: Encoding | None,
    separator: SeparatorName | None,
    sheet: str | None,
) -> Reading:
    """Return how files are read, from the command line's options.

    Raises:
        ColumnError: the currency is none.
    """
    if currency is not None and currency not in TWO_DECIMALS:
        raise ColumnError(f"{currency} is no currency of ISO 4217 that has two decimals, such as EUR.")
    return Reading(
        Conventions(decimal, dates, currency),
        CsvOptions(encoding, None if separator is None else SEPARATORS[separator]),
        sheet,
    )


def names_of(columns: Sequence[str] | None) -> dict[str, str]:
    """Return what is given as THEIRS=OURS; the last equals sign counts.

    Raises:
        ColumnError: one is not of that form.
    """
    names: dict[str, str] = {}
    for column in columns or ():
        theirs, equals, ours = column.rpartition("=")
        if not equals or not theirs.strip() or not ours.strip():
            raise ColumnError(
                f"--column needs THEIRS=OURS, such as 'Tarifminuten=voice.day:MIN', not {column}."
            )
        names[theirs] = ours
    return names


def policy_of(keep_good: bool) -> Policy:
    """Return the policy that the command line names."""
    return "keep_good" if keep_good else "all_or_nothing"


def tell(
    found: Mapping[str, Any],
    sentences: Sequence[str],
    bad_rows: Sequence[BadRow],
    report: Path | None,
    *,
    as_json: bool,
) -> None:
    """Say what was found, report the bad rows, and exit with 1 where there is one."""
    if report is not None:
        report.write_text(as_csv(bad_rows), "utf-8-sig")
    if as_json:
        sys.stdout.write(
            json.dumps({**found, "bad_rows": as_objects(bad_rows)}, ensure_ascii=False, indent=2) + "\n"
        )
    else:
        sys.stdout.write("".join(f"{sentence}\n" for sentence in sentences))
        if bad_rows:
            sys.stdout.write(f"\nBad rows: {len(bad_rows)}\n{as_table(bad_rows)}\n")
    raise typer.Exit(1 if bad_rows else 0)


@contextmanager
def one_sentence() -> Iterator[None]:
    """Say in one sentence what is wrong with the options or the files, and exit with 1."""
    try:
        yield
    except (ColumnError, OSError, ValueError) as error:
        sys.stderr.write(f"linepool: {error}\n")
        raise typer.Exit(1) from None
