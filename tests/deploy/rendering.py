"""The chart, rendered by the real helm."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "chart"
RELEASE, NAMESPACE = "shop", "linepool"
Object = dict[str, Any]

NEEDED: dict[str, Any] = {
    "kafka": {"bootstrapServers": "kafka.example.org:9093"},
    "smtp": {"host": "mail.example.org", "from": "linepool@example.org"},
    "notificationPublicKey": "A" * 43 + "=",
    "portal": {"url": "https://linepool.example.org"},
}
EVERYTHING_OWN: dict[str, Any] = {
    **NEEDED,
    "kafka": {
        "bootstrapServers": "kafka-0.example.org:9093,kafka-1.example.org:9094",
        "ca": {"existingSecret": "kafka-ca"},
        "access": {"enabled": True},
    },
    "smtp": {**NEEDED["smtp"], "login": True},
    "postgres": {"roles": {"enabled": True}},
    "topicPrefix": "shop.",
    "image": {"digest": "sha256:" + "0" * 64, "pullSecrets": ["registry"]},
    "userNamespaces": True,
    "environment": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"},
    "networkPolicy": {
        "collector": {"port": 4318},
        "kafka": [{"ipBlock": {"cidr": "10.1.0.0/16"}}],
        "postgres": [{"ipBlock": {"cidr": "10.2.0.0/16"}}],
    },
    "portal": {
        "ingress": {
            "enabled": True,
            "className": "nginx",
            "host": "linepool.example.org",
            "tlsSecret": "linepool-tls",
        }
    },
    "autoscaling": {"enabled": True},
    "monitoring": {name: {"enabled": True} for name in ("podMonitor", "rules", "dashboard")},
}
OPERATORS: dict[str, Any] = {
    **EVERYTHING_OWN,
    "kafka": {
        "bootstrapServers": "events-kafka-bootstrap:9093",
        "ca": {"existingSecret": "events-cluster-ca-cert"},
        "strimzi": {"enabled": True, "cluster": "events", "providers": ["k3v9q2m7x1ab"]},
    },
    "postgres": {"cloudNativePG": {"enabled": True, "storageClass": "fast"}},
    "networkPolicy": {},
}
CASES = {"needed": NEEDED, "everything own": EVERYTHING_OWN, "operators": OPERATORS}


class RefusedError(Exception):
    """Helm does not render these values; the text is what it said."""


def helm() -> str:
    """Return the program that `make chart-test` builds. A missing one fails; nothing is skipped."""
    program = os.environ.get("LINEPOOL_HELM", str(ROOT / "build" / "bin" / "helm"))
    assert Path(program).is_file(), f"{program} is missing: make build/bin/helm"
    return program


def rendered_text(
    values: Mapping[str, Any],
    kubernetes: str = "1.33.0",
    release: str = RELEASE,
    namespace: str = NAMESPACE,
) -> str:
    done = subprocess.run(
        [
            *(helm(), "template", release, str(CHART), "--values", "-"),
            *("--namespace", namespace, "--kube-version", kubernetes),
        ],
        input=yaml.safe_dump(dict(values), allow_unicode=True),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        raise RefusedError(done.stderr)
    return done.stdout


def rendered(values: Mapping[str, Any], kubernetes: str = "1.33.0", release: str = RELEASE) -> list[Object]:
    return [one for one in yaml.safe_load_all(rendered_text(values, kubernetes, release)) if one]


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    return [one for one in objects if one["kind"] in kinds]


def named(objects: list[Object], kind: str, name: str) -> Object:
    [found] = [one for one in of_kind(objects, kind) if one["metadata"]["name"] == name]
    return found


def called(one: Object) -> str:
    return f"{one['kind']} {one['metadata']['name']}"


def pods(objects: list[Object]) -> list[tuple[str, Object]]:
    """Return each pod template with what it is called."""
    return [(called(one), one["spec"]["template"]) for one in of_kind(objects, "Deployment", "Job")]


def component(one: Object) -> str:
    return str(one["metadata"]["labels"]["app.kubernetes.io/component"])


def containers(objects: list[Object]) -> list[tuple[str, Object]]:
    return [
        (f"{name}/{container['name']}", container)
        for name, pod in pods(objects)
        for container in pod["spec"]["containers"] + pod["spec"].get("initContainers", [])
    ]
