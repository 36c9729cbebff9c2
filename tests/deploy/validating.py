"""Every object against the schema of its kind: Kubernetes' own for each version, custom ones for their kind. None is skipped."""

import json
import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from jsonschema_rs import Draft7Validator, Registry

from tests.deploy.rendering import Object, called

VERSIONS = ("1.33", "1.34", "1.35", "1.36", "1.37")
CUSTOM = {
    "kafka.strimzi.io": {"KafkaTopic", "KafkaUser"},
    "keda.sh": {"ScaledObject", "TriggerAuthentication"},
    "monitoring.coreos.com": {"PodMonitor", "PrometheusRule"},
    "postgresql.cnpg.io": {"Cluster"},
}


def faults(one: Object) -> list[str]:
    """Return what is wrong with an object, by all versions that it may meet."""
    group = one["apiVersion"].rpartition("/")[0]
    if group in CUSTOM:
        if one["kind"] not in CUSTOM[group]:
            return [f"{called(one)}: there is no schema for this kind"]
        return _told(one, _custom(group, one["kind"], one["apiVersion"]), "custom")
    found = []
    for version in VERSIONS:
        validator = _core(version, one["kind"], one["apiVersion"])
        if validator is None:
            found.append(f"{called(one)}: Kubernetes {version} has no {one['apiVersion']} {one['kind']}")
        else:
            found += _told(one, validator, version)
    return found


def _told(one: Object, validator: Draft7Validator, version: str) -> list[str]:
    return [
        f"{called(one)} ({version}): {'/'.join(map(str, error.instance_path))}: {error.message[:200]}"
        for error in validator.iter_errors(one)
    ]


@cache
def _core(version: str, kind: str, api_version: str) -> Draft7Validator | None:
    group, _, api = api_version.rpartition("/")
    folder = _kubernetes(version)
    name = "-".join(filter(None, (kind.lower(), group.partition(".")[0], api)))
    file = folder / f"{name}.json"
    if not file.is_file():
        return None
    return Draft7Validator(json.loads(file.read_text()), registry=_registry(folder))


@cache
def _registry(folder: Path) -> Registry:
    definitions = json.loads((folder / "_definitions.json").read_text())
    # Schemas without an address of their own refer to it from this place.
    return Registry([("json-schema:///_definitions.json", definitions)])


def _kubernetes(version: str) -> Path:
    spec = find_spec("kubernetes_validate")
    assert spec is not None, "kubernetes-validate is missing: make chart-test"
    assert spec.origin is not None
    return Path(spec.origin).parent / "kubernetes-json-schema" / f"v{version}.0-local-strict"


@cache
def _custom(group: str, kind: str, api_version: str) -> Draft7Validator:
    file = custom_schemas() / group / f"{kind.lower()}_{api_version.rpartition('/')[2]}.json"
    # Only Go knows a flag inside a pattern; without it the pattern is stricter.
    schema = json.loads(file.read_text().replace('"^(?i)', '"^'))
    # The catalogue leaves the top open.
    return Draft7Validator({**schema, "additionalProperties": False})


@cache
def custom_schemas() -> Path:
    """Return the folder with schemas of custom resources, as datreeio/CRDs-catalog lays them out."""
    return Path(os.environ.get("LINEPOOL_CRD_SCHEMAS") or Path(__file__).parent / "schemas")
