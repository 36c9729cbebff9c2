"""What keeps things from going on, remembered so that it is said once and not in every round."""

from collections.abc import Hashable, Iterable


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
