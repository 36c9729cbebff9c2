"""The story's people at the portal: they sign in with what was mailed to them, and give their orders as the command line does."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe
from typing import Any, TypeVar
from uuid import UUID

from linepool.demo.mails import initial_passwords
from linepool.demo.scenario import Group, Scenario, Somebody
from linepool.demo.telling import ClaimError
from linepool.demo.waiting import PATIENCE, until
from linepool.people.api import Api, ApiError
from linepool.people.session import SignedIn

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 16.0
T = TypeVar("T")


@dataclass(frozen=True)
class Person:
    """Somebody who is signed in."""

    signed: SignedIn

    async def order(self, purchase_id: UUID, name: str, body: dict[str, Any], *, wait: bool = True) -> None:
        """Give an order about a purchase; with `wait`, until something has come of it.

        Raises:
            ClaimError: it was refused.
            TimeoutError: nothing came of it.
        """
        path = f"/purchases/{purchase_id}/{name}"
        try:
            outcome = await asyncio.to_thread(self.signed.api.post, path, body, wait=wait)
            if wait and not outcome["facts"]:
                await self._outcome(outcome["order_id"], name)
        except ApiError as error:
            faults = "".join(f" {where}: {why}." for where, why in error.faults)
            raise ClaimError(
                f"the order {name} was refused ({error.reason}): {error.detail}{faults}"
            ) from error

    async def get(self, path: str) -> Any:
        """Return what the portal shows, as soon as it knows it. TimeoutError: it does not come to know it."""
        return await patiently(lambda: self.signed.api.get(path), unless={"not_yet", "purchase_unknown"})

    async def refusal(self, purchase_id: UUID, name: str) -> str | None:
        """Try to give an order without a body; return the portal's word for refusing it, or None."""
        return await refused(self.signed.api, f"/purchases/{purchase_id}/{name}")

    async def _outcome(self, order_id: str, name: str) -> None:
        def led() -> bool:
            return bool(self.signed.api.get(f"/orders/{order_id}")["facts"])

        await until(led, within=PATIENCE, what=f"the outcome of {name}")


@dataclass(frozen=True)
class Opened:
    """A group that was opened, and those of its people who are signed in: the members by their buyers' ids."""

    group: Group
    purchase_id: UUID
    coordinator: Person
    members: dict[UUID, Person]


async def refused(api: Api, path: str, body: dict[str, Any] | None = None) -> str | None:
    """Post something; return the portal's word for refusing it, or None."""
    try:
        await asyncio.to_thread(api.post, path, body)
    except ApiError as error:
        return error.reason
    return None


async def patiently(ask: Callable[[], T], *, unless: set[str]) -> T:
    """Ask, in a thread, until the portal no longer answers with one of these words, less and less often.

    Raises:
        ClaimError: it refused with another word.
        TimeoutError: it kept answering so.
    """
    pause = _FIRST_PAUSE
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    return await asyncio.to_thread(ask)
                except ApiError as error:
                    if error.reason not in unless:
                        raise ClaimError(f"the portal refused ({error.reason}): {error.detail}") from error
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
    except TimeoutError:
        raise TimeoutError(f"the portal did not come to it within {PATIENCE:.0f} s") from None


async def mailed_password(mails: Path, who: Somebody, group: Group) -> str:
    """Wait for the mail with the initial password that somebody gets for a group; return the password."""
    found: list[str] = []

    def there() -> bool:
        found.extend(initial_passwords(mails, who.email, group.name))
        return bool(found)

    await until(there, within=PATIENCE, what="the mail with the initial password")
    return found[-1]


async def sign_in(
    portal: str, who: Somebody, initial: str, *, purchase_id: UUID, has_password: bool = False
) -> Person:
    """Sign in with an initial password, choosing an own one unless there is one.

    The mail may be faster than the portal's own reading, and how often an address may be tried is limited.
    """
    body = {"email": who.email, "password": initial}
    if not has_password:
        body["new_password"] = token_urlsafe(24)
    signed = await patiently(lambda: Api(portal).post("/sessions", body), unless={"sign_in_failed"})
    person = Person(SignedIn(portal, who.email, signed["token"], signed["ends_at"], str(purchase_id)))
    await person.get(f"/purchases/{purchase_id}")
    return person


async def open_group(api: Api, scenario: Scenario, group: Group) -> UUID:
    """Open a group, as whoever is signed in or as its contact; return its purchase."""
    body: dict[str, Any] = {
        "name": group.name,
        "currency": scenario.currency,
        "tax_basis": scenario.tax_basis,
    }
    if api.token is None:
        body["contact"] = contact_of(group.contact)
    return UUID((await asyncio.to_thread(api.post, "/purchases", body))["purchase_id"])


def contact_of(who: Somebody) -> dict[str, Any]:
    """Return a person as the portal wants them."""
    return {"name": who.name, "email": who.email, "phone": who.phone}
