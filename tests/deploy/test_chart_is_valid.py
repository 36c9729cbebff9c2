"""What the chart renders is what Kubernetes and the operators of Kafka, Postgres, KEDA and Prometheus take."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.deploy.policies import POLICIES
from tests.deploy.rendering import (
    CASES,
    EVERYTHING_OWN,
    NEEDED,
    OPERATORS,
    ROOT,
    Object,
    RefusedError,
    named,
    of_kind,
    rendered,
    rendered_text,
)
from tests.deploy.validating import CUSTOM, VERSIONS, faults

booleans = st.booleans()
words = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=20)
PROCESSES = ("aggregation", "rfp", "distribution", "bidding", "notification", "portal", "opener")


def all_faults(objects: list[Object]) -> list[str]:
    return [fault for one in objects for fault in faults(one)]


@st.composite
def values(draw: st.DrawFn) -> dict[str, Any]:
    """Draw what an operator may set, the ways of having Kafka and Postgres in every combination."""
    strimzi = draw(booleans)
    providers = draw(st.lists(st.from_regex(r"[a-z0-9]{12}", fullmatch=True), max_size=4, unique=True))
    peers = st.sampled_from([[], [{"ipBlock": {"cidr": "10.0.0.0/8"}}], [{"podSelector": {}}]])
    servers = st.lists(st.integers(1, 65535), min_size=1, max_size=3)
    return {
        "image": draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "tag": st.sampled_from(["", "0.1.0", "v2_rc.1"]),
                    "digest": st.sampled_from(["", "sha256:" + "a" * 64]),
                    "pullPolicy": st.sampled_from(["IfNotPresent", "Always", "Never"]),
                    "pullSecrets": st.sampled_from([[], ["one"], ["one", "two"]]),
                },
            )
        ),
        "secretPrefix": draw(st.sampled_from(["", "linepool-", "a.b-"])),
        "topicPrefix": draw(st.sampled_from(["", "a.", "shop-2."])),
        "kafka": {
            "bootstrapServers": ",".join(f"kafka-{at}:{port}" for at, port in enumerate(draw(servers))),
            "ca": {"existingSecret": draw(st.sampled_from(["", "ca"])), "key": "ca.crt"},
            "access": {"enabled": draw(booleans), "replicas": draw(st.integers(0, 7))},
            "strimzi": {
                "enabled": strimzi,
                "cluster": "events" if strimzi else "",
                "replicas": draw(st.integers(1, 7)),
                "providers": providers[:2],
                "cutOff": providers[2:],
            },
        },
        "postgres": {
            "port": draw(st.integers(1, 65535)),
            "roles": {"enabled": draw(booleans)},
            "cloudNativePG": {"enabled": draw(booleans), "instances": draw(st.integers(1, 9))},
        },
        "migrations": {"enabled": draw(booleans)},
        "notificationPublicKey": NEEDED["notificationPublicKey"],
        "smtp": {**NEEDED["smtp"], "login": draw(booleans), "port": draw(st.integers(1, 65535))},
        "sessionTimeoutMs": draw(st.integers(6000, 60000)),
        "startupSeconds": draw(st.integers(60, 86400)),
        "deadNodeSeconds": draw(st.integers(0, 3600)),
        "processes": {
            name: {
                "replicas": draw(st.integers(1, 20)),
                "memory": draw(st.sampled_from(["128Mi", "1Gi"])),
                "environment": draw(
                    st.dictionaries(
                        st.sampled_from(["LINEPOOL_SEAL", "LINEPOOL_INBOX_DAYS", "OTEL_SERVICE_NAME"]),
                        st.one_of(st.integers(0, 10**9), booleans, words),
                        max_size=2,
                    )
                ),
            }
            for name in PROCESSES
        },
        "environment": draw(
            st.dictionaries(
                st.sampled_from(["LINEPOOL_SEAL", "LINEPOOL_PARK_RETRIES"]), st.integers(), max_size=2
            )
        ),
        "userNamespaces": draw(booleans),
        "portal": {
            "url": draw(st.sampled_from(["https://a.example.org", "http://[::1]:8080/linepool"])),
            "port": draw(st.integers(1, 65535)),
            "ingress": {
                "enabled": draw(booleans),
                "host": "a.example.org",
                "tlsSecret": "tls",
                "annotations": draw(st.dictionaries(st.just("example.org/any"), words)),
                "paths": draw(st.sampled_from([["/v1"], ["/v1", "/docs"]])),
            },
        },
        "autoscaling": {
            "enabled": draw(booleans),
            "max": draw(st.integers(2, 3)),
            "lagThreshold": draw(st.integers(1, 10**6)),
        },
        "networkPolicy": {
            "enabled": True,
            "kafka": draw(peers),
            "postgres": draw(peers),
            "smtp": draw(peers),
            "collector": {"port": draw(st.integers(0, 65535)), "to": draw(peers)},
        },
        "monitoring": {
            name: {
                "enabled": draw(booleans),
                "labels": draw(st.sampled_from([{}, {"release": "prometheus"}])),
            }
            for name in ("podMonitor", "rules", "dashboard")
        },
    }


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid_in_each_version_of_kubernetes(case: str, version: str) -> None:
    objects = rendered(CASES[case], f"{version}.0")
    assert all_faults(objects) == []


@given(values())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_an_operator_sets_is_valid_and_keeps_every_policy(given_values: dict[str, Any]) -> None:
    objects = rendered(given_values)
    assert all_faults(objects) == []
    assert [fault for policy in POLICIES for fault in policy(objects)] == []


def test_the_cases_render_every_kind_that_the_chart_has() -> None:
    kinds = {one["kind"] for case in CASES.values() for one in rendered(case)}
    assert set().union(*CUSTOM.values()) <= kinds
    assert {"Deployment", "Job", "Service", "Ingress", "NetworkPolicy", "PodDisruptionBudget"} <= kinds


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", ("spec", "replicaCount"), 2),
        ("Deployment", ("spec", "template", "spec", "containers", 0, "ports", 0, "containerPort"), "8080"),
        ("NetworkPolicy", ("spec", "egres"), []),
        ("KafkaUser", ("spec", "authorization", "acls", 0, "resource", "patternType"), "prefixed"),
        ("KafkaTopic", ("spec", "partitions"), "3"),
        ("ScaledObject", ("spec", "triggers", 0, "metadata", "lagThreshold"), 100),
        ("Cluster", ("spec", "instances"), "three"),
        ("PodMonitor", ("spec", "podMetricsEndpoints", 0, "pfad"), "/metrics"),
    ],
)
def test_a_planted_mistake_is_found(kind: str, path: tuple[Any, ...], value: object) -> None:
    [one, *_] = of_kind(rendered(OPERATORS), kind)
    place: Any = one
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert faults(one)


def test_a_kind_without_a_schema_is_a_fault() -> None:
    metadata = {"name": "any"}
    assert faults({"apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaBridge", "metadata": metadata})
    assert faults({"apiVersion": "apps/v1", "kind": "Deploymint", "metadata": metadata})


@pytest.mark.parametrize("case", CASES)
def test_the_same_values_render_the_same_bytes(case: str) -> None:
    assert rendered_text(CASES[case]) == rendered_text(CASES[case])


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"kafka": {"bootstrapServers": "kafka"}}, "bootstrapServers"),
        ({"kafka": {"bootstrapServers": ""}}, "bootstrapServers"),
        ({"kafkaa": {}}, "kafkaa"),
        ({"smtp": {"from": "nobody", "host": "mail"}}, "from"),
        ({"notificationPublicKey": "short"}, "notificationPublicKey"),
        ({"image": {"tag": "latest"}}, "tag"),
        ({"topicPrefix": "shop"}, "topicPrefix"),
        ({"sessionTimeoutMs": 1000}, "sessionTimeoutMs"),
        ({"autoscaling": {"min": 0}}, "min"),
        ({"autoscaling": {"max": 4}}, "max"),
        ({"environment": {"LINEPOOL_SMTP_PASSWORD": "hush"}}, "LINEPOOL_SMTP_PASSWORD"),
        ({"environment": {"LINEPOOL_POSTGRES_DSN": "postgresql://a:b@c/d"}}, "LINEPOOL_POSTGRES_DSN"),
        ({"environment": {"PATH": "/bin"}}, "PATH"),
        ({"portal": {"ingress": {"paths": ["/"]}}}, "paths"),
        ({"portal": {"ingress": {"paths": ["/metrics"]}}}, "paths"),
        ({"portal": {"ingress": {"enabled": True}}}, "ingress"),
        ({"portal": {"url": ""}}, "portal.url"),
        ({"portal": {"url": "linepool.example.org"}}, "url"),
        ({"kafka": {"strimzi": {"enabled": True, "cluster": "", "providers": []}}}, "cluster"),
        ({"kafka": {"strimzi": {"providers": ["K3"]}}}, "providers"),
        ({"kafka": {"strimzi": {"cutOff": ["K3"]}}}, "cutOff"),
        ({"kafka": {"access": {"replicas": -1}}}, "replicas"),
        ({"processes": {"rfp": {"replicas": 0}}}, "replicas"),
    ],
)
def test_what_cannot_work_is_refused_with_the_name_of_the_value(change: dict[str, Any], word: str) -> None:
    wrong = {
        **NEEDED,
        **{k: {**NEEDED.get(k, {}), **v} if isinstance(v, dict) else v for k, v in change.items()},
    }
    with pytest.raises(RefusedError, match=word):
        rendered(wrong)


def test_a_chart_for_an_old_kubernetes_is_refused() -> None:
    with pytest.raises(RefusedError, match=r"1\.33"):
        rendered(EVERYTHING_OWN, "1.32.0")


def test_variables_of_an_operator_reach_the_process_as_they_were_written() -> None:
    environment = {
        "LINEPOOL_INBOX_DAYS": 1_000_000,
        "LINEPOOL_SKEW_ALLOWANCE_S": 2.5,
        "LINEPOOL_SEAL": 'a "b" \U0001f512',
    }
    objects = rendered({**NEEDED, "environment": environment})
    [container] = named(objects, "Deployment", "shop-rfp")["spec"]["template"]["spec"]["containers"]
    found = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert {name: found[name] for name in environment} == {
        name: str(value) for name, value in environment.items()
    }


def test_a_release_may_be_called_like_a_number() -> None:
    objects = rendered(OPERATORS, release="1000")
    assert all_faults(objects) == []


def test_rules_and_dashboard_are_those_of_the_project() -> None:
    objects, source = rendered(EVERYTHING_OWN), ROOT / "deploy" / "observability"
    rules = named(objects, "PrometheusRule", "shop-rules")["spec"]
    assert rules == yaml.safe_load((source / "rules.yaml").read_text())
    dashboard = named(objects, "ConfigMap", "shop-dashboard")["data"]["linepool.json"]
    assert json.loads(dashboard) == json.loads((source / "dashboard.json").read_text())
