"""A service that cannot start says why in one sentence and exits with code 1, so that its supervisor tries again."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from deploy.access.certificates import Authority
from deploy.local.process import free_port
from deploy.local.services import Services, module_of
from deploy.local.stack import Stack
from tests.integration.tls import server_with

ROOT = Path(__file__).parents[2]
NOT_IN = "linepool: Kafka does not let rfp in: "


def start(stack: Stack, name: str = "rfp", **changes: str) -> subprocess.CompletedProcess[str]:
    """Run a process with the stack's environment and some changes until it ends."""
    outside = {key: value for key, value in os.environ.items() if not key.startswith("LINEPOOL_")}
    own = Services(stack, [name]).environment_of(name)
    return subprocess.run(
        [sys.executable, "-m", module_of(name)],
        env=outside | own | changes,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


@pytest.fixture(scope="module")
def servers(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Addresses and files for the table below. Those who sign are the stack's own: only the names or times are wrong."""
    folder = tmp_path_factory.mktemp("servers")
    Authority.new("Linepool brokers").write(folder / "ca.pem", folder / "ca.key.pem")
    own = Authority.read(stack.ca_file, stack.ca_file.with_name("brokers-ca.key.pem"))
    expired = own.issue_for_server(["127.0.0.1"], validity=timedelta(minutes=-1))
    with (
        server_with(own.issue_for_server(["kafka.example"]), folder / "another") as another_host,
        server_with(expired, folder / "expired") as expired_port,
    ):
        yield {
            "port": str(free_port()),
            "kafka": stack.services_bootstrap,
            "prefix": stack.prefix,
            "another_authority": str(folder / "ca.pem"),
            "another_host": str(another_host),
            "expired": str(expired_port),
            "smtp": str(stack.smtp_port),
        }


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        (
            "LINEPOOL_KAFKA_BOOTSTRAP_SERVERS",
            "127.0.0.1:{port}",
            NOT_IN + "127.0.0.1:{port} does not answer",
        ),
        (
            "LINEPOOL_KAFKA_PASSWORD",
            "wrong",
            NOT_IN + "{kafka} does not know the login of {prefix}rfp",
        ),
        (
            "LINEPOOL_KAFKA_CA_FILE",
            "{another_authority}",
            NOT_IN + "the certificate of {kafka} is not to be trusted (",
        ),
        (
            "LINEPOOL_KAFKA_BOOTSTRAP_SERVERS",
            "127.0.0.1:{another_host}",
            NOT_IN + "the certificate of 127.0.0.1:{another_host} is not to be trusted (IP address mismatch",
        ),
        (
            "LINEPOOL_KAFKA_BOOTSTRAP_SERVERS",
            "127.0.0.1:{expired}",
            NOT_IN + "the certificate of 127.0.0.1:{expired} is not to be trusted (certificate has expired",
        ),
        (
            "LINEPOOL_KAFKA_BOOTSTRAP_SERVERS",
            "127.0.0.1:{smtp}",
            NOT_IN + "127.0.0.1:{smtp} does not speak TLS",
        ),
        (
            "LINEPOOL_KAFKA_BOOTSTRAP_SERVERS",
            "127.0.0.1:{port},127.0.0.1:{smtp}",
            NOT_IN
            + "127.0.0.1:{port} does not answer (ConnectionRefusedError); 127.0.0.1:{smtp} does not speak TLS",
        ),
        (
            "LINEPOOL_KAFKA_CA_FILE",
            "/does/not/exist.pem",
            "linepool: these settings are missing or wrong: LINEPOOL_KAFKA_CA_FILE",
        ),
        (
            "LINEPOOL_KAFKA_CA_FILE",
            __file__,
            "linepool: these settings are missing or wrong: LINEPOOL_KAFKA_CA_FILE",
        ),
        (
            "LINEPOOL_POSTGRES_DSN",
            "postgresql://rfp:x@127.0.0.1:{port}/x",
            "linepool: Postgres does not let rfp in",
        ),
        ("LINEPOOL_SECRET", "12", "linepool: these settings are missing or wrong: LINEPOOL_SECRET"),
    ],
)
def test_what_is_away_or_wrong_at_start_is_named_in_one_sentence(
    stack: Stack, servers: dict[str, str], variable: str, value: str, sentence: str
) -> None:
    ended = start(stack, **{variable: value.format(**servers)})
    assert said_by(ended).startswith(sentence.format(**servers))


def test_a_login_is_refused_by_the_broker_that_answers_where_the_first_is_away(
    stack: Stack, servers: dict[str, str]
) -> None:
    brokers = f"127.0.0.1:{servers['port']},{servers['kafka']}"
    ended = start(stack, LINEPOOL_KAFKA_BOOTSTRAP_SERVERS=brokers, LINEPOOL_KAFKA_PASSWORD="wrong")
    assert said_by(ended) == f"{NOT_IN}{servers['kafka']} does not know the login of {stack.prefix}rfp"


def said_by(ended: subprocess.CompletedProcess[str]) -> str:
    """Return the one sentence of a process that could not start."""
    assert ended.returncode == 1
    assert "Traceback" not in ended.stdout + ended.stderr
    [said] = [line for line in ended.stderr.splitlines() if line.startswith("linepool: ")]
    return said


@pytest.fixture
async def empty(stack: Stack) -> AsyncIterator[str]:
    """A database beside the stack's own, with schemas in which nothing is."""
    admin = await asyncpg.connect(stack.admin_dsn)
    await admin.execute("CREATE DATABASE empty")
    inside = await asyncpg.connect(stack.admin_dsn, database="empty")
    for role in ("rfp", "opener"):
        await inside.execute(f"CREATE SCHEMA {role} AUTHORIZATION {role}")
    await inside.close()
    try:
        yield "empty"
    finally:
        await admin.execute("DROP DATABASE empty WITH (FORCE)")
        await admin.close()


@pytest.mark.parametrize(("name", "first"), [("rfp", "delivery/0001"), ("opener", "service/0001")])
async def test_a_process_that_is_not_to_migrate_names_what_its_schema_lacks(
    stack: Stack, empty: str, name: str, first: str
) -> None:
    dsn = urlunsplit(urlsplit(stack.dsn(name))._replace(path=f"/{empty}"))
    changes = {"LINEPOOL_POSTGRES_DSN": dsn, "LINEPOOL_MIGRATE": "off"}
    ended = await asyncio.to_thread(start, stack, name, **changes)
    said = said_by(ended)
    assert said.startswith(f"linepool: the schema {name} lacks ")
    assert f"the first is {first}" in said
