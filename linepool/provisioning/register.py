"""The register of providers as rfp tells it, and the operator's orders about it."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Literal
from uuid import UUID

from pydantic import ValidationError

from deploy.access.broker import AccessError
from linepool.client.authorities import Operator, open_operator
from linepool.client.connection import Connection
from linepool.client.journal import Entry
from shared.messages.rfp import ProviderRegistered, ProviderReinstated, ProviderRemoved, ProviderSuspended

State = Literal["registered", "suspended", "removed"]
_PATIENCE_SECONDS = 60.0
_ABOUT_PROVIDERS = (ProviderRegistered, ProviderSuspended, ProviderReinstated, ProviderRemoved)


@dataclass(frozen=True)
class Registered:
    """A provider as rfp knows it."""

    provider_id: str
    name: str
    categories: tuple[str, ...]
    regions: tuple[str, ...]
    state: State


def read_register(entries: Iterable[Entry]) -> dict[str, Registered]:
    """Return every provider that ever was, by id, as the events leave it."""
    known: dict[str, Registered] = {}
    for entry in entries:
        if entry.topic != "rfp.events":
            continue
        message = next((found for type_ in _ABOUT_PROVIDERS if (found := entry.says(type_))), None)
        if isinstance(message, ProviderRegistered):
            pid = message.provider_id
            state: State = (
                known[pid].state if pid in known and known[pid].state == "suspended" else "registered"
            )
            known[pid] = Registered(pid, message.name, message.categories, message.regions, state)
        elif message is not None and message.provider_id in known:
            states: dict[type, State] = {
                ProviderSuspended: "suspended",
                ProviderReinstated: "registered",
                ProviderRemoved: "removed",
            }
            known[message.provider_id] = replace(known[message.provider_id], state=states[type(message)])
    return known


def find_provider(known: Iterable[Registered], name: str) -> Registered | None:
    """Return the provider of this id or legal name (upper and lower case alike); one that was removed only by its id.

    Raises AccessError where several have the name.
    """
    everyone = list(known)
    wanted = _folded(name)
    if by_id := [one for one in everyone if one.provider_id == name]:
        return by_id[0]
    found = [one for one in everyone if one.state != "removed" and _folded(one.name) == wanted]
    if len(found) > 1:
        ids = ", ".join(sorted(one.provider_id for one in found))
        raise AccessError(f"several providers have the name {name}: say which one by its id ({ids})")
    return found[0] if found else None


@dataclass(frozen=True)
class Register:
    """What the operator says to rfp about providers, each until it is done. Made by `open_register`."""

    operator: Operator

    async def providers(self) -> dict[str, Registered]:
        """Return every provider, those removed included."""
        await self.operator.journal.catch_up()
        return read_register(self.operator.journal.entries)

    async def register(self, pid: str, name: str, categories: Sequence[str], regions: Sequence[str]) -> None:
        """Make a provider known, or change what is known of it."""
        try:
            order = await self.operator.register(pid, name=name, categories=categories, regions=regions)
        except ValidationError as error:
            problem = error.errors()[0]
            field = ".".join(map(str, problem["loc"]))
            raise AccessError(f"{field} cannot be registered: {problem['msg']}") from None
        await self._done(order, f"registering {name}")

    async def suspend(self, pid: str, reason: str) -> None:
        """Have nothing more presented to a provider."""
        await self._done(await self.operator.suspend(pid, reason=reason), f"suspending {pid}")

    async def reinstate(self, pid: str) -> None:
        """Lift a suspension."""
        await self._done(await self.operator.reinstate(pid), f"reinstating {pid}")

    async def remove(self, pid: str, reason: str) -> None:
        """Strike a provider off."""
        await self._done(await self.operator.remove(pid, reason=reason), f"removing {pid}")

    async def _done(self, order: UUID, what: str) -> None:
        try:
            outcome = await self.operator.outcome(order, within=_PATIENCE_SECONDS)
        except TimeoutError:
            raise AccessError(
                f"rfp has not answered within {_PATIENCE_SECONDS:.0f} s about {what}; the same command again goes on from there"
            ) from None
        if outcome.refused:
            raise AccessError(f"rfp refuses {what}: {outcome.refused.detail}")


@asynccontextmanager
async def open_register(connection: Connection, person_id: UUID) -> AsyncIterator[Register]:
    """Connect with the operator's login. Raises KafkaError when the broker is away or refuses it."""
    async with open_operator(connection, person_id) as operator:
        yield Register(operator)


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()
