"""Each policy holds in every case, and is seen to fail where it is broken."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.deploy import policies
from tests.deploy.policies import POLICIES, Policy
from tests.deploy.rendering import CASES, EVERYTHING_OWN, OPERATORS, Object, named, of_kind, rendered

Breaking = Callable[[list[Object]], Any]


def spec(objects: list[Object], name: str = "shop-rfp") -> Any:
    return named(objects, "Deployment", name)["spec"]


def pod(objects: list[Object], name: str = "shop-rfp") -> Any:
    return spec(objects, name)["template"]["spec"]


def container(objects: list[Object], name: str = "shop-rfp") -> Any:
    return pod(objects, name)["containers"][0]


def put(place: Any, key: Any, value: object) -> None:
    place[key] = value


def network(objects: list[Object], name: str) -> Any:
    return named(objects, "NetworkPolicy", f"shop-{name}")["spec"]


def job(objects: list[Object], name: str) -> Any:
    return named(objects, "Job", f"shop-{name}")


def plain_password(objects: list[Object]) -> None:
    container(objects)["env"].append({"name": "LINEPOOL_KAFKA_PASSWORD", "value": "hush"})


def someone_elses_secret(objects: list[Object]) -> None:
    ref = {"name": "linepool-opener", "key": "secret"}
    container(objects)["env"].append({"name": "LINEPOOL_SECRET", "valueFrom": {"secretKeyRef": ref}})


def scaled(objects: list[Object]) -> Any:
    return named(objects, "ScaledObject", "shop-rfp")["spec"]


PLANTED: dict[Policy, Breaking] = {
    policies.pods_run_as_a_numbered_user_without_rights: lambda o: put(
        pod(o)["securityContext"], "runAsUser", 0
    ),
    policies.the_root_filesystem_is_read_only: lambda o: container(o)["securityContext"].pop(
        "readOnlyRootFilesystem"
    ),
    policies.all_capabilities_are_dropped: lambda o: put(
        container(o)["securityContext"]["capabilities"], "add", ["NET_ADMIN"]
    ),
    policies.nobody_gains_privileges: lambda o: put(container(o)["securityContext"], "privileged", True),
    policies.system_calls_are_filtered: lambda o: pod(o)["securityContext"].pop("seccompProfile"),
    policies.no_pod_has_a_token_for_the_api_server: lambda o: pod(o).pop("automountServiceAccountToken"),
    policies.nothing_of_the_node_is_shared: lambda o: pod(o)["volumes"].append(
        {"name": "etc", "hostPath": {"path": "/etc"}}
    ),
    policies.memory_is_reserved_and_bounded_and_the_processor_is_not_throttled: lambda o: put(
        container(o)["resources"]["limits"], "cpu", "1"
    ),
    policies.what_a_pod_may_write_is_bounded: lambda o: pod(o)["volumes"][0]["emptyDir"].clear(),
    policies.images_are_of_one_version: lambda o: put(container(o), "image", "linepool:latest"),
    policies.secrets_are_only_named: plain_password,
    policies.a_process_reads_its_own_secrets_alone: someone_elses_secret,
    policies.the_opener_knows_nothing_of_kafka: lambda o: container(o, "shop-opener")["env"].append(
        {"name": "LINEPOOL_KAFKA_BOOTSTRAP_SERVERS", "value": "any"}
    ),
    policies.every_pod_is_denied_what_is_not_allowed: lambda o: o.remove(
        named(o, "NetworkPolicy", "shop-deny")
    ),
    policies.pods_may_speak_to_exactly_whom_they_need: lambda o: network(o, "kafka")["podSelector"][
        "matchExpressions"
    ][0]["values"].append("opener"),
    policies.every_edge_has_ports: lambda o: network(o, "kafka")["egress"][0].pop("ports"),
    policies.pods_are_reached_by_monitoring_and_the_portal_by_its_callers: lambda o: network(o, "metrics")[
        "ingress"
    ][0].pop("from"),
    policies.liveness_asks_the_process_alone_and_readiness_its_servers_too: lambda o: put(
        container(o)["livenessProbe"]["httpGet"], "path", "/readyz"
    ),
    policies.a_start_may_take_as_long_as_its_streams_need: lambda o: put(
        container(o)["startupProbe"], "failureThreshold", 3
    ),
    policies.a_pod_has_the_time_to_end_in_order: lambda o: put(
        pod(o, "shop-portal"), "terminationGracePeriodSeconds", 60
    ),
    policies.the_portal_serves_until_nobody_is_sent_to_it: lambda o: container(o, "shop-portal").pop(
        "lifecycle"
    ),
    policies.one_pod_at_a_time_is_taken_away: lambda o: o.remove(named(o, "PodDisruptionBudget", "shop-rfp")),
    policies.a_new_pod_is_ready_before_an_old_one_goes: lambda o: put(
        spec(o)["strategy"]["rollingUpdate"], "maxUnavailable", 1
    ),
    policies.pods_are_spread_over_nodes_and_zones: lambda o: pod(o)["topologySpreadConstraints"].pop(),
    policies.the_pods_of_a_dead_node_begin_elsewhere_when_the_operator_says: lambda o: pod(o)[
        "tolerations"
    ].pop(),
    policies.every_deployment_selects_its_own_pods_alone: lambda o: spec(o)["selector"]["matchLabels"].pop(
        "app.kubernetes.io/component"
    ),
    policies.every_process_has_a_deployment: lambda o: o.remove(named(o, "Deployment", "shop-opener")),
    policies.jobs_end_by_themselves: lambda o: job(o, "migrate")["spec"].pop("activeDeadlineSeconds"),
    policies.jobs_come_before_an_upgrade_and_roles_before_migrations: lambda o: put(
        job(o, "roles")["metadata"]["annotations"], "helm.sh/hook-weight", "5"
    ),
    policies.an_ingress_has_tls_and_shows_neither_figures_nor_health: lambda o: put(
        of_kind(o, "Ingress")[0]["spec"]["rules"][0]["http"]["paths"][0], "path", "/"
    ),
    policies.services_are_inside_the_cluster: lambda o: put(
        of_kind(o, "Service")[0]["spec"], "type", "LoadBalancer"
    ),
    policies.at_least_two_read_and_never_more_than_there_are_partitions: lambda o: put(
        scaled(o), "minReplicaCount", 0
    ),
    policies.readers_are_taken_away_slowly: lambda o: put(
        scaled(o)["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"],
        "stabilizationWindowSeconds",
        0,
    ),
    policies.nothing_that_watches_names_a_topic_of_providers: lambda o: put(
        scaled(o)["triggers"][0]["metadata"], "topic", "shop.replies.k3v9q2m7x1ab"
    ),
    policies.what_was_said_outlives_the_release: lambda o: of_kind(o, "KafkaTopic")[0]["metadata"].pop(
        "annotations"
    ),
    policies.passwords_of_users_come_from_secrets: lambda o: of_kind(o, "KafkaUser")[0]["spec"][
        "authentication"
    ].pop("password"),
    policies.everything_is_labelled_in_one_namespace_and_named_once: lambda o: o.append(o[0]),
}
IN_OPERATORS = {policies.what_was_said_outlives_the_release, policies.passwords_of_users_come_from_secrets}


@pytest.mark.parametrize("case", CASES)
def test_every_policy_holds(case: str) -> None:
    objects = rendered(CASES[case])
    assert [fault for policy in POLICIES for fault in policy(objects)] == []


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.__name__)
def test_a_planted_violation_is_seen(policy: Policy) -> None:
    objects = rendered(OPERATORS if policy in IN_OPERATORS else EVERYTHING_OWN)
    assert list(policy(objects)) == []
    PLANTED[policy](objects)
    assert list(policy(objects)) != []
