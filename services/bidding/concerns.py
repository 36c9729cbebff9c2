"""What keeps things from going on, remembered so that it is said once and not in every round."""

from collections.abc import Awaitable, Callable, Collection, Hashable, Iterable
from time import monotonic
from typing import TypeVar

from shared.postgres import TRANSIENT

Subject = TypeVar("Subject", bound=Hashable)
Outcome = TypeVar("Outcome")


class Concerns:
    """One job's memory, from one round to the next: why each subject stood still when it was last looked at."""

    def __init__(self) -> None:
        self._why: dict[Hashable, str] = {}

    def is_news(self, subject: Hashable, why: str) -> bool:
        """Remember why this subject stands still; return whether it did not, or for another reason, before."""
        changed = self._why.get(subject) != why
        self._why[subject] = why
        return changed

    def keep_only(self, subjects: Iterable[Hashable]) -> None:
        """Forget all others: should they ever stand still again, that is news."""
        kept = set(subjects)
        self._why = {subject: why for subject, why in self._why.items() if subject in kept}


class Pauses:
    """One job's memory of what failed: when each subject may be tried again, after a pause that doubles each time."""

    def __init__(self, first: float, longest: float, clock: Callable[[], float] = monotonic) -> None:
        self._first, self._longest, self._clock = first, longest, clock
        self._after: dict[Hashable, tuple[float, float]] = {}

    def are_over(self, subject: Hashable) -> bool:
        """Whether the subject may be tried now."""
        return self._after.get(subject, (0.0, 0.0))[0] <= self._clock()

    def begin(self, subject: Hashable) -> None:
        """Let the subject rest, twice as long as the last time."""
        pause = min(self._longest, 2 * self._after[subject][1] if subject in self._after else self._first)
        self._after[subject] = (self._clock() + pause, pause)

    def keep_only(self, subjects: Iterable[Hashable]) -> None:
        """Forget all others: what fails after it once went well rests shortly again."""
        kept = set(subjects)
        self._after = {subject: after for subject, after in self._after.items() if subject in kept}


async def for_each(
    subjects: Collection[Subject],
    work: Callable[[Subject], Awaitable[Outcome]],
    concerns: Concerns,
    alarm: Callable[[Subject, str], None],
) -> dict[Subject, Outcome]:
    """Do a job's work for each subject in turn; return what came of it, without those that failed.

    One that fails keeps no other back. `alarm` is told of it, with the error's type, if `concerns` do not know it yet.

    Raises:
        TRANSIENT: the database or the broker is away; what is left waits for the next round.
    """
    outcomes = {}
    for subject in subjects:
        try:
            outcomes[subject] = await work(subject)
        except TRANSIENT:
            raise
        except Exception as error:  # noqa: BLE001 # whatever it is, the other subjects are as they should be
            if concerns.is_news(subject, type(error).__name__):
                alarm(subject, type(error).__name__)
    return outcomes
