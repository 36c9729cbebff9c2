"""What must hold of everything that the chart renders. Each policy yields a sentence for each violation."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from tests.deploy.rendering import NAMESPACE, Object, called, component, containers, of_kind, pods

Policy = Callable[[list[Object]], Iterator[str]]
POLICIES: list[Policy] = []
SERVICES = {"aggregation", "rfp", "distribution", "bidding", "notification", "portal"}
PROCESSES = SERVICES | {"opener"}
# Written by hand: whom each pod may speak to beside DNS and a collector of traces.
EDGES = {name: {"kafka", "postgres"} for name in SERVICES} | {
    "notification": {"kafka", "postgres", "smtp"},
    "opener": {"postgres"},
    "access": {"kafka"},
    "roles": {"postgres"},
    "migrate": {"postgres"},
}
OF_PROVIDERS = re.compile(r"(?m)(^|[.\s\"'])(replies|invitations|notices)[.][a-z0-9*]")
HUSHED = re.compile("PASSWORD$|SECRET|DSN|USERNAME$")
LONGEST_STOP_S = 60
"""The server's 25 s, the consumers' 20 s, the last round's 5 s and the pool's 10 s, one after the other."""


def policy(check: Policy) -> Policy:
    POLICIES.append(check)
    return check


@policy
def pods_run_as_a_numbered_user_without_rights(objects: list[Object]) -> Iterator[str]:
    for name, pod in pods(objects):
        context = pod["spec"].get("securityContext", {})
        if context.get("runAsNonRoot") is not True or context.get("runAsUser", 0) < 10000:
            yield f"{name} may be root"


@policy
def the_root_filesystem_is_read_only(objects: list[Object]) -> Iterator[str]:
    for name, one in containers(objects):
        if one["securityContext"].get("readOnlyRootFilesystem") is not True:
            yield f"{name} may write to its image"


@policy
def all_capabilities_are_dropped(objects: list[Object]) -> Iterator[str]:
    for name, one in containers(objects):
        if one["securityContext"].get("capabilities") != {"drop": ["ALL"]}:
            yield f"{name} has capabilities"


@policy
def nobody_gains_privileges(objects: list[Object]) -> Iterator[str]:
    for name, one in containers(objects):
        context = one["securityContext"]
        if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
            yield f"{name} may gain privileges"


@policy
def system_calls_are_filtered(objects: list[Object]) -> Iterator[str]:
    for name, pod in pods(objects):
        if pod["spec"]["securityContext"].get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{name} has no seccomp profile"


@policy
def no_pod_has_a_token_for_the_api_server(objects: list[Object]) -> Iterator[str]:
    for name, pod in pods(objects):
        if pod["spec"].get("automountServiceAccountToken") is not False:
            yield f"{name} has a token"


@policy
def nothing_of_the_node_is_shared(objects: list[Object]) -> Iterator[str]:
    for name, pod in pods(objects):
        spec = pod["spec"]
        volumes = {kind for volume in spec.get("volumes", []) for kind in volume} - {"name"}
        if any(spec.get(shared) for shared in ("hostNetwork", "hostPID", "hostIPC")):
            yield f"{name} shares a namespace with its node"
        if not volumes <= {"emptyDir", "secret", "projected"}:
            yield f"{name} mounts {volumes}"
    for name, one in containers(objects):
        if any("hostPort" in port for port in one.get("ports", [])):
            yield f"{name} takes a port of its node"


@policy
def memory_is_reserved_and_bounded_and_the_processor_is_not_throttled(objects: list[Object]) -> Iterator[str]:
    for name, one in containers(objects):
        resources = one.get("resources", {})
        limits, requests = resources.get("limits", {}), resources.get("requests", {})
        if "memory" not in limits or not {"cpu", "memory"} <= requests.keys() or "cpu" in limits:
            yield f"{name} has other resources"


@policy
def what_a_pod_may_write_is_bounded(objects: list[Object]) -> Iterator[str]:
    for name, pod in pods(objects):
        for volume in pod["spec"].get("volumes", []):
            if "emptyDir" in volume and not volume["emptyDir"].get("sizeLimit"):
                yield f"{name} may fill its node's disk"


@policy
def images_are_of_one_version(objects: list[Object]) -> Iterator[str]:
    images = {one["image"] for _, one in containers(objects)}
    if len(images) != 1:
        yield f"images differ: {sorted(images)}"
    for image in images:
        if (
            not re.search(r"(@sha256:[0-9a-f]{64}|:[A-Za-z0-9_][A-Za-z0-9._-]*)$", image)
            or ":latest" in image
        ):
            yield f"{image} may be any version"


@policy
def secrets_are_only_named(objects: list[Object]) -> Iterator[str]:
    for one in of_kind(objects, "Secret"):
        yield f"{called(one)} is rendered"
    for name, one in containers(objects):
        for variable in one.get("env", []):
            if HUSHED.search(variable["name"]) and "secretKeyRef" not in variable.get("valueFrom", {}):
                is_user_name = variable["name"] == "LINEPOOL_KAFKA_USERNAME"
                if not is_user_name:
                    yield f"{name} has {variable['name']} in plain"


@policy
def a_process_reads_its_own_secrets_alone(objects: list[Object]) -> Iterator[str]:
    for name, one in containers(objects):
        if name.startswith("Job") and not name.endswith(tuple(PROCESSES)):
            continue
        for variable in one.get("env", []):
            secret = variable.get("valueFrom", {}).get("secretKeyRef", {}).get("name", one["name"])
            if not re.fullmatch(rf"(.*[-.])?{one['name']}", secret):
                yield f"{name} reads {secret}"


@policy
def the_opener_knows_nothing_of_kafka(objects: list[Object]) -> Iterator[str]:
    for name, pod in pods(objects):
        if component(pod) == "opener" and "kafka" in str(pod["spec"]).lower():
            yield f"{name} is told of Kafka"


@policy
def every_pod_is_denied_what_is_not_allowed(objects: list[Object]) -> Iterator[str]:
    denials = [
        one["spec"]
        for one in of_kind(objects, "NetworkPolicy")
        if set(one["spec"]["policyTypes"]) == {"Ingress", "Egress"}
        and not one["spec"].keys() & {"ingress", "egress"}
    ]
    for name, pod in pods(objects):
        if not any(_selects(one["podSelector"], pod["metadata"]["labels"]) for one in denials):
            yield f"{name} may speak to anybody"


@policy
def pods_may_speak_to_exactly_whom_they_need(objects: list[Object]) -> Iterator[str]:
    policies = of_kind(objects, "NetworkPolicy")
    for name, pod in pods(objects):
        found = {
            component(one)
            for one in policies
            if one["spec"].get("egress") and _selects(one["spec"]["podSelector"], pod["metadata"]["labels"])
        }
        if found - {"collector"} != EDGES[component(pod)] | {"dns"}:
            yield f"{name} may speak to {sorted(found)}"


@policy
def every_edge_has_ports(objects: list[Object]) -> Iterator[str]:
    for one in of_kind(objects, "NetworkPolicy"):
        for edge in (*one["spec"].get("egress", []), *one["spec"].get("ingress", [])):
            if not edge.get("ports"):
                yield f"{called(one)} opens every port"


@policy
def pods_are_reached_by_monitoring_and_the_portal_by_its_callers(objects: list[Object]) -> Iterator[str]:
    for one in of_kind(objects, "NetworkPolicy"):
        for edge in one["spec"].get("ingress", []):
            if component(one) not in {"metrics", "portal"} or not edge.get("from"):
                yield f"{called(one)} lets anybody in"
    if not {"metrics", "portal"} <= {component(one) for one in of_kind(objects, "NetworkPolicy")}:
        yield "nobody is let in"


@policy
def liveness_asks_the_process_alone_and_readiness_its_servers_too(objects: list[Object]) -> Iterator[str]:
    wanted = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    for name, one in containers(of_kind(objects, "Deployment")):
        found = {probe: one.get(probe, {}).get("httpGet", {}).get("path") for probe in wanted}
        if found != wanted:
            yield f"{name} is asked {found}"


@policy
def a_start_may_take_as_long_as_its_streams_need(objects: list[Object]) -> Iterator[str]:
    for name, one in containers(of_kind(objects, "Deployment")):
        probe = one.get("startupProbe", {})
        if probe.get("periodSeconds", 0) * probe.get("failureThreshold", 0) < 60:
            yield f"{name} is killed while it starts"


@policy
def a_pod_has_the_time_to_end_in_order(objects: list[Object]) -> Iterator[str]:
    for name, pod in pods(of_kind(objects, "Deployment")):
        spec = pod["spec"]
        before = [
            one.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            for one in spec["containers"]
        ]
        if spec.get("terminationGracePeriodSeconds", 30) <= LONGEST_STOP_S + max(before):
            yield f"{name} is killed while it ends"


@policy
def the_portal_serves_until_nobody_is_sent_to_it(objects: list[Object]) -> Iterator[str]:
    for name, one in containers(of_kind(objects, "Deployment")):
        if one["name"] == "portal" and "preStop" not in one.get("lifecycle", {}):
            yield f"{name} refuses requests when it ends"


@policy
def one_pod_at_a_time_is_taken_away(objects: list[Object]) -> Iterator[str]:
    for name, pod in pods(of_kind(objects, "Deployment")):
        budgets = [
            one["spec"]
            for one in of_kind(objects, "PodDisruptionBudget")
            if _selects(one["spec"]["selector"], pod["metadata"]["labels"])
        ]
        wanted = {"maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow"}
        if [{key: one.get(key) for key in wanted} for one in budgets] != [wanted]:
            yield f"{name} has the budgets {budgets}"


@policy
def a_new_pod_is_ready_before_an_old_one_goes(objects: list[Object]) -> Iterator[str]:
    for one in of_kind(objects, "Deployment"):
        if one["spec"]["strategy"].get("rollingUpdate") != {"maxUnavailable": 0, "maxSurge": 1}:
            yield f"{called(one)} is replaced in another way"


@policy
def pods_are_spread_over_nodes_and_zones(objects: list[Object]) -> Iterator[str]:
    for name, pod in pods(of_kind(objects, "Deployment")):
        keys = {
            one["topologyKey"]
            for one in pod["spec"].get("topologySpreadConstraints", [])
            if _selects(one["labelSelector"], pod["metadata"]["labels"])
        }
        if keys != {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}:
            yield f"{name} is spread over {sorted(keys)}"


@policy
def the_pods_of_a_dead_node_begin_elsewhere_when_the_operator_says(objects: list[Object]) -> Iterator[str]:
    for name, pod in pods(of_kind(objects, "Deployment")):
        # Without these Kubernetes adds its own, of five minutes.
        waited_out = {
            one["key"]
            for one in pod["spec"].get("tolerations", [])
            if one["effect"] == "NoExecute" and "tolerationSeconds" in one
        }
        if waited_out != {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"}:
            yield f"{name} waits out {sorted(waited_out)}"


@policy
def every_deployment_selects_its_own_pods_alone(objects: list[Object]) -> Iterator[str]:
    for one in of_kind(objects, "Deployment"):
        selected = [
            name
            for name, pod in pods(objects)
            if _selects(one["spec"]["selector"], pod["metadata"]["labels"])
        ]
        if selected != [called(one)]:
            yield f"{called(one)} selects {selected}"


@policy
def every_process_has_a_deployment(objects: list[Object]) -> Iterator[str]:
    found = Counter(component(one) for one in of_kind(objects, "Deployment"))
    if found != Counter(PROCESSES):
        yield f"there are {dict(found)}"


@policy
def jobs_end_by_themselves(objects: list[Object]) -> Iterator[str]:
    for one in of_kind(objects, "Job"):
        if not one["spec"].get("activeDeadlineSeconds") or "backoffLimit" not in one["spec"]:
            yield f"{called(one)} may run for ever"


@policy
def jobs_come_before_an_upgrade_and_roles_before_migrations(objects: list[Object]) -> Iterator[str]:
    weights: dict[str, int] = {}
    for one in of_kind(objects, "Job"):
        notes = one["metadata"].get("annotations", {})
        if "pre-upgrade" not in notes.get("helm.sh/hook", ""):
            yield f"{called(one)} does not come before an upgrade"
        weights[component(one)] = int(notes.get("helm.sh/hook-weight", 0))
    for first in weights.keys() & {"access", "roles"}:
        if weights[first] >= weights.get("migrate", 0):
            yield f"{first} comes after the migrations"


@policy
def an_ingress_has_tls_and_shows_neither_figures_nor_health(objects: list[Object]) -> Iterator[str]:
    for one in of_kind(objects, "Ingress"):
        hosts = {host for tls in one["spec"].get("tls", []) for host in tls["hosts"]}
        for rule in one["spec"]["rules"]:
            if rule.get("host") not in hosts:
                yield f"{called(one)} serves {rule.get('host')} without TLS"
            for path in rule["http"]["paths"]:
                if path["path"] == "/" or re.match("/(metrics|livez|readyz)", path["path"]):
                    yield f"{called(one)} shows {path['path']}"


@policy
def services_are_inside_the_cluster(objects: list[Object]) -> Iterator[str]:
    for one in of_kind(objects, "Service"):
        if (
            one["spec"]["type"] != "ClusterIP"
            or one["spec"]["selector"]["app.kubernetes.io/component"] != "portal"
        ):
            yield f"{called(one)} is open"


@policy
def at_least_two_read_and_never_more_than_there_are_partitions(objects: list[Object]) -> Iterator[str]:
    scaled = {one["spec"]["scaleTargetRef"]["name"] for one in of_kind(objects, "ScaledObject")}
    for one in of_kind(objects, "ScaledObject"):
        spec = one["spec"]
        if not 2 <= spec.get("minReplicaCount", 0) <= spec.get("maxReplicaCount", 100) <= 3:
            yield f"{called(one)} scales otherwise"
    for one in of_kind(objects, "Deployment"):
        if (one["metadata"]["name"] in scaled) == ("replicas" in one["spec"]):
            yield f"{called(one)} is scaled by two or by none"


@policy
def readers_are_taken_away_slowly(objects: list[Object]) -> Iterator[str]:
    for one in of_kind(objects, "ScaledObject"):
        behavior = one["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        if behavior["scaleDown"].get("stabilizationWindowSeconds", 0) < 300:
            yield f"{called(one)} changes readers all the time"


@policy
def nothing_that_watches_names_a_topic_of_providers(objects: list[Object]) -> Iterator[str]:
    for one in of_kind(objects, "ScaledObject", "PodMonitor", "PrometheusRule"):
        if OF_PROVIDERS.search(_text_of(one["spec"])):
            yield f"{called(one)} may show how many replies there are"


@policy
def what_was_said_outlives_the_release(objects: list[Object]) -> Iterator[str]:
    for one in of_kind(objects, "KafkaTopic", "Cluster"):
        if one["metadata"].get("annotations", {}).get("helm.sh/resource-policy") != "keep":
            yield f"{called(one)} is deleted with the release"


@policy
def passwords_of_users_come_from_secrets(objects: list[Object]) -> Iterator[str]:
    for one in of_kind(objects, "KafkaUser"):
        login = one["spec"]["authentication"]
        if login["type"] != "scram-sha-512" or "secretKeyRef" not in login.get("password", {}).get(
            "valueFrom", {}
        ):
            yield f"{called(one)} has another login"
    for one in of_kind(objects, "Cluster"):
        for role in one["spec"]["managed"]["roles"]:
            if not role.get("passwordSecret") or any(
                role[right] for right in ("superuser", "createdb", "createrole")
            ):
                yield f"{called(one)} lets {role['name']} in otherwise"


@policy
def everything_is_labelled_in_one_namespace_and_named_once(objects: list[Object]) -> Iterator[str]:
    wanted = {
        f"app.kubernetes.io/{name}" for name in ("name", "instance", "component", "version", "managed-by")
    }
    for one in objects:
        if (
            not wanted <= one["metadata"].get("labels", {}).keys()
            or one["metadata"].get("namespace") != NAMESPACE
        ):
            yield f"{called(one)} lacks labels or is elsewhere"
    for name, times in Counter(map(called, objects)).items():
        if times > 1:
            yield f"{name} is there {times} times"


def _selects(selector: Object, labels: dict[str, str]) -> bool:
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    return wanted and all(
        one["operator"] == "In" and labels.get(one["key"]) in one["values"]
        for one in selector.get("matchExpressions", [])
    )


def _text_of(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(_text_of(one) for one in value.values())
    return "\n".join(map(_text_of, value)) if isinstance(value, list) else str(value)
