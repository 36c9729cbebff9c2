"""Each process finds, in the pod that the chart renders for it, all that its settings ask for."""

from importlib import import_module
from typing import Any

import pytest

from tests.deploy.rendering import CASES, EVERYTHING_OWN, NEEDED, named, of_kind, rendered

OF_SECRETS = {"secret": "ab" * 32, "postgres-dsn": "postgresql://rfp:hush@postgres/linepool"}
"""What a Secret holds under a key, where not just any text will do."""


def environment_of(container: dict[str, Any]) -> dict[str, str]:
    return {
        one["name"]: one["value"]
        if "value" in one
        else OF_SECRETS.get(one["valueFrom"]["secretKeyRef"]["key"], "hush")
        for one in container["env"]
    }


@pytest.mark.parametrize("case", CASES)
def test_a_process_starts_with_what_its_pod_is_told(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for one in of_kind(rendered(CASES[case]), "Deployment"):
        [container] = one["spec"]["template"]["spec"]["containers"]
        environment = environment_of(container)
        # The file that it names is mounted in the pod alone.
        environment.pop("LINEPOOL_KAFKA_CA_FILE", None)
        with monkeypatch.context() as pod:
            for name, value in environment.items():
                pod.setenv(name, value)
            settings = import_module(f"{container['args'][0]}.settings").Settings()
        found[container["name"]] = settings.http_port
    assert found == dict.fromkeys(
        ("aggregation", "rfp", "distribution", "bidding", "notification", "portal", "opener"), 8080
    )


def portal_url(values: dict[str, Any]) -> str:
    deployment = named(rendered(values), "Deployment", "shop-notification")
    return environment_of(deployment["spec"]["template"]["spec"]["containers"][0])["LINEPOOL_PORTAL_URL"]


def test_mails_name_the_portal_by_its_url_or_else_by_the_host_of_its_ingress() -> None:
    assert portal_url(NEEDED) == "https://linepool.example.org"
    assert portal_url(EVERYTHING_OWN) == "https://linepool.example.org"
    ingress = EVERYTHING_OWN["portal"]["ingress"]
    elsewhere = {**EVERYTHING_OWN, "portal": {"url": "https://example.org/phone", "ingress": ingress}}
    assert portal_url(elsewhere) == "https://example.org/phone"
