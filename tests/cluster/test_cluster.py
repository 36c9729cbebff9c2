"""The chart on a real cluster, step by step: taken, installed, used, upgraded, drained, and with a node killed.

The steps build on each other, so the first one that fails ends them all (`make cluster-test` says `-x`).
"""

import asyncio
import json
import subprocess
from collections.abc import Awaitable, Callable
from time import monotonic

import asyncpg
import pytest
import yaml

from deploy.local.process import wait_until
from tests.cluster.cluster import Cluster, Pod
from tests.cluster.conftest import Release
from tests.cluster.replies import Figures, replying
from tests.deploy.rendering import CASES, rendered_text
from tests.deploy.validating import CUSTOM
from tests.flow.purchase import buy
from tests.integration.system import RealSystem

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]
PROCESSES = {"aggregation", "rfp", "distribution", "bidding", "notification", "portal", "opener"}
FAULT_S = 60
"""So much later is the deadline of a purchase that runs beside a fault."""


def dry_run(cluster: Cluster, text: str) -> subprocess.CompletedProcess[str]:
    words = ("apply", "--server-side", "--dry-run=server", "--field-manager=linepool-test", "-f", "-")
    return cluster.kubectl(*words, given=text, check=False)


def test_the_cluster_knows_every_kind_that_the_chart_renders(cluster: Cluster) -> None:
    missing = []
    for group, kinds in CUSTOM.items():
        known = cluster.kubectl("api-resources", f"--api-group={group}", "-o", "name").stdout.split()
        missing += [
            f"{kind.lower()}s.{group}" for kind in sorted(kinds) if f"{kind.lower()}s.{group}" not in known
        ]
    assert missing == [], "apply these CustomResourceDefinitions first; no operator needs to run"


@pytest.mark.parametrize("case", CASES)
def test_the_server_takes_every_object_without_a_warning(cluster: Cluster, case: str) -> None:
    text = rendered_text(CASES[case], namespace=cluster.namespace)
    done = dry_run(cluster, text)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == len([one for one in yaml.safe_load_all(text) if one])


def test_the_server_refuses_what_the_chart_must_never_render(cluster: Cluster) -> None:
    text = rendered_text(CASES["needed"], namespace=cluster.namespace)
    wrong = dry_run(cluster, text.replace("unhealthyPodEvictionPolicy", "unhealthyPodEvictionPolice"))
    assert wrong.returncode != 0
    warned = dry_run(cluster, text.replace("runAsNonRoot: true", "runAsNonRoot: false"))
    assert "would violate PodSecurity" in warned.stderr
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "any"},
        "spec": {"containers": [{"name": "any", "image": "any:1", "securityContext": {"privileged": True}}]},
    }
    refused = dry_run(cluster, yaml.safe_dump(pod))
    assert "violates PodSecurity" in refused.stderr


def test_installed_every_process_is_ready_and_none_had_to_begin_twice(release: Release) -> None:
    cluster = release.cluster
    assert {name for name, (are, want) in cluster.available().items() if are == want} == PROCESSES
    assert [pod for pod in cluster.pods() if not pod.ready or pod.restarts] == []
    done = {
        event["involvedObject"]["name"]
        for event in cluster.all_of("events", "--field-selector", "involvedObject.kind=Job,reason=Completed")
    }
    assert done == {"linepool-access", "linepool-roles", "linepool-migrate"}


@pytest.mark.parametrize(("path", "answer"), [("livez", "ok"), ("readyz", "ready")])
def test_every_pod_answers_those_who_ask_for_its_health(release: Release, path: str, answer: str) -> None:
    cluster = release.cluster
    for pod in cluster.pods():
        at = f"/api/v1/namespaces/{cluster.namespace}/pods/{pod.name}:8080/proxy/{path}"
        assert cluster.kubectl("get", "--raw", at).stdout.strip() == answer


def test_people_reach_the_portal_through_its_service(release: Release) -> None:
    assert json.loads(portal(release.cluster))["info"]["title"]


def portal(cluster: Cluster) -> str:
    at = f"/api/v1/namespaces/{cluster.namespace}/services/linepool-portal:http/proxy/v1/openapi.json"
    return cluster.kubectl("get", "--raw", at).stdout


async def test_a_whole_purchase_goes_through(system: RealSystem, release: Release) -> None:
    purchase = system.purchase()
    await buy(system, purchase, seconds=system.soon())
    await system.rest()
    await system.complete(purchase)
    await asyncio.to_thread(release.keep_logs)
    await system.check()


