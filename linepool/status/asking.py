"""Asks processes how they are, and judges what they say."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import httpx
from pydantic import ValidationError

from shared.status import ProcessStatus, PurchaseStatus

_ANSWER_S = 5.0
STUCK_AFTER_S = 300.0
"""A purchase that waits for a machine longer than that is stuck."""


class AddressError(ValueError):
    """An address is not one; the text is one sentence."""


@dataclass(frozen=True)
class Answer:
    """What a process said; `status` is None where it did not answer, and `error` says why."""

    name: str
    address: str
    status: ProcessStatus | None
    error: str = ""


def addresses_of(given: Iterable[str]) -> list[tuple[str, str]]:
    """Return names and addresses.

    Raises:
        AddressError: one is not `name=http://host:port`.
    """
    found = []
    for one in given:
        name, _, address = one.partition("=")
        if not name or not address.startswith(("http://", "https://")):
            raise AddressError(f"{one} is no address; write it as rfp=http://10.0.0.8:8080")
        found.append((name, address.rstrip("/")))
    return found


async def ask(addresses: Sequence[tuple[str, str]]) -> list[Answer]:
    """Ask all at once."""
    async with httpx.AsyncClient(timeout=_ANSWER_S, trust_env=False) as client:
        return await asyncio.gather(*(_ask(client, name, address) for name, address in addresses))


async def _ask(client: httpx.AsyncClient, name: str, address: str) -> Answer:
    try:
        response = await client.get(f"{address}/status")
        response.raise_for_status()
        return Answer(name, address, ProcessStatus.model_validate_json(response.content))
    except httpx.HTTPStatusError as error:
        return Answer(name, address, None, f"answers {error.response.status_code}")
    except httpx.HTTPError as error:
        return Answer(name, address, None, f"does not answer ({type(error).__name__})")
    except ValidationError:
        return Answer(name, address, None, "answers something else")


def waiting(answers: Iterable[Answer]) -> list[PurchaseStatus]:
    """Return the purchases that wait, the longest wait first; what several replicas show, once."""
    found: dict[tuple[object, str], PurchaseStatus] = {}
    for one in (one for answer in answers if answer.status for one in answer.status.purchases):
        before = found.get((one.purchase_id, one.step))
        if before is None or one.age_s > before.age_s:
            found[one.purchase_id, one.step] = one
    return sorted(found.values(), key=lambda one: -one.age_s)


def is_stuck(purchase: PurchaseStatus) -> bool:
    """Whether a machine should have moved it long ago."""
    return purchase.who == "machine" and purchase.age_s > STUCK_AFTER_S


def troubles(answers: Iterable[Answer]) -> list[str]:
    """Return what a person should look at, one sentence each."""
    answers = list(answers)
    said = []
    for one in answers:
        if one.status is None:
            said.append(f"{one.name} {one.error}.")
            continue
        if one.status.missing:
            said.append(f"{one.name} is not ready: {one.status.missing}.")
        said += [f"{consumer}: {why}." for consumer, why in sorted(one.status.ailing.items())]
        if one.status.parked.get("stuck"):
            said.append(f"A message of {one.name} is stuck: linepool parked list {one.name}")
        if one.status.blocked_topics:
            said.append(f"{one.name} cannot write to a topic: linepool access diff")
    said += [
        f"Purchase {one.purchase_id} is stuck at {one.step}, for {duration(one.age_s)}: it waits for {one.waits_for}."
        for one in waiting(answers)
        if is_stuck(one)
    ]
    return said


def duration(seconds: float) -> str:
    """Return a duration in its two largest units, such as `3 d 4 h`."""
    rest = int(seconds)
    parts: list[str] = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        count, rest = divmod(rest, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])
