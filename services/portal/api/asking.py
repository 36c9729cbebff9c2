"""Who asks, and what every answer needs: the portal's database and settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, cast
from uuid import UUID

import asyncpg
from fastapi import Depends, Request

from services.portal.api.problems import Problem
from services.portal.domain.facts import Fact
from services.portal.domain.roles import Standing, standing
from services.portal.secrets import digest
from services.portal.settings import Settings
from services.portal.store import facts, sessions
from services.portal.store.sessions import Session
from shared.postgres import connect
from shared.wiring import Wiring

COOKIE = "__Host-linepool"
OWN_PAGE = "x-linepool"


@dataclass(frozen=True)
class Portal:
    """The running portal."""

    wiring: Wiring
    settings: Settings

    @property
    def db(self) -> asyncpg.Connection:
        """The pool as a connection: each statement takes one for itself, and nobody holds one while a password is hashed."""
        return cast("asyncpg.Connection", self.wiring.running().pool)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[asyncpg.Connection]:
        """Lend a connection for what must happen together; ask for nothing else meanwhile."""
        async with connect(self.wiring.running().pool) as lent, lent.transaction():
            yield lent


def portal_of(request: Request) -> Portal:
    """Return the portal that answers."""
    portal: Portal = request.app.state.portal
    return portal


ThePortal = Annotated[Portal, Depends(portal_of)]


def database_of(portal: ThePortal) -> asyncpg.Connection:
    """Return the portal's database, for single statements."""
    return portal.db


Db = Annotated[asyncpg.Connection, Depends(database_of)]


def token_of(request: Request) -> str | None:
    """Return the token that a request carries: a bearer's, or the cookie's.

    A browser sends its cookie along with other sites' requests too; only our own pages can add the header that changes need.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token
    if request.method not in {"GET", "HEAD"} and OWN_PAGE not in request.headers:
        return None
    return request.cookies.get(COOKIE)


async def maybe_signed_in(request: Request, portal: ThePortal) -> Session | None:
    """Return the session of whoever asks, or None."""
    token = token_of(request)
    if not token:
        return None
    found = await sessions.find(portal.db, digest(token), portal.settings.session_hours / 2)
    request.state.person_id = str(found.person_id) if found else None
    return found


async def signed_in(request: Request, portal: ThePortal) -> Session:
    """Return the session of whoever asks, or answer 401."""
    found = await maybe_signed_in(request, portal)
    if found is None:
        raise Problem(401, "not_signed_in", "Sign in first.")
    return found


SignedIn = Annotated[Session, Depends(signed_in)]


@dataclass(frozen=True)
class Look:
    """A purchase as it is now, and who asks in it."""

    purchase_id: UUID
    standing: Standing
    facts: list[Fact]


async def look(purchase_id: UUID, session: SignedIn, db: Db) -> Look:
    """Return the purchase if whoever asks belongs to it; for others it does not exist."""
    found = await facts.of_purchase(db, purchase_id)
    who = standing(session.person_id, found)
    if not who.roles:
        raise Problem(404, "purchase_unknown", "There is no such purchase, or you do not belong to it.")
    return Look(purchase_id, who, found)


InPurchase = Annotated[Look, Depends(look)]
