"""Everything that runs during the story: the stack, the five services as processes, and a login for everyone who takes part."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from uuid import UUID, uuid4

import asyncpg

from deploy.access.login import Login
from deploy.access.model import provider_topics, topics
from deploy.local.services import Services
from deploy.local.stack import Stack
from linepool.client.authorities import Officer, Operator, open_officer, open_operator
from linepool.client.connection import Connection
from linepool.client.watcher import Watcher, open_watcher
from linepool.demo.scenario import ProviderRoles, Scenario
from linepool.demo.signed_in import Opened
from linepool.demo.telling import Teller
from linepool.provider import Bundle, Keys, Provider, open_provider
from shared.signing import RECEIPTS, SEAL_KEYS, signing_key, verifying_key_b64


@dataclass
class Stage:
    """The story's surroundings; providers and their logins go by id."""

    scenario: Scenario
    stack: Stack
    services: Services
    tell: Teller
    officer: Officer
    operator: Operator
    watcher: Watcher
    distribution: asyncpg.Pool
    """Distribution's own tables, read with its role."""
    providers: dict[str, Provider]
    logins: dict[str, Login]
    opened: Opened | None = None
    """The group, once it is opened at the portal."""

    @property
    def portal(self) -> str:
        """The portal's address."""
        return f"http://127.0.0.1:{self.services.port('portal')}"

    @property
    def people(self) -> Opened:
        """The group's people, who are signed in. Raises LookupError before the group is opened."""
        if self.opened is None:
            raise LookupError("no group is opened yet")
        return self.opened

    @property
    def purchase_id(self) -> UUID:
        """The purchase that the story is about. Raises as `people`."""
        return self.people.purchase_id

    @property
    def roles(self) -> ProviderRoles:
        """Who of the providers does what."""
        return self.scenario.providers

    def connection(self, login: Login) -> Connection:
        """Return a login's way to the stack's Kafka."""
        return connection(self.stack, login)

    async def waiting_for(self, purchase_id: UUID) -> tuple[str, ...] | None:
        """Return what distribution's gate waits for; None once it is open, or before it knows the request."""
        row = await self.distribution.fetchrow(
            "SELECT shut_by, waiting_for FROM waiting WHERE purchase_id = $1 AND request_version IS NOT NULL",
            purchase_id,
        )
        if row is None:
            return None
        return (row["shut_by"],) if row["shut_by"] else tuple(row["waiting_for"])


def connection(stack: Stack, login: Login) -> Connection:
    """Return a login's way to a stack's Kafka."""
    return Connection(stack.bootstrap_servers, login.username, login.password, stack.ca_file, stack.prefix)


def bundle(stack: Stack, login: Login, provider_id: str) -> Bundle:
    """Return what a provider on this stack was handed."""

    def key(process: str, purpose: str) -> str | None:
        secret = stack.secrets.get(process)
        return verifying_key_b64(signing_key(bytes.fromhex(secret), purpose)) if secret else None

    keys = Keys(receipts=key("bidding", RECEIPTS), seal_keys=key("opener", SEAL_KEYS))
    return Bundle(connection(stack, login), provider_id, keys)


@asynccontextmanager
async def open_stage(
    scenario: Scenario, stack: Stack, services: Services, tell: Teller
) -> AsyncIterator[Stage]:
    """Give every provider its topics, user and rules, and connect everyone who takes part."""
    ids = scenario.providers.everyone
    logins = dict(zip(ids, await asyncio.to_thread(stack.add_providers, list(ids)), strict=True))
    async with AsyncExitStack() as open_:
        names = [topic.name for topic in topics()]
        names += [topic.name for pid in ids for topic in provider_topics(pid)]
        connected = [open_.enter_async_context(open_provider(bundle(stack, logins[pid], pid))) for pid in ids]
        providers = dict(zip(ids, await asyncio.gather(*connected), strict=True))
        officer, operator, watcher, pool = await asyncio.gather(
            open_.enter_async_context(open_officer(connection(stack, stack.login("officer")), uuid4())),
            open_.enter_async_context(open_operator(connection(stack, stack.login("operator")), uuid4())),
            open_.enter_async_context(open_watcher(connection(stack, stack.admin), names)),
            open_.enter_async_context(
                asyncpg.create_pool(
                    stack.dsn("distribution"),
                    min_size=1,
                    max_size=2,
                    server_settings={"search_path": "distribution", "timezone": "UTC"},
                )
            ),
        )
        tell.watcher = watcher
        stage = Stage(scenario, stack, services, tell, officer, operator, watcher, pool, providers, logins)
        yield stage
