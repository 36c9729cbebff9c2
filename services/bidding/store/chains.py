"""The SQL of the providers' chains: where each ends."""

from collections.abc import Iterable, Mapping

import asyncpg

from linepool.receipts.chain import Head, beginning

Connection = asyncpg.Connection


async def lock_chains(tx: Connection, provider_ids: Iterable[str]) -> dict[str, Head]:
    """Lock these providers' chains until the transaction ends, in the order of their ids, and return where they end.

    A chain that is not there yet begins, so that two that want it wait for each other.
    """
    ids = sorted(set(provider_ids))
    rows = await tx.fetch(
        """
        INSERT INTO chains (provider_id, head, number)
        SELECT new.*, 0 FROM unnest($1::text[], $2::bytea[]) AS new (provider_id, head)
        ON CONFLICT (provider_id) DO UPDATE SET number = chains.number
        RETURNING provider_id, number, head
        """,
        ids,
        [beginning(provider_id).hash for provider_id in ids],
    )
    return {row["provider_id"]: Head(row["number"], row["head"]) for row in rows}


async def move_chains(tx: Connection, ends: Mapping[str, Head]) -> None:
    """Write where locked chains end now."""
    await tx.execute(
        """
        UPDATE chains SET number = new.number, head = new.head
        FROM unnest($1::text[], $2::bigint[], $3::bytea[]) AS new (provider_id, number, head)
        WHERE chains.provider_id = new.provider_id
        """,
        list(ends),
        [head.number for head in ends.values()],
        [head.hash for head in ends.values()],
    )
