"""What a decision can come to when it is not a yes. Domains return these; the delivery turns them into events."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Refusal:
    """Never possible: a command is answered with `<Command>Refused`."""

    reason: str
    """A fixed word, such as `group_closed`, that programs may compare."""
    detail: str
    """One sentence for people; never quotes the refused data."""


@dataclass(frozen=True)
class NotYet:
    """Not possible yet, but perhaps after facts that are due: a command waits a few seconds and is then refused."""

    reason: str
    detail: str
