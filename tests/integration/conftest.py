"""Real servers and services; one that cannot be had fails every test that needs it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from deploy.local.stack import Stack, start_stack
from tests.integration.shell import Shell
from tests.integration.system import RealSystem, own_stack, running_system
from tests.integration.tender import Tender, hold_tender


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One Kafka and Postgres without services for the whole session."""
    folder: Path = tmp_path_factory.mktemp("stack")
    with start_stack(folder) as running:
        yield running


@pytest.fixture(scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealSystem]:
    """The five services on a stack that no other test writes to; see `tests.integration.system`.

    Each module has its own: what one leaves behind, all that come after would read again and again.
    """
    folder: Path = tmp_path_factory.mktemp("system")
    with own_stack(folder) as stack:
        async with running_system(stack) as running:
            yield running


@pytest.fixture(scope="module")
async def tender(system: RealSystem) -> Tender:
    """One sealed purchase, watched by the rules of public procurement; see `tests.integration.tender`."""
    return await hold_tender(system)


@pytest.fixture
def shell(system: RealSystem, tmp_path: Path) -> Shell:
    """A folder of its own, in which somebody types who knows the portal's address."""
    return Shell(tmp_path, f"http://127.0.0.1:{system.services.port('portal')}")
