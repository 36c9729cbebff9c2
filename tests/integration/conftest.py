"""One real stack for the whole session; a stack that cannot be had fails every test that needs it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from deploy.local.stack import Stack, start_stack
from tests.integration.system import RealSystem, own_stack, running_system


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder: Path = tmp_path_factory.mktemp("stack")
    with start_stack(folder) as running:
        yield running


@pytest.fixture(scope="session")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealSystem]:
    """The five services on a stack that no other test writes to; see `tests.integration.system`."""
    folder: Path = tmp_path_factory.mktemp("system")
    with own_stack(folder) as stack:
        async with running_system(stack) as running:
            yield running
