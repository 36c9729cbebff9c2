import os
from collections.abc import Iterator

import docker
import pytest

from deploy.local.containers import require_engine
from deploy.local.handles import KafkaHandle, PostgresHandle
from deploy.local.stack import Stack, start_stack


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    require_engine()
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="session")
def image() -> str:
    name = os.environ.get("LINEPOOL_IMAGE")
    assert name, "LINEPOOL_IMAGE must name the Linepool image; `.ci/containers` builds it and sets this"
    return name


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with start_stack(
        tmp_path_factory.mktemp("stack"), os.environ | {"LINEPOOL_STACK": "containers"}
    ) as started:
        yield started


@pytest.fixture
def kafka(stack: Stack) -> KafkaHandle:
    return stack.kafka


@pytest.fixture
def postgres(stack: Stack) -> PostgresHandle:
    return stack.postgres
