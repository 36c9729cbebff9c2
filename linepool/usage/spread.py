"""Spreading lines over buyers so that the buyers differ as organisations do.

Lines are put in order of their profile and cut into contiguous blocks of unequal sizes. A random spread
would give every buyer the average profile, and every tariff would treat all of them alike.
"""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from math import isqrt
from uuid import UUID

from linepool.rating.lines import UsageLine
from linepool.rating.money import EXACT, ZERO, total

# Relative sizes 1 to 11 in a fixed mixed order: 7 has no common divisor with 11.
_SIZES = 11
_STEP = 7


def spread(lines: Sequence[UsageLine], buyer_ids: Sequence[UUID]) -> tuple[UsageLine, ...]:
    """Return the same lines, each given to one of the buyers; every buyer has at least one line.

    The lines are cut into about sqrt(buyers) bands by the share of the group's dearest service in their usage
    charges, and ordered within a band by their whole usage charge. The same lines and buyers give the same
    result, in whatever order the lines come.

    Raises:
        ValueError: there are fewer lines than buyers, no buyer, or a buyer twice.
    """
    if not buyer_ids or len(set(buyer_ids)) != len(buyer_ids):
        raise ValueError("lines can be spread only over different buyers, at least one")
    if len(lines) < len(buyer_ids):
        raise ValueError(f"{len(lines)} lines cannot be spread over {len(buyer_ids)} buyers")
    ordered = _by_profile(lines, bands=max(1, isqrt(len(buyer_ids))))
    given: list[UsageLine] = []
    for buyer_id, size in zip(buyer_ids, block_sizes(len(lines), len(buyer_ids)), strict=True):
        given.extend(replace(line, buyer_id=buyer_id) for line in ordered[len(given) : len(given) + size])
    return tuple(given)


def block_sizes(line_count: int, buyer_count: int) -> tuple[int, ...]:
    """Return how many lines each buyer gets: unequal, each at least 1, together `line_count`."""
    weights = [1 + index * _STEP % _SIZES for index in range(buyer_count)]
    spare = line_count - buyer_count
    ends = [0]
    so_far = 0
    for weight in weights:
        so_far += weight
        ends.append(spare * so_far // sum(weights))
    return tuple(1 + end - start for start, end in pairwise(ends))


def _by_profile(lines: Sequence[UsageLine], *, bands: int) -> list[UsageLine]:
    charged_by_service: dict[str, Decimal] = {}
    for line in lines:
        for used in line.services:
            charged_by_service[used.service] = EXACT.add(
                charged_by_service.get(used.service, ZERO), used.charged
            )
    dearest = max(sorted(charged_by_service), key=lambda service: charged_by_service[service], default="")

    def usage_charge(line: UsageLine) -> Decimal:
        return total(used.charged for used in line.services)

    def share_of_dearest(line: UsageLine) -> Decimal:
        whole = usage_charge(line)
        return EXACT.divide(
            total(used.charged for used in line.services if used.service == dearest), whole or Decimal(1)
        )

    by_share = sorted(lines, key=lambda line: (share_of_dearest(line), line.line_id))
    ordered: list[UsageLine] = []
    for band in range(bands):
        start, end = band * len(lines) // bands, (band + 1) * len(lines) // bands
        ordered.extend(sorted(by_share[start:end], key=usage_charge))
    return ordered
