"""A fact as the portal keeps it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from shared.messages import Message, registry

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Fact:
    """One fact: what was said, when, by which order of whom it came about. `number` counts the facts of its purchase."""

    event_id: UUID
    number: int | None
    stream: str
    type: str
    said_at: datetime
    caused_by: UUID | None
    ordered_by: UUID | None
    message: Message


def of_type(facts: Iterable[Fact], model: type[M]) -> Iterator[tuple[Fact, M]]:
    """Yield the facts of one type, with their message."""
    for fact in facts:
        if isinstance(fact.message, model):
            yield fact, fact.message


def newest(facts: Iterable[Fact], model: type[M]) -> M | None:
    """Return the message of the newest fact of a type, or None."""
    return max(of_type(facts, model), key=lambda pair: pair[0].number or 0, default=(None, None))[1]


def read(type_: str, body: str) -> Message:
    """Return the message that was kept."""
    return registry[type_].model_validate_json(body)
