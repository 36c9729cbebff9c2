"""One real stack for the whole session; a stack that cannot be had fails every test that needs it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.stack import Stack, start_stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder: Path = tmp_path_factory.mktemp("stack")
    with start_stack(folder) as running:
        yield running
