"""Which gates are shut, and for what they wait."""

import asyncpg

from shared.waiting import Step, Waiting, Waits

QUALIFICATION = Step("qualification", "person", "the group to be qualified")
DISTRIBUTION = Step("distribution", "machine", "the request to be complete here")


async def find(connection: asyncpg.Connection) -> list[Waiting]:
    """Return the issued requests whose gate is shut. Since when is not kept here: no fact's arrival is."""
    rows = await connection.fetch(
        "SELECT purchase_id, waiting_for FROM waiting WHERE shut_by IS NULL AND request_version IS NOT NULL"
    )
    return [
        Waiting(row["purchase_id"], QUALIFICATION.name, None)
        if row["waiting_for"] == ["qualification"]
        else Waiting(row["purchase_id"], DISTRIBUTION.name, None, ", ".join(row["waiting_for"]))
        for row in rows
    ]


WAITS = Waits((QUALIFICATION, DISTRIBUTION), find)
