"""How the page writes amounts, shares and times."""

from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal

MINUS = "\N{MINUS SIGN}"


def money(amount: Decimal) -> str:
    """Return an amount to the cent, thousands apart, with a true minus sign."""
    return _signed(f"{amount:,.2f}")


def signed_money(amount: Decimal) -> str:
    """Return an amount to the cent that always says whether it is more or less."""
    return money(amount) if amount <= 0 else f"+{money(amount)}"


def whole(amount: Decimal) -> str:
    """Return an amount in whole units, thousands apart; for axes and headlines, never for tables."""
    return _signed(f"{amount.quantize(Decimal(1), rounding=ROUND_HALF_UP):,}")


def share(part: Decimal, whole_amount: Decimal) -> str:
    """Return a part as percent of the whole, to a tenth; a dash where there is no whole."""
    if whole_amount == 0:
        return "\N{EN DASH}"
    percent = (part / whole_amount * 100).quantize(Decimal("0.1"), rounding=ROUND_HALF_UP)
    return _signed(f"{percent} %".replace(" ", "\N{NO-BREAK SPACE}"))


def number(count: int) -> str:
    """Return a count, thousands apart."""
    return f"{count:,}"


def clock(time: datetime) -> str:
    """Return the time of day in UTC, to the second."""
    return f"{time.astimezone(UTC):%H:%M:%S}"


def day_and_clock(time: datetime) -> str:
    """Return date and time of day in UTC, to the minute."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _signed(text: str) -> str:
    return text.replace("-", MINUS)
