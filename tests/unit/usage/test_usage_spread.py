from collections import defaultdict
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linepool.rating.lines import UsageLine
from linepool.usage.public import public_lines
from linepool.usage.spread import block_sizes, spread

BUYERS = [UUID(int=number) for number in range(1, 41)]


@pytest.fixture(scope="module")
def lines() -> tuple[UsageLine, ...]:
    return public_lines()


def by_buyer(lines: tuple[UsageLine, ...]) -> dict[UUID, list[UsageLine]]:
    found: dict[UUID, list[UsageLine]] = defaultdict(list)
    for line in lines:
        found[line.buyer_id].append(line)
    return found


def test_every_line_is_given_once_and_every_buyer_has_lines(lines: tuple[UsageLine, ...]) -> None:
    given_lines = spread(lines, BUYERS)
    assert sorted(line.line_id for line in given_lines) == sorted(line.line_id for line in lines)
    assert set(by_buyer(given_lines)) == set(BUYERS)


def test_the_order_of_lines_does_not_change_who_gets_them(lines: tuple[UsageLine, ...]) -> None:
    assert spread(lines[::-1], BUYERS) == spread(lines, BUYERS)


def test_buyers_differ_clearly_in_size_in_charge_per_line_and_in_their_share_of_day_minutes(
    lines: tuple[UsageLine, ...],
) -> None:
    sizes: list[int] = []
    charge_per_line: list[Decimal] = []
    day_shares: list[Decimal] = []
    for lines_of_buyer in by_buyer(spread(lines, BUYERS)).values():
        charged = sum(line.charged for line in lines_of_buyer)
        day = sum(
            used.charged for line in lines_of_buyer for used in line.services if used.service == "voice.day"
        )
        sizes.append(len(lines_of_buyer))
        charge_per_line.append(charged / Decimal(len(lines_of_buyer)))
        day_shares.append(Decimal(day) / charged)
    assert max(sizes) > 5 * min(sizes)
    assert max(charge_per_line) > 2 * min(charge_per_line)
    assert max(day_shares) - min(day_shares) > Decimal("0.3")


@given(st.integers(1, 60), st.integers(0, 5000))
def test_block_sizes_are_positive_and_add_up(buyers: int, more_lines: int) -> None:
    sizes = block_sizes(buyers + more_lines, buyers)
    assert len(sizes) == buyers
    assert min(sizes) >= 1
    assert sum(sizes) == buyers + more_lines


@pytest.mark.parametrize("buyers", [[], [BUYERS[0], BUYERS[0]], BUYERS])
def test_lines_cannot_be_spread_over_nobody_or_over_more_buyers_than_lines(
    lines: tuple[UsageLine, ...], buyers: list[UUID]
) -> None:
    with pytest.raises(ValueError, match="spread"):
        spread(lines[:39], buyers)
