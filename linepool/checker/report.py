"""What the judge says: for each thing that must hold, whether it does, with every concrete finding."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["ok", "violated", "cannot check yet"]

TITLES = {
    "I1": "no request content reaches a provider that is not listed, or before its group was qualified",
    "I2": "no receipted reply is lost",
    "I3": "nothing counts twice",
    "I4": "one standing award per purchase",
    "I5": "no reply can be read before its box is closed",
    "I6": "a password, link or code is in the clear nowhere but in its one mail",
    "I7": "versions only grow, without gaps",
    "I8": "every change has its log entry, and any edit of the log shows",
    "I9": "everything drains without a hand",
    "I10": "one provider's fault harms no other",
    "group": "a group is qualified, acted for and closed only as its rules allow",
    "money": "every total is right to the cent",
}


@dataclass(frozen=True)
class Verdict:
    """The outcome for one invariant.

    `findings` say what is wrong, or why it cannot be checked. `looked_at` counts what was looked at, so that an
    empty history does not pass for a good one unseen.
    """

    invariant: str
    outcome: Outcome
    findings: tuple[str, ...]
    looked_at: int

    def __str__(self) -> str:
        """One line for people, and one for each finding."""
        head = f"{self.invariant:<5} {self.outcome:<16} {TITLES[self.invariant]} ({self.looked_at} looked at)"
        return "\n".join([head, *(f"      - {finding}" for finding in self.findings)])


@dataclass(frozen=True)
class Report:
    """All verdicts."""

    verdicts: tuple[Verdict, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is violated."""
        return not any(verdict.outcome == "violated" for verdict in self.verdicts)

    def of(self, invariant: str) -> Verdict:
        """Return the verdict on one invariant. Raises KeyError for an unknown one."""
        for verdict in self.verdicts:
            if verdict.invariant == invariant:
                return verdict
        raise KeyError(invariant)

    def __str__(self) -> str:
        """The verdicts, one below the other."""
        return "\n".join(str(verdict) for verdict in self.verdicts)


def found(invariant: str, findings: Iterable[str], looked_at: int) -> Verdict:
    """Return a verdict from findings: violated if there are any."""
    all_ = tuple(findings)
    return Verdict(invariant, "violated" if all_ else "ok", all_, looked_at)


def not_yet(invariant: str, why: Iterable[str], looked_at: int = 0) -> Verdict:
    """Return the verdict that this cannot be checked yet."""
    return Verdict(invariant, "cannot check yet", tuple(why), looked_at)
