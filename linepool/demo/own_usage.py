"""The usage that somebody brings to the demonstration, instead of the public data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from linepool.rating.lines import ServiceUsage, UsageLine
from linepool.tables.badrows import BadRow
from linepool.usage.buyers import UNASSIGNED_BUYER, buyer_id_of
from linepool.usage.folder import UsageOptions, read_folder
from shared.messages.aggregation import LineUsage, Period

SHOWN = 20


class UsageFileError(ValueError):
    """The files are not usable; the text is a line for each of the first 20 bad rows, and how many more there are."""

    def __init__(self, bad_rows: Sequence[BadRow]) -> None:
        more = [f"and {len(bad_rows) - SHOWN} more"] if len(bad_rows) > SHOWN else []
        super().__init__("\n".join([*map(str, bad_rows[:SHOWN]), *more]))


@dataclass(frozen=True, slots=True)
class OwnUsage:
    """Lines by buyer, the buyers' names by id, and what period the lines are about.

    Without a column of buyers `buyer_names` is empty, and every line is of `UNASSIGNED_BUYER`.
    """

    lines: tuple[UsageLine, ...]
    buyer_names: Mapping[UUID, str]
    period: Period


def read_own_usage(path: Path, period: Period) -> OwnUsage:
    """Read a usage file, or a folder of them; `period` is what rows without a month are about.

    Raises:
        UsageFileError: a row is bad.
        OSError: the folder cannot be read.
    """
    found = read_folder(path, UsageOptions(buyer=str(UNASSIGNED_BUYER), period=period))
    if found.bad_rows:
        raise UsageFileError(found.bad_rows)
    names = {buyer_id_of(report.buyer): report.buyer for report in found.reports}
    lines = tuple(
        _rated(buyer_id_of(report.buyer), line) for report in found.reports for line in report.lines
    )
    names.pop(UNASSIGNED_BUYER, None)
    return OwnUsage(lines, names, found.reports[0].period)


def _rated(buyer_id: UUID, line: LineUsage) -> UsageLine:
    services = tuple(
        ServiceUsage(used.service, used.quantity, used.unit, used.charged) for used in line.services
    )
    return UsageLine(
        buyer_id, line.line_id, services, line.recurring_charged, line.contract_end, line.exit_fee
    )
