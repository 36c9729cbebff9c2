"""What the chart renders, as processes on this machine: each is told what its pod would be told, and nothing else.

A pod's Secrets, its address and the file of Kafka's authority are put in where Kubernetes would put them.
"""

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from deploy.local.services import PROCESSES, Services
from deploy.local.stack import Stack
from shared.sealing import INITIAL_PASSWORDS, private_key, public_key_b64
from tests.deploy.rendering import Object, component, of_kind
from tests.integration.strimzi import Secrets

ROOT = Path(__file__).parents[2]
MOUNTED_CA = "/etc/linepool/kafka/ca.crt"


class Pods(Services):
    """The chart's Deployments, watched and started again as the services of a stack are."""

    def __init__(
        self, stack: Stack, objects: Iterable[Object], secrets: Secrets, environment: Mapping[str, str]
    ) -> None:
        super().__init__(stack, session_timeout_ms=6000, environment=environment)
        self._ca_file = stack.ca_file
        self._secrets = secrets
        self._containers: dict[str, Any] = {}
        for one in of_kind(list(objects), "Deployment"):
            [self._containers[component(one)]] = one["spec"]["template"]["spec"]["containers"]
        assert self._containers.keys() == set(PROCESSES)

    def environment_of(self, name: str) -> dict[str, str]:
        told = environment_of(self._containers[name], self._secrets)
        here = {"LINEPOOL_HTTP_HOST": "127.0.0.1", "LINEPOOL_HTTP_PORT": str(self.port(name))}
        if "LINEPOOL_KAFKA_CA_FILE" in told:
            assert told["LINEPOOL_KAFKA_CA_FILE"] == MOUNTED_CA
            here["LINEPOOL_KAFKA_CA_FILE"] = str(self._ca_file)
        return told | here


def environment_of(container: Object, secrets: Secrets) -> dict[str, str]:
    """Return what a container is told."""
    found = {}
    for entry in container["env"]:
        if "value" in entry:
            found[entry["name"]] = entry["value"]
        else:
            reference = entry["valueFrom"]["secretKeyRef"]
            found[entry["name"]] = secrets[reference["name"], reference["key"]]
    return found


def migrate(objects: Iterable[Object], secrets: Secrets) -> None:
    """Run the Job that brings the schemas up to date, all its containers beside each other, as a pod does."""
    [job] = [one for one in of_kind(list(objects), "Job") if component(one) == "migrate"]
    outside = {name: value for name, value in os.environ.items() if not name.startswith("LINEPOOL_")}
    running = {
        container["name"]: subprocess.Popen(
            [sys.executable, "-m", *container["args"]],
            env=outside | environment_of(container, secrets),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for container in job["spec"]["template"]["spec"]["containers"]
    }
    said = {name: one.communicate(timeout=120)[0] for name, one in running.items()}
    assert {name: one.returncode for name, one in running.items()} == dict.fromkeys(PROCESSES, 0), said


def values_for(stack: Stack, prefix: str) -> dict[str, Any]:
    """Return what an installer sets for the servers of a stack; how Kafka's users are made is not among it."""
    secret = bytes.fromhex(stack.secrets["notification"])
    return {
        "kafka": {"bootstrapServers": stack.services_bootstrap, "ca": {"existingSecret": "kafka-ca"}},
        "topicPrefix": prefix,
        "notificationPublicKey": public_key_b64(private_key(secret, INITIAL_PASSWORDS)),
        "smtp": {
            "host": stack.smtp_host,
            "port": stack.smtp_port,
            "security": "none",
            "from": "linepool@linepool.invalid",
        },
        "portal": {"url": "https://linepool.example.org"},
    }


def secrets_for(stack: Stack) -> Secrets:
    """Return what the installer puts into the Secrets of docs/operations.md, the passwords at Kafka left out."""
    found = {}
    for name in PROCESSES:
        found[f"linepool-{name}", "postgres-dsn"] = stack.dsn(name)
        found[f"linepool-{name}", "secret"] = stack.secrets[name]
    return found
