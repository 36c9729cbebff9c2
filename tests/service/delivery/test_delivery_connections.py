"""What the database is told of those who are connected to it."""

from shared.postgres import open_pool


async def test_the_server_notices_within_ten_seconds_that_the_machine_of_a_client_is_gone(
    database: str,
) -> None:
    pool = await open_pool(database, "rfp")
    try:
        # What is shown here the server has asked of its socket: seconds, and milliseconds for the last one.
        rows = await pool.fetch(
            "SELECT name, setting::int FROM pg_settings WHERE name LIKE 'tcp_keepalives_%' OR name = 'tcp_user_timeout'"
        )
    finally:
        await pool.close()
    told = {row["name"]: row["setting"] for row in rows}
    silent = told["tcp_keepalives_idle"] + told["tcp_keepalives_interval"] * told["tcp_keepalives_count"]
    assert 0 < silent <= 10
    assert 0 < told["tcp_user_timeout"] <= 10_000
