"""The price sheet of a request: an XLSX file with one sheet to fill in and one that explains it.

Only the cells to fill in are unlocked. `sheet_reading` reads the same places.
"""

from decimal import Decimal
from io import BytesIO

from openpyxl import Workbook
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE, Cell, MergedCell
from openpyxl.styles import Alignment, Font, PatternFill, Protection
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.worksheet import Worksheet

from linepool.provider.request import RequestContent
from shared.messages.providers import Offer, OneTimePrice, RecurringPrice, UsagePrice

PRICES, HELP = "Prices", "How to fill in"
FACTS = 4
"""The first of the rows that say which request this is for."""
NAME_ROW, BILLING_ROW = 10, 11
FIXED_HEADER, FIXED_ROW = 13, 14
USAGE_HEADER, USAGE_ROW = 21, 22
VALUE = 2
"""The column of facts, name and billing."""
PRICE = 5
"""The column of all prices; tiers follow it in pairs: from which volume, and the price from there on."""
MORE_TIERS = 19
SHOWN_TIERS = 4
FIXED: tuple[tuple[str, str, str], ...] = (
    ("recurring", "line", "Each month, for each line"),
    ("recurring", "buyer", "Each month, for each buyer"),
    ("recurring", "group", "Each month, once for the group"),
    ("one_time", "line", "Once, for each line"),
    ("one_time", "buyer", "Once, for each buyer"),
    ("one_time", "group", "Once, for the group"),
)
EXACT_DIGITS = 15
"""A spreadsheet's number holds so many digits; a longer one is written as text."""

_INPUT = PatternFill("solid", fgColor="FFF6D6")
_HEAD = PatternFill("solid", fgColor="E3EAF2")
_BOLD = Font(bold=True)
_WRAPPED = Alignment(wrap_text=True, vertical="top")
_EXPLAINED = (
    "Fill in the yellow cells of the sheet Prices. All other cells are locked and must stay as they are.",
    "Every price is in the currency and on the tax basis that stand at the top, and holds for all contract months.",
    "Fixed prices: leave a cell empty where you charge nothing of that kind. At most two digits after the point.",
    "Usage: each service needs a price per unit in column E. At most six digits after the point.",
    (
        "Tiers: where the price falls with the group's volume, write from which volume per month on (column F) and the price "
        "from there on (column G), then the next tier (H and I), and so on. From a tier on, its price holds for the whole volume "
        "of the month, from the first unit on. Volumes must rise."
    ),
    "Further tiers stand in hidden columns: there are 20 prices for each service.",
    "Write numbers, not formulas: a formula is refused, because its result is not what you see on every machine.",
    "A percentage format is refused, because 12 % and 12 are hard to tell apart.",
    "The answer to the billing preferences is a text: how you bill each member. Their preferences stand in request.html.",
    "When the sheet is filled in: linepool provider submit --sheet price-sheet.xlsx",
)


def services_of(content: RequestContent) -> tuple[tuple[str, str, str], ...]:
    """Return (service, unit, description) of all that must be priced: what is asked for, then what is in use besides."""
    asked = [(need.service, need.unit, need.description) for need in content.services]
    known = {service for service, _, _ in asked}
    used = sorted(content.totals)
    further = [(service, unit, "In use today") for service, unit in used if service not in known]
    return (*asked, *further)


def facts_of(content: RequestContent) -> tuple[tuple[str, str], ...]:
    """Return the facts at the top: they say which request a sheet is for."""
    return (
        ("Purchase", str(content.purchase_id)),
        ("Version of the request", str(content.request_version)),
        ("Currency", content.currency),
        ("Tax basis", content.tax_basis),
        ("Contract months", str(content.contract_months)),
    )


def price_sheet(content: RequestContent, offer: Offer | None = None) -> bytes:
    """Return the file, empty or filled in with an offer.

    Raises:
        ValueError: the offer has what no cell is for, such as two monthly prices per line.
    """
    book = Workbook()
    prices = book.active
    if not isinstance(prices, Worksheet):
        raise TypeError("a new workbook has a sheet")
    prices.title = PRICES
    _write_facts(prices, content)
    _write_tables(prices, content)
    if offer is not None:
        _fill(prices, content, offer)
    _explain(book.create_sheet(HELP))
    for sheet in (prices, book[HELP]):
        sheet.protection.sheet = True
    file = BytesIO()
    book.save(file)
    return file.getvalue()


def _write_facts(sheet: Worksheet, content: RequestContent) -> None:
    _text(sheet.cell(1, 1), content.need.title).font = Font(bold=True, size=14)
    _text(sheet.cell(2, 1), "Fill in the yellow cells. The other sheet explains them.")
    for number, (label, value) in enumerate(facts_of(content)):
        _text(sheet.cell(FACTS + number, 1), label)
        _text(sheet.cell(FACTS + number, VALUE), value)
    for row, label in (
        (NAME_ROW, "Name of your tariff"),
        (BILLING_ROW, "Your answer to the billing preferences"),
    ):
        _text(sheet.cell(row, 1), label).font = _BOLD
        _input(sheet.cell(row, VALUE)).alignment = _WRAPPED
    sheet.row_dimensions[BILLING_ROW].height = 60
    for letter, width in zip("ABCDE", (36, 44, 40, 26, 16), strict=True):
        sheet.column_dimensions[letter].width = width


