"""What services have kept, compared: after the whole log again, and after a restore."""

from tests.flow.system import System

Tables = dict[str, dict[str, list[str]]]


def differing(found: Tables, expected: Tables) -> dict[str, tuple[list[str], list[str]]]:
    """Return, by table, the rows that are too many and those that are missing."""
    return {
        f"{service}.{name}": (sorted(set(rows) - set(before)), sorted(set(before) - set(rows)))
        for service, of_service in found.items()
        for name, rows in of_service.items()
        if rows != (before := expected[service][name])
    }


OF_DELIVERY = ("inbox", "positions", "adopted", "subjects", "sequences", "clock_skews", "migrations")
"""What a service knows of its own messages, but for the log: that comes out as it was."""
MEASURED = ["closing_ends", "closed_at", "number", "told_at", "queued_at", "next_try_at", "tries"]
MEASURED += ["checkpoints_from", "proved_at", "adopted"]
"""Where topics ended, when boxes closed, when a mail was queued or a checkpoint proved: looked up anew, and no decision."""


async def decided(system: System) -> Tables:
    """Return what the services have decided: their own tables, without what they only measured.

    A mail says who took part as far as that was known when it was queued.
    """
    found: Tables = {}
    for name, service in system.services.items():
        names = await service.pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", name)
        found[name] = {
            table: sorted(
                row["row"]
                for row in await service.pool.fetch(
                    f"SELECT (to_jsonb(t) - $1::text[] #- '{{letter,participants}}')::text AS row FROM {table} AS t",
                    [] if table == "awards" else MEASURED,
                )
            )
            for table in (row["tablename"] for row in names)
            if table not in OF_DELIVERY
        }
    return found
