"""Which requests wait to be issued, for the officer, or for their deadline to be said."""

import asyncpg

from shared.waiting import Step, Waiting, Waits

REQUEST = Step("request", "person", "the coordinator to issue the request")
VERIFICATION = Step("verification", "person", "the officer to verify the group")
DEADLINE = Step("deadline", "machine", "rfp to say that the deadline has passed")


async def find(connection: asyncpg.Connection) -> list[Waiting]:
    """Return the requests that are under way, but for those that only wait for their deadline."""
    rows = await connection.fetch(
        """
        SELECT purchase_id, $1 AS step, (
            SELECT max(decided_at) FROM log WHERE stream = 'rfp.events' AND subject = purchase_id::text
                AND type = 'linepool.request-drafted.v1'
        ) AS since
        FROM requests WHERE state = 'drafted' AND dissolved_by IS NULL
        UNION ALL
        SELECT purchase_id,
            CASE WHEN deadline_at <= clock_timestamp() THEN $3 ELSE $2 END,
            CASE WHEN deadline_at <= clock_timestamp() THEN deadline_at
                ELSE greatest(issued_at, qualified_until_at) END
        FROM requests
        WHERE state = 'issued' AND (
            deadline_at <= clock_timestamp() OR qualified_until_at IS NULL
            OR qualified_until_at <= clock_timestamp()
        )
        """,
        REQUEST.name,
        VERIFICATION.name,
        DEADLINE.name,
    )
    return [Waiting(**row) for row in rows]


WAITS = Waits((REQUEST, VERIFICATION, DEADLINE), find)
