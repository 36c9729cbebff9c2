"""The cluster of KUBECONFIG, by kubectl and helm, seen from a namespace of its own."""

import json
import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from deploy.local.process import wait_until
from tests.deploy.rendering import CHART, Object, component, helm

RELEASE = "linepool"
OURS = "app.kubernetes.io/name=linepool"
ROLLOUT_S = 600


@dataclass(frozen=True)
class Pod:
    """A pod of the release that is not on its way out. `address` is its own."""

    name: str
    component: str
    node: str
    address: str
    ready: bool
    restarts: int


@dataclass(frozen=True)
class Cluster:
    """What a test does to a cluster, and sees of it."""

    namespace: str

    def kubectl(
        self, *words: str, given: str | None = None, seconds: float = 120, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl in the namespace; unless told otherwise, AssertionError shows what it said when it fails."""
        program = os.environ.get("LINEPOOL_KUBECTL", "kubectl")
        return _run([program, "--namespace", self.namespace, *words], given, seconds, check=check)

    def helm(self, *words: str, values: Mapping[str, Any]) -> None:
        """Run helm with these values, and wait until it is done: `install` or `upgrade`, and what belongs to it."""
        waiting = ("--wait", "--timeout", f"{ROLLOUT_S}s")
        place = ("--namespace", self.namespace, "--values", "-")
        _run(
            [helm(), *words, RELEASE, str(CHART), *place, *waiting],
            yaml.safe_dump(dict(values)),
            ROLLOUT_S + 60,
        )

    def apply(self, objects: Sequence[Object]) -> None:
        """Make or change objects."""
        self.kubectl("apply", "--server-side", "-f", "-", given=yaml.safe_dump_all(objects))

    def all_of(self, kind: str, *words: str) -> list[Object]:
        """Return the objects of a kind."""
        found: list[Object] = json.loads(self.kubectl("get", kind, "-o", "json", *words).stdout)["items"]
        return found

    def pods(self) -> list[Pod]:
        """Return the release's pods, those of its Jobs and those that are ending left out."""
        return [
            Pod(
                one["metadata"]["name"],
                component(one),
                one["spec"].get("nodeName", ""),
                one["status"].get("podIP", ""),
                any(
                    condition["type"] == "Ready" and condition["status"] == "True"
                    for condition in one["status"].get("conditions", [])
                ),
                sum(status["restartCount"] for status in one["status"].get("containerStatuses", [])),
            )
            for one in self.all_of("pods", "-l", OURS)
            if "deletionTimestamp" not in one["metadata"] and _is_of_a_deployment(one)
        ]

    def available(self) -> dict[str, tuple[int, int]]:
        """Return for each process how many of its pods are available, and how many are wanted."""
        return {
            component(one): (one["status"].get("availableReplicas", 0), one["spec"]["replicas"])
            for one in self.all_of("deployments", "-l", OURS)
        }

    def wait_available(self, seconds: float = ROLLOUT_S) -> None:
        """Wait until all pods that are wanted are available, and none is too many."""
        seen: dict[str, tuple[int, int]] = {}

        def all_are() -> bool:
            seen.update(self.available())
            wanted = sum(number for _, number in seen.values())
            return all(are == want for are, want in seen.values()) and len(self.pods()) == wanted

        wait_until(all_are, seconds, lambda: f"not available within {seconds:.0f} s: {seen}")

    def nodes(self) -> list[str]:
        """Return the nodes that are ready and take pods."""
        return [
            one["metadata"]["name"]
            for one in self.all_of("nodes")
            if not one["spec"].get("unschedulable") and not _repels(one) and is_ready(one)
        ]

    def drain(self, node: str) -> str:
        """Let no more pods come to a node, and move those of the release away; return what kubectl said."""
        limits = ("--pod-selector", OURS, "--delete-emptydir-data", "--timeout", f"{ROLLOUT_S}s")
        done = self.kubectl("drain", node, "--ignore-daemonsets", *limits, seconds=ROLLOUT_S + 60)
        return done.stdout + done.stderr

    def kill(self, node: str) -> None:
        """Kill a node, and wait until the cluster has noticed. Only who has set the cluster up knows how it is killed."""
        command = os.environ.get("LINEPOOL_CLUSTER_KILL_NODE", "")
        assert "{node}" in command, (
            "LINEPOOL_CLUSTER_KILL_NODE must be the command that kills a node of this cluster, with {node} for its name"
        )
        _run([word.replace("{node}", node) for word in shlex.split(command)], None, 120)
        wait_until(
            lambda: not any(is_ready(one) for one in self.all_of("nodes") if one["metadata"]["name"] == node),
            180,
            lambda: f"the cluster did not notice within 180 s that {node} is gone",
        )

    def keep_logs(self, folder: Path) -> None:
        """Write what the pods that are ready have logged so far, a file for each."""
        for pod in self.pods():
            if pod.ready:
                said = self.kubectl("logs", pod.name, seconds=30, check=False)
                (folder / f"{pod.name}.log").write_text(said.stdout)


def is_ready(node: Object) -> bool:
    """Say whether a node is ready."""
    conditions = {one["type"]: one["status"] for one in node["status"]["conditions"]}
    return conditions.get("Ready") == "True"


def _repels(node: Object) -> bool:
    return any(taint["effect"] != "PreferNoSchedule" for taint in node["spec"].get("taints", []))


def _is_of_a_deployment(pod: Object) -> bool:
    return any(owner["kind"] == "ReplicaSet" for owner in pod["metadata"].get("ownerReferences", []))


def _run(
    command: Sequence[str], given: str | None, seconds: float, *, check: bool = True
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        list(command), input=given, capture_output=True, text=True, timeout=seconds, check=False
    )
    # What was given may hold passwords, and is not shown.
    assert done.returncode == 0 or not check, f"{shlex.join(command)}:\n{done.stdout}{done.stderr}"
    return done
