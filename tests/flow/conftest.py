"""The whole flow: five services, a real Postgres, a real mail server, and Kafka in memory."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Executor
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from deploy.local.mail import LocalMail
from deploy.local.postgres import LocalPostgres
from services.bidding.comparing import worker_process
from tests.flow import pace
from tests.flow.system import PartitionedKafka, Parts, System, five_services
from tests.flow.visiting import Visitor, visiting


@pytest.fixture(scope="session")
def worker() -> Iterator[Executor]:
    with worker_process() as started:
        yield started


@pytest.fixture(scope="session")
def mail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalMail]:
    folder: Path = tmp_path_factory.mktemp("mail")
    server = LocalMail(folder)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def kafka() -> PartitionedKafka:
    return PartitionedKafka()


@pytest.fixture
def parts(database: str, kafka: PartitionedKafka, mail: LocalMail, worker: Executor) -> Parts:
    """What a system is made of, for a test that starts more than one."""
    return Parts(database, kafka, mail, worker)


@pytest.fixture(autouse=True)
async def measured(parts: Parts) -> None:
    """See how fast this machine is, once."""
    if not pace.is_measured():
        async with five_services(Parts(parts.dsn, PartitionedKafka(), parts.mail, parts.worker)) as system:
            await pace.measure(system)
            await system.forget()


@pytest.fixture
async def system(parts: Parts) -> AsyncIterator[System]:
    async with five_services(parts) as running:
        yield running


@pytest.fixture
async def visitor(system: System, parts: Parts) -> AsyncIterator[Visitor]:
    async with visiting(system, parts) as one:
        yield one


@pytest.fixture
async def postgres_copy(postgres: LocalPostgres) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """Copies a database that nobody is connected to; returns the copy's address."""
    copies: list[str] = []
    admin = await asyncpg.connect(postgres.admin_dsn)

    async def copy(dsn: str) -> str:
        address = urlsplit(dsn)
        name = address.path.removeprefix("/")
        copies.append(f"{name}_copy_{len(copies)}")
        await admin.execute(f"CREATE DATABASE {copies[-1]} TEMPLATE {name}")
        return urlunsplit(address._replace(path=f"/{copies[-1]}"))

    yield copy
    for name in copies:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()
