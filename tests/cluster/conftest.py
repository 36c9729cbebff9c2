"""One namespace, one release and the people around it, for all tests; what is missing of the environment fails them."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local.stack import Stack
from tests.cluster.cluster import Cluster
from tests.cluster.installing import foreign_stack, secrets_of, values_of
from tests.integration.system import RealSystem, let_in, people_around

PATIENCE_S = 300.0
"""A dead node is noticed after 50 s, its pods begin elsewhere 30 s later, and then they read."""


def given(variable: str, what: str) -> str:
    value = os.environ.get(variable)
    assert value, f"{variable} must name {what}; docs/testing.md says what these tests need"
    return value


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A namespace of its own, in which nothing may run that Pod Security's level `restricted` refuses."""
    made = Cluster(f"linepool-{secrets.token_hex(3)}")
    levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    metadata = {"name": made.namespace, "labels": levels}
    made.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}])
    try:
        yield made
    finally:
        made.kubectl("delete", "namespace", made.namespace, "--wait=false")


@pytest.fixture(scope="session")
async def stack(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """The Kafka and the Postgres that pods reach, and a mail server of this machine."""
    address = given("LINEPOOL_CLUSTER_ADDRESS", "an address of this machine that pods reach")
    folder = tmp_path_factory.mktemp("stack")
    async with foreign_stack(os.environ, folder, cluster.namespace, address) as found:
        yield found


@dataclass(frozen=True)
class Release:
    """The chart, installed. `values` are those that it was installed with."""

    cluster: Cluster
    values: dict[str, object]
    logs: Path

    def upgrade(self, **environment: int) -> None:
        """Change variables of all processes, which replaces every pod."""
        known = self.values["environment"]
        assert isinstance(known, dict)
        self.cluster.helm("upgrade", values={**self.values, "environment": known | environment})

    def keep_logs(self) -> None:
        """Keep what the pods have logged so far."""
        self.cluster.keep_logs(self.logs)


@pytest.fixture(scope="session")
def release(cluster: Cluster, stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    image = given("LINEPOOL_CLUSTER_IMAGE", "the image, NAME:TAG, as the cluster's nodes have or pull it")
    cluster.apply(secrets_of(stack))
    installed = Release(cluster, values_of(stack, image), tmp_path_factory.mktemp("logs"))
    try:
        cluster.helm("install", values=installed.values)
        yield installed
    finally:
        # What is wrong with a pod that is not ready, it says itself.
        print(cluster.kubectl("get", "pods,jobs", "-o", "wide", check=False).stdout)
        for pod in [one for one in cluster.pods() if not one.ready]:
            print(cluster.kubectl("describe", "pod", pod.name, check=False).stdout[-3000:])
            print(cluster.kubectl("logs", pod.name, "--tail=20", seconds=30, check=False).stdout)


@pytest.fixture(scope="session")
async def system(stack: Stack, release: Release) -> AsyncIterator[RealSystem]:
    """The people and the providers around the release; see `tests.integration.system`."""
    providers = await let_in(stack)
    async with people_around(stack, providers, logs=release.logs, patience=PATIENCE_S) as running:
        yield running
        await asyncio.to_thread(release.keep_logs)