def _write_tables(sheet: Worksheet, content: RequestContent) -> None:
    counts = {"line": content.line_count, "buyer": len(content.buyers), "group": 1}
    _head(sheet, FIXED_HEADER, ("Fixed prices", "", "", "How many", "Price"))
    for number, (_, per, label) in enumerate(FIXED):
        _text(sheet.cell(FIXED_ROW + number, 1), label)
        _text(sheet.cell(FIXED_ROW + number, 4), str(counts[per]))
        _input(sheet.cell(FIXED_ROW + number, PRICE))
    tiers = [
        title for tier in range(MORE_TIERS) for title in (f"From volume ({tier + 2})", f"Price ({tier + 2})")
    ]
    _head(
        sheet,
        USAGE_HEADER,
        ("Usage: service", "Unit", "What it is", "The group's volume a month", "Price", *tiers),
    )
    services = services_of(content)
    for number, (service, unit, description) in enumerate(services):
        row = USAGE_ROW + number
        volume = content.totals.get((service, unit), Decimal(0)) / content.usage_period.months
        for column, value in enumerate(
            (service, unit, description, f"{volume:.6f}".rstrip("0").rstrip(".")), 1
        ):
            _text(sheet.cell(row, column), value)
        for column in range(PRICE, PRICE + 1 + 2 * MORE_TIERS):
            _input(sheet.cell(row, column))
    last = get_column_letter(PRICE + 2 * MORE_TIERS)
    hidden = get_column_letter(PRICE + 1 + 2 * SHOWN_TIERS)
    sheet.column_dimensions.group(hidden, last, hidden=True)
    check = DataValidation("decimal", operator="greaterThanOrEqual", formula1="0", allow_blank=True)
    check.error = "A price is a number that is not negative."
    check.add(f"E{FIXED_ROW}:E{FIXED_ROW + len(FIXED) - 1}")
    check.add(f"E{USAGE_ROW}:{last}{USAGE_ROW + len(services) - 1}")
    sheet.add_data_validation(check)
    sheet.freeze_panes = "B4"


def _fill(sheet: Worksheet, content: RequestContent, offer: Offer) -> None:
    _text(sheet.cell(NAME_ROW, VALUE), offer.name)
    _text(sheet.cell(BILLING_ROW, VALUE), offer.billing)
    rows = {service: USAGE_ROW + number for number, (service, _, _) in enumerate(services_of(content))}
    fixed = {(kind, per): FIXED_ROW + number for number, (kind, per, _) in enumerate(FIXED)}
    for part in offer.components:
        if isinstance(part, RecurringPrice | OneTimePrice):
            row = fixed.pop((part.kind, part.per), None)
            _number(sheet, row, PRICE, part.price)
        elif part.service in rows:
            for column, value in enumerate(_in_order(part), PRICE):
                _number(sheet, rows[part.service], column, value)
        else:
            raise ValueError(f"the sheet has no cell for {part.service}")


def _in_order(part: UsagePrice) -> list[Decimal]:
    if part.price is not None:
        return [part.price]
    values = [value for tier in part.tiers for value in (tier.from_volume, tier.price)]
    return values[1:]


def _number(sheet: Worksheet, row: int | None, column: int, value: Decimal) -> None:
    if row is None:
        raise ValueError("the sheet has one cell for each kind of fixed price")
    cell = sheet.cell(row, column)
    if len(value.as_tuple().digits) > EXACT_DIGITS:
        _text(cell, format(value, "f"))
    else:
        cell.value = value


def _head(sheet: Worksheet, row: int, titles: tuple[str, ...]) -> None:
    for column, title in enumerate(titles, 1):
        cell = _text(sheet.cell(row, column), title)
        cell.font, cell.fill = _BOLD, _HEAD


def _explain(sheet: Worksheet) -> None:
    sheet.column_dimensions["A"].width = 110
    for row, sentence in enumerate(_EXPLAINED, 1):
        _text(sheet.cell(row, 1), sentence).alignment = _WRAPPED


def _text(cell: Cell | MergedCell, text: str) -> Cell:
    """Write a text that stays one, whatever it begins with: what others wrote must not become a formula."""
    cell = _own(cell)
    cell.value = ILLEGAL_CHARACTERS_RE.sub(" ", text)
    cell.data_type = "s"
    return cell


def _own(cell: Cell | MergedCell) -> Cell:
    if not isinstance(cell, Cell):
        raise TypeError("the sheet has no merged cells")
    return cell


def _input(cell: Cell | MergedCell) -> Cell:
    cell = _own(cell)
    cell.fill, cell.protection = _INPUT, Protection(locked=False)
    return cell
