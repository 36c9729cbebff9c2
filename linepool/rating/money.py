"""Decimal amounts: strict reading, rounding as bills do it, and sharing out to the cent."""

import re
from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from typing import TypeVar

Key = TypeVar("Key")

CENT = Decimal("0.01")
ZERO = Decimal("0.00")

MONEY_DECIMALS = 2
QUANTITY_DECIMALS = 6
PRICE_DECIMALS = 6
INTEGER_DIGITS = 12

# A product has at most 2 x (12 + 6) digits, and sums over a group add a few: 60 digits keep all of it exact,
# whatever context the caller's thread has.
EXACT = Context(
    prec=60, rounding=ROUND_HALF_UP, Emin=-999, Emax=999, traps=[InvalidOperation, DivisionByZero, Overflow]
)

_PLAIN = re.compile(r"([0-9]+)(?:\.([0-9]+))?", re.ASCII)


def rounded(amount: Decimal) -> Decimal:
    """Return the amount in whole cents, halves away from zero."""
    return amount.quantize(CENT, ROUND_HALF_UP, EXACT)


def rated(quantity: Decimal, price: Decimal) -> Decimal:
    """Return what a quantity costs at a price per unit, rounded to the cent as one item of a bill."""
    return EXACT.multiply(quantity, price).quantize(CENT, ROUND_HALF_UP, EXACT)


def total(amounts: Iterable[Decimal]) -> Decimal:
    """Return the exact sum in cents; nothing adds up to 0.00."""
    result = ZERO
    for amount in amounts:
        result = EXACT.add(result, amount)
    return result


def over_months(amount: Decimal, months: int, of_months: int) -> Decimal:
    """Return what `amount` for `of_months` comes to over `months`, rounded to the cent."""
    return rounded(EXACT.divide(EXACT.multiply(amount, Decimal(months)), Decimal(of_months)))


def shared_out(amount: Decimal, weights: Mapping[Key, int]) -> dict[Key, Decimal]:
    """Share an amount of whole cents in proportion to weights, losing none.

    Every share is rounded down; the cents left over go to the largest remainders, the first in the
    mapping's order among equals.

    Raises:
        ValueError: no weight is positive.
    """
    sum_of_weights = sum(weights.values())
    if sum_of_weights <= 0:
        raise ValueError("an amount can be shared only among positive weights")
    cents = int(EXACT.divide(amount, CENT))
    shares = {key: divmod(cents * weight, sum_of_weights) for key, weight in weights.items()}
    left_over = cents - sum(share for share, _ in shares.values())
    favoured = set(sorted(shares, key=lambda key: -shares[key][1])[:left_over])
    return {key: Decimal(share + (key in favoured)).scaleb(-2, EXACT) for key, (share, _) in shares.items()}


def parse_decimal(text: object, *, decimals: int, integer_digits: int = INTEGER_DIGITS) -> Decimal:
    """Read a non-negative decimal number such as "12.50" from a string.

    Raises:
        ValueError: it is anything else; the message completes the sentence "<field> ...".
    """
    if not isinstance(text, str):
        raise ValueError("must be a string with a decimal number")  # noqa: TRY004 - one error type for a bad document
    match = _PLAIN.fullmatch(text)
    if match is None:
        raise ValueError(_why_not_plain(text))
    if len(match[1].lstrip("0")) > integer_digits:
        raise ValueError(f"must have at most {integer_digits} digits before the point")
    if match[2] is not None and len(match[2]) > decimals:
        raise ValueError(f"must have at most {decimals} decimals")
    return Decimal(text)


def require_amount(value: Decimal, *, decimals: int) -> None:
    """Refuse a number that `parse_decimal` could not have returned.

    Raises:
        ValueError: it is negative, not finite, too large or too fine; the message completes "<field> ...".
    """
    if not value.is_finite():
        raise ValueError("must be a finite number")
    if value < 0:
        raise ValueError("must not be negative")
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -decimals or value.adjusted() >= INTEGER_DIGITS:
        raise ValueError(f"must have at most {INTEGER_DIGITS} digits and {decimals} decimals")


def _why_not_plain(text: str) -> str:
    lowered = text.lower()
    if text.startswith("-"):
        return "must not be negative"
    if any(word in lowered for word in ("nan", "inf")):
        return "must be a finite number"
    if re.fullmatch(r"\+?[0-9.]+e[+-]?[0-9]+", lowered, re.ASCII):
        return "must be written without an exponent"
    if re.fullmatch(r"[0-9][0-9., '_\u00a0\u202f]*", text, re.ASCII):
        return "must have a point before its decimals and no thousands separators"
    return "must be a decimal number such as 12.50"
