"""Whether a group has become as large as it must, and what follows if it has not."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from services.aggregation.domain.groups import Group, may_change
from shared.messages.aggregation import SetMinimum
from shared.outcomes import Refusal


@dataclass(frozen=True)
class Size:
    """How many members a group has, and how many lines the reports that count have together."""

    buyers: int
    lines: int


@dataclass(frozen=True)
class Minimum:
    """How large a group must become until a time, and who decides if it does not."""

    size: Size
    decide_by: datetime
    otherwise: Literal["coordinator_decides", "dissolve"]


def may_set(group: Group, command: SetMinimum, now: datetime) -> Refusal | None:
    """A minimum can be set, and set anew, as long as the group is open, for a time that is still to come."""
    refusal = may_change(group)
    if refusal is not None:
        return refusal
    if command.decide_by <= now:
        return Refusal("decide_by_not_ahead", "The time to decide must lie in the future.")
    return None


def is_reached(minimum: Minimum, size: Size) -> bool:
    """Return whether the group is large enough, in members and in lines."""
    return size.buyers >= minimum.size.buyers and size.lines >= minimum.size.lines


def may_close(minimum: Minimum | None, size: Size, now: datetime) -> Refusal | None:
    """A group that is too small stays open until its time is over, and is closed then only if its coordinator decides."""
    if minimum is None or is_reached(minimum, size):
        return None
    if now >= minimum.decide_by and minimum.otherwise == "coordinator_decides":
        return None
    return Refusal("below_minimum", "The group is smaller than it had to become.")
