"""What the chart's Jobs do at a real Postgres; what `access` does at a Kafka is tested with deploy/access."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from deploy.access.model import roles
from deploy.access.postgres import apply_roles
from deploy.local.postgres import LocalPostgres
from tests.deploy.rendering import CHART, ROOT

RIGHTS = """
SELECT nspname AS what, pg_get_userbyid(nspowner) AS owner, nspacl::text AS rights
FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
UNION ALL
SELECT 'role ' || rolname, '', concat(rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls)
FROM pg_roles WHERE rolname = ANY($1::text[])
UNION ALL
SELECT 'set ' || coalesce(rolname, ''), '', setconfig::text FROM pg_db_role_setting
LEFT JOIN pg_roles ON pg_roles.oid = setrole JOIN pg_database ON pg_database.oid = setdatabase
WHERE datname = current_database()
UNION ALL
SELECT 'connect ' || role, '', has_database_privilege(role, current_database(), 'CONNECT')::text
FROM unnest($1::text[]) AS role
ORDER BY 1, 3
"""


def job(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("LINEPOOL_")}
    return subprocess.run(
        [sys.executable, "-m", "linepool.jobs", *arguments],
        cwd=ROOT,
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def at_database(dsn: str, name: str) -> str:
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


async def rights(dsn: str) -> list[tuple[str, ...]]:
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch(RIGHTS, [one.role for one in roles()])]
    finally:
        await connection.close()


async def forget(admin: "asyncpg.Connection[asyncpg.Record]") -> None:
    await admin.execute("DROP DATABASE IF EXISTS linepool WITH (FORCE)")
    for one in roles():
        await admin.execute(f"DROP ROLE IF EXISTS {one.role}")
    await admin.execute("CREATE DATABASE linepool")


@pytest.fixture
def passwords(tmp_path: Path) -> Path:
    folder = tmp_path / "passwords"
    folder.mkdir()
    for one in roles():
        (folder / one.name).write_text(f"of-{one.name}\n")
    return folder


async def test_roles_then_migrations_then_nothing_is_pending(
    postgres: LocalPostgres, passwords: Path
) -> None:
    admin = await asyncpg.connect(at_database(postgres.admin_dsn, "postgres"))
    await forget(admin)
    dsn = at_database(postgres.admin_dsn, "linepool")
    for _ in range(2):
        done = await asyncio.to_thread(
            job, "roles", LINEPOOL_POSTGRES_DSN=dsn, LINEPOOL_PASSWORDS=str(passwords)
        )
        assert done.returncode == 0, done.stderr
    parts = urlsplit(dsn)
    own = urlunsplit(parts._replace(netloc=f"rfp:of-rfp@{parts.netloc.rpartition('@')[2]}"))
    first = await asyncio.to_thread(job, "migrate", "rfp", LINEPOOL_POSTGRES_DSN=own)
    assert first.returncode == 0, first.stderr
    assert "applied delivery/0001" in first.stdout
    again = await asyncio.to_thread(job, "migrate", "rfp", LINEPOOL_POSTGRES_DSN=own)
    assert (again.returncode, again.stdout) == (0, "")
    await forget(admin)
    await admin.close()


async def test_cloudnativepg_is_told_the_same_that_the_job_for_roles_does(postgres: LocalPostgres) -> None:
    admin = await asyncpg.connect(at_database(postgres.admin_dsn, "postgres"))
    dsn = at_database(postgres.admin_dsn, "linepool")
    await forget(admin)
    await apply_roles(dsn, {one.name: "any" for one in roles()})
    by_job = await rights(dsn)
    await forget(admin)
    connection = await asyncpg.connect(dsn)
    for statement in json.loads((CHART / "files" / "access.json").read_text())["database"]:
        await connection.execute(statement)
    await connection.close()
    assert await rights(dsn) == by_job
    await forget(admin)
    await admin.close()


def test_a_job_says_in_one_sentence_what_it_lacks(tmp_path: Path) -> None:
    nothing = job("migrate", "rfp")
    assert (nothing.returncode, nothing.stderr) == (1, "linepool: LINEPOOL_POSTGRES_DSN is not set\n")
    empty = job("roles", LINEPOOL_POSTGRES_DSN="postgresql://nowhere/x", LINEPOOL_PASSWORDS=str(tmp_path))
    assert empty.returncode == 1
    assert "lacks the passwords of aggregation, " in empty.stderr
    unknown = job("migrate", "rfpp", LINEPOOL_POSTGRES_DSN="postgresql://nowhere/x")
    assert "there is no service rfpp" in unknown.stderr