async def under_load(
    system: RealSystem, release: Release, what: str, happens: Callable[[], Awaitable[object]]
) -> Figures:
    """Let replies flow and a purchase run its whole way while something happens; see that nothing is lost or doubled."""
    purchase = system.purchase()
    async with replying(system) as replies:
        await replies.some_receipted(20)
        begun = monotonic()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(buy(system, purchase, seconds=system.soon(faults=FAULT_S)))
            await happens()
            took = monotonic() - begun
        await replies.some_receipted(20)
    figures = replies.figures()
    print(f"{what} took {took:.0f} s: {figures}")
    await system.rest()
    await system.complete(purchase)
    await asyncio.to_thread(release.keep_logs)
    await system.check()
    return figures


async def nothing() -> None:
    return


async def test_when_nothing_happens_receipts_follow_each_other(system: RealSystem, release: Release) -> None:
    figures = await under_load(system, release, "Nothing", nothing)
    assert figures.longest_wait < 10


async def test_an_upgrade_replaces_every_pod_and_every_reply_is_receipted_once(
    system: RealSystem, release: Release
) -> None:
    cluster = release.cluster
    before = names_of(cluster.pods())
    await under_load(
        system,
        release,
        "The upgrade",
        lambda: asyncio.to_thread(release.upgrade, LINEPOOL_BATCH_RECORDS=499),
    )
    after = cluster.pods()
    assert not before & names_of(after)
    assert {pod.component for pod in after} == PROCESSES
    assert [pod for pod in after if pod.restarts] == []


async def test_a_drained_node_is_left_one_pod_of_a_process_at_a_time(
    system: RealSystem, release: Release
) -> None:
    cluster = release.cluster
    node, *others = cluster.nodes()
    assert others, "the cluster has one node only; pods have nowhere to go"
    held_back = ""
    fewest: dict[str, int] = {}

    def all_to_one_node_and_away_again() -> str:
        for one in others:
            cluster.drain(one)
        cluster.wait_available()
        assert {pod.node for pod in cluster.pods()} == {node}
        for one in others:
            cluster.kubectl("uncordon", one)
        return cluster.drain(node)

    async def drained() -> None:
        nonlocal held_back
        moving = asyncio.create_task(asyncio.to_thread(all_to_one_node_and_away_again))
        while not moving.done():
            for name, (available, wanted) in (await asyncio.to_thread(cluster.available)).items():
                if wanted > 1:
                    fewest[name] = min(fewest.get(name, wanted), available)
            await asyncio.wait([moving], timeout=0.5)
        held_back = await moving
        await asyncio.to_thread(cluster.wait_available)
        assert node not in {pod.node for pod in cluster.pods()}

    try:
        await under_load(system, release, "Draining every node once", drained)
    finally:
        for one in (node, *others):
            cluster.kubectl("uncordon", one)
    assert "violate the pod's disruption budget" in held_back
    assert {name for name, available in fewest.items() if available < 1} == set()


async def test_when_a_node_dies_the_others_take_over_and_every_reply_is_receipted_once(
    system: RealSystem, release: Release
) -> None:
    cluster = release.cluster
    # After the nodes were drained all pods may be on one of them.
    await asyncio.to_thread(cluster.kubectl, "rollout", "restart", "deployment")
    await asyncio.to_thread(cluster.wait_available)
    node = await the_node_that_sends_receipts(system, cluster.pods())
    lost = [pod for pod in cluster.pods() if pod.node == node]

    def killed() -> None:
        cluster.kill(node)
        wait_until(
            lambda: not names_of(lost) & names_of(cluster.pods()),
            system.patience,
            lambda: f"pods of {node} were not given up within {system.patience:.0f} s",
        )
        cluster.wait_available()

    await under_load(
        system, release, f"The death of a node with {len(lost)} pods", lambda: asyncio.to_thread(killed)
    )


def names_of(pods: list[Pod]) -> set[str]:
    return {pod.name for pod in pods}


async def the_node_that_sends_receipts(system: RealSystem, pods: list[Pod]) -> str:
    """Return where bidding's relay works: what it holds at the database is what others wait for."""
    connection = await asyncpg.connect(system.stack.admin_dsn)
    try:
        address = await connection.fetchval(
            "SELECT host(client_addr) FROM pg_locks JOIN pg_stat_activity USING (pid) "
            "WHERE locktype = 'advisory' AND granted AND application_name = 'linepool-bidding' "
            "AND datname = current_database()"
        )
    finally:
        await connection.close()
    # Where the cluster hides its pods' addresses, any pod of bidding is as good.
    at_work = [pod for pod in pods if pod.address == address]
    return (at_work or [pod for pod in pods if pod.component == "bidding"])[0].node
