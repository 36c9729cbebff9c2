"""Every statement of the rfp service about providers."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from services.rfp.domain import Provider
from shared.messages.rfp import RegisterProvider


async def lock_provider(tx: asyncpg.Connection, provider_id: str) -> Provider | None:
    """Return a provider, locked until the transaction ends."""
    row = await tx.fetchrow(
        "SELECT provider_id, name, categories, regions, suspended_at IS NOT NULL AS suspended FROM providers "
        "WHERE provider_id = $1 FOR UPDATE",
        provider_id,
    )
    return _provider(row) if row else None


async def share_lock_providers(tx: asyncpg.Connection, provider_ids: Sequence[str]) -> list[Provider]:
    """Return these providers in the order of their ids; none can be suspended or reinstated until the transaction ends.

    A suspension that is under way is waited for, and its outcome is what is returned. Issues do not wait for each other.
    """
    rows = await tx.fetch(
        "SELECT provider_id, name, categories, regions, suspended_at IS NOT NULL AS suspended FROM providers "
        "WHERE provider_id = ANY($1) ORDER BY provider_id FOR SHARE",
        provider_ids,
    )
    return [_provider(row) for row in rows]


async def keep_provider(tx: asyncpg.Connection, command: RegisterProvider, registered_at: datetime) -> None:
    """Keep what is known of a provider; a suspension stays."""
    await tx.execute(
        "INSERT INTO providers (provider_id, name, categories, regions, registered_at) VALUES ($1, $2, $3, $4, $5) "
        "ON CONFLICT (provider_id) DO UPDATE "
        "SET name = excluded.name, categories = excluded.categories, regions = excluded.regions",
        command.provider_id,
        command.name,
        list(command.categories),
        list(command.regions),
        registered_at,
    )


async def suspend_provider(tx: asyncpg.Connection, provider_id: str, suspended_at: datetime | None) -> None:
    """Keep since when a provider is suspended; None: it is not."""
    await tx.execute(
        "UPDATE providers SET suspended_at = $2 WHERE provider_id = $1", provider_id, suspended_at
    )


async def remove_provider(tx: asyncpg.Connection, provider_id: str) -> None:
    """Forget a provider; requests that were issued keep its id."""
    await tx.execute("DELETE FROM providers WHERE provider_id = $1", provider_id)


async def is_listed_in_open_purchase(tx: asyncpg.Connection, provider_id: str) -> bool:
    """Return whether a purchase that lists the provider was issued, and is neither complete nor cancelled.

    Issues hold the provider's row until they commit, so under its lock none is missed.
    """
    found: bool = await tx.fetchval(
        "SELECT EXISTS (SELECT FROM requests WHERE $1 = ANY (provider_ids) "
        "AND state IN ('issued', 'closed') AND completed_by IS NULL)",
        provider_id,
    )
    return found


async def registered(tx: asyncpg.Connection, provider_ids: Sequence[str]) -> set[str]:
    """Return which of these ids are registered."""
    rows = await tx.fetch("SELECT provider_id FROM providers WHERE provider_id = ANY($1)", provider_ids)
    return {row["provider_id"] for row in rows}


async def all_providers(tx: asyncpg.Connection) -> list[Provider]:
    """Return all registered providers, the suspended ones too."""
    rows = await tx.fetch(
        "SELECT provider_id, name, categories, regions, suspended_at IS NOT NULL AS suspended FROM providers "
        "ORDER BY provider_id"
    )
    return [_provider(row) for row in rows]


def _provider(row: asyncpg.Record) -> Provider:
    return Provider(
        row["provider_id"], row["name"], tuple(row["categories"]), tuple(row["regions"]), row["suspended"]
    )
