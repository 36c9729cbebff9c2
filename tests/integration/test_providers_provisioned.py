"""`linepool provider` and `linepool access` from the shell, on the real broker with the rfp service running."""

import asyncio
import json
import os
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from confluent_kafka import Consumer, Producer

from deploy.access.apply import difference_of
from deploy.access.found import look
from deploy.local.services import Services
from deploy.local.stack import Stack, start_stack
from linepool.client.connection import Connection
from linepool.provisioning.bundle import read_bundle
from shared.messages.rfp import RequestCancelled, RequestIssued
from tests.flow.purchase import Purchase, cancelling, form, issue, register
from tests.integration.system import SERVICE_SETTINGS, RealSystem

Shell = Callable[..., subprocess.CompletedProcess[str]]
OPENER_SECRET = "22" * 32


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with (
        start_stack(tmp_path_factory.mktemp("provisioned")) as running,
        Services(running, ["rfp"], environment=SERVICE_SETTINGS),
    ):
        yield running


@pytest.fixture
def shell(stack: Stack, tmp_path: Path) -> Shell:
    return shell_at(stack, tmp_path)


def shell_at(stack: Stack, folder: Path) -> Shell:
    """Return what runs `linepool` in a folder, with the logins of this stack in the environment."""
    outside = {key: value for key, value in os.environ.items() if not key.startswith("LINEPOOL_")}
    environment = outside | {
        "LINEPOOL_KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
        "LINEPOOL_KAFKA_USERNAME": stack.admin.username,
        "LINEPOOL_KAFKA_PASSWORD": stack.admin.password,
        "LINEPOOL_OPERATOR_PASSWORD": stack.login("operator").password,
        "LINEPOOL_BIDDING_SECRET": stack.secrets["bidding"],
        "LINEPOOL_OPENER_SECRET": OPENER_SECRET,
        "LINEPOOL_TOPIC_PREFIX": stack.prefix,
    }
    environment["LINEPOOL_KAFKA_CA_FILE"] = str(stack.ca_file)

    def run(*words: str, expected: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "linepool", *words],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == expected, done.stdout + done.stderr
        return done

    return run


def add(shell: Shell, name: str, *more: str, expected: int = 0) -> subprocess.CompletedProcess[str]:
    words = ("provider", "add", name, "--category", "voice", "--region", "north", *more)
    return shell(*words, expected=expected)


def listed(shell: Shell, name: str) -> dict[str, object]:
    return next(one for one in json.loads(shell("provider", "list", "--json").stdout) if one["name"] == name)


def connection(stack: Stack, pid: str, password: str) -> Connection:
    return Connection(
        stack.bootstrap_servers,
        f"{stack.prefix}providers.{pid}",
        password,
        ca_file=stack.ca_file,
        prefix=stack.prefix,
    )


def properties(folder: Path) -> dict[str, str]:
    lines = (folder / "client.properties").read_text().splitlines()
    found = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    for name in {"ssl.ca.location", "ssl.certificate.location", "ssl.key.location"} & found.keys():
        found[name] = str(folder / found[name])
    return found | {"log_level": "0"}


def test_a_provider_is_added_with_a_bundle_and_adding_it_again_changes_nothing(
    shell: Shell, stack: Stack, tmp_path: Path
) -> None:
    said = add(shell, "Nordlicht Telekom GmbH")
    folder = tmp_path / "bundles" / "nordlicht-telekom-gmbh"
    written = read_bundle(folder)
    assert written
    assert written.password
    assert written.password not in said.stdout + said.stderr
    assert {stat.S_IMODE(one.stat().st_mode) for one in folder.rglob("*") if one.is_file()} == {0o600}
    assert {stat.S_IMODE(one.stat().st_mode) for one in (folder, folder / "schemas")} == {0o700}
    description = json.loads((folder / "linepool.json").read_text())
    assert description["topics"]["replies"] == f"{stack.prefix}replies.{written.provider_id}"
    assert description["keys"] == json.loads(shell("keys").stdout)
    assert (folder / "examples" / "linepool.reply-submitted.v1.json").exists()
    assert "enable.idempotence=false\n" in (folder / "java.properties").read_text()
    assert listed(shell, "Nordlicht Telekom GmbH") == {
        "provider_id": written.provider_id,
        "name": "Nordlicht Telekom GmbH",
        "state": "registered",
        "standing": "admitted",
        "login": "password",
        "differences": [],
    }

    assert "Nothing had to be changed" in add(shell, "  nordlicht telekom gmbh ").stdout
    assert read_bundle(folder) == written
    assert "Nothing had to be changed" in shell("provider", "add", "Nordlicht Telekom GmbH").stdout

    shell("provider", "add", "Nordlicht Telekom GmbH", "--rotate")
    rotated = read_bundle(folder)
    assert rotated
    assert (rotated.provider_id, rotated.password) != (written.provider_id, written.password)
    assert rotated.provider_id == written.provider_id


def test_a_plain_client_takes_part_with_the_files_of_the_bundle(shell: Shell, tmp_path: Path) -> None:
    add(shell, "Plain Client AG", "--output", "plain")
    folder = tmp_path / "plain"
    description = json.loads((folder / "linepool.json").read_text())
    producer = Producer(properties(folder) | {"enable.idempotence": True})
    producer.produce(description["topics"]["replies"], b"{}")
    assert producer.flush(20) == 0
    consumer = Consumer(properties(folder) | {"group.id": description["group_prefix"] + "desk"})
    assert set(consumer.list_topics(timeout=20).topics) == set(description["topics"].values())
    consumer.close()


async def test_a_suspended_provider_gets_nothing_on_open_sessions_and_comes_back(
    shell: Shell, stack: Stack, tmp_path: Path
) -> None:
    await asyncio.to_thread(add, shell, "Suspended SE", "--output", "suspended")
    written = read_bundle(tmp_path / "suspended")
    assert written
    assert written.password
    pid = written.provider_id
    way = connection(stack, pid, written.password)
    replies, invitations = way.topic(f"replies.{pid}"), way.topic(f"invitations.{pid}")
    group = way.topic(f"providers.{pid}.desk")
    producer = AIOKafkaProducer(**way.arguments(), enable_idempotence=True, acks="all")
    consumer = AIOKafkaConsumer(
        invitations, **way.arguments(), group_id=group, fetch_max_wait_ms=20_000, auto_offset_reset="earliest"
    )
    confluent = Producer(properties(tmp_path / "suspended") | {"enable.idempotence": True, "linger.ms": 200})
    distribution = stack.login("distribution")
    inviting = AIOKafkaProducer(
        **Connection(
            stack.bootstrap_servers, distribution.username, distribution.password, ca_file=stack.ca_file
        ).arguments()
    )
    for client in (producer, consumer, inviting):
        await client.start()
    try:
        await producer.send_and_wait(replies, b"before")
        confluent.produce(replies, b"before")
        assert await asyncio.to_thread(confluent.flush, 20) == 0
        await inviting.send_and_wait(invitations, b"before")
        async with asyncio.timeout(20):
            assert (await consumer.getone()).value == b"before"

        await asyncio.to_thread(shell, "provider", "suspend", "Suspended SE", "--reason", "unpaid")
        gone = time.monotonic()
        state = await asyncio.to_thread(listed, shell, "Suspended SE")
        assert (state["state"], state["standing"], state["differences"]) == ("suspended", "cut off", [])
        refused: list[object] = []
        for _ in range(20):
            confluent.produce(replies, b"after", on_delivery=lambda error, _: refused.append(error))
        await asyncio.sleep(max(0.0, gone + 5 - time.monotonic()))
        await inviting.send_and_wait(invitations, b"after" * 100)
        assert await brought_by(consumer) == []
        with pytest.raises(KafkaError):
            async with asyncio.timeout(20):
                await producer.send_and_wait(replies, b"after")
        await asyncio.to_thread(confluent.flush, 20)
        assert len(refused) == 20
        # By `is`: comparing one of these errors with None by `==` breaks the interpreter's state.
        assert all(error is not None for error in refused)
        with pytest.raises(KafkaError):
            await start_anew(way)
    finally:
        for client in (producer, consumer, inviting):
            await client.stop()

    await asyncio.to_thread(shell, "provider", "reinstate", "Suspended SE", "--output", "suspended")
    assert read_bundle(tmp_path / "suspended") == written
    await start_anew(way)
    state = await asyncio.to_thread(listed, shell, "Suspended SE")
    assert (state["state"], state["standing"], state["differences"]) == ("registered", "admitted", [])


async def brought_by(consumer: AIOKafkaConsumer) -> list[object]:
    """Return what a consumer gets within five seconds; a refusal is nothing."""
    try:
        found = await consumer.getmany(timeout_ms=5000, max_records=100)
    except KafkaError:
        return []
    return [record for records in found.values() for record in records]


async def start_anew(way: Connection) -> None:
    producer = AIOKafkaProducer(**way.arguments())
    try:
        await producer.start()
        await producer.send_and_wait(way.topic(f"replies.{way.username.rpartition('.')[2]}"), b"again")
    finally:
        await producer.stop()


def test_a_provider_by_certificate_has_no_password_and_takes_part(
    shell: Shell, stack: Stack, tmp_path: Path
) -> None:
    authority = stack.kafka.providers_authority
    authority.write(tmp_path / "authority.pem", tmp_path / "authority-key.pem")
    by = ("--certificate", "--authority", "authority.pem", "--authority-key", "authority-key.pem")
    at = ("--provider-kafka", stack.providers_bootstrap, "--output", "certified")
    add(shell, "Certified NV", *by, *at)
    line = listed(shell, "Certified NV")
    assert (line["standing"], line["login"], line["differences"]) == ("admitted", "certificate", [])
    folder = tmp_path / "certified"
    assert "password" not in (folder / "client.properties").read_text()
    description = json.loads((folder / "linepool.json").read_text())
    producer = Producer(properties(folder))
    producer.produce(description["topics"]["replies"], b"{}")
    assert producer.flush(20) == 0
    said = add(shell, "Halfway NV", "--certificate", expected=1).stderr
    assert (
        said
        == "linepool: --certificate needs --authority and --authority-key, who signs providers' certificates\n"
    )


def test_a_removed_provider_leaves_nothing_at_the_broker_and_can_be_added_anew(
    shell: Shell, stack: Stack, tmp_path: Path
) -> None:
    add(shell, "Leaving SpA", "--output", "leaving")
    pid = json.loads((tmp_path / "leaving" / "linepool.json").read_text())["provider_id"]
    shell("provider", "remove", "Leaving SpA", "--reason", "contract ended", "--yes")
    found = look(stack.broker)
    assert found.standing(pid) == "absent"
    assert not [name for name in found.topics if pid in name]
    assert all(one["name"] != "Leaving SpA" for one in json.loads(shell("provider", "list", "--json").stdout))
    said = add(shell, "Leaving SpA", "--output", "leaving", expected=1).stderr
    assert "was removed; choose another place" in said
    add(shell, "Leaving SpA", "--output", "leaving-anew")
    shell("provider", "remove", "Leaving SpA", "--reason", "again", "--keep-topics")
    assert not difference_of(stack.broker)
    anew = json.loads((tmp_path / "leaving-anew" / "linepool.json").read_text())["provider_id"]
    assert anew != pid
    assert look(stack.broker).standing(anew) == "cut off"


async def test_a_provider_is_not_removed_while_a_purchase_with_it_is_open(
    system: RealSystem, tmp_path: Path
) -> None:
    shell, pid = shell_at(system.stack, tmp_path), "listedlisted"
    await asyncio.to_thread(system.stack.add_providers, [pid])
    await register(system, pid)
    purchase = Purchase((*system.purchase().providers, pid))
    await form(system, purchase)
    await issue(system, purchase, datetime.now(UTC) + timedelta(days=1))
    await system.until(RequestIssued, purchase.purchase_id)
    words = ("provider", "remove", pid, "--reason", "contract ended", "--yes")

    said = (await asyncio.to_thread(shell, *words, expected=1)).stderr
    assert said == (f"linepool: rfp refuses removing {pid}: A purchase that lists the provider is open.\n")
    # Nothing has changed: it is let in at the broker, and its topics are there.
    assert look(system.stack.broker).standing(pid) == "admitted"
    assert not difference_of(system.stack.broker)

    await system.order(cancelling(purchase), purchase.coordinator)
    await system.until(RequestCancelled, purchase.purchase_id)
    await asyncio.to_thread(shell, *words)
    assert look(system.stack.broker).standing(pid) == "absent"


def test_a_bundle_may_be_one_file_that_nobody_else_reads(shell: Shell, tmp_path: Path) -> None:
    add(shell, "Packed SARL", "--output", "packed.zip")
    packed = tmp_path / "packed.zip"
    assert stat.S_IMODE(packed.stat().st_mode) == 0o600
    written = read_bundle(packed)
    assert written
    assert "Nothing had to be changed" in add(shell, "Packed SARL", "--output", "packed.zip").stdout
    assert read_bundle(packed) == written
    # Unpacked, all is private again where the tool keeps modes, and a plain client takes part.
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(packed) as opened:
        assert {stat.S_IMODE(one.external_attr >> 16) for one in opened.infolist()} == {0o600}
        opened.extractall(folder)
    producer = Producer(properties(folder))
    producer.produce(json.loads((folder / "linepool.json").read_text())["topics"]["replies"], b"{}")
    assert producer.flush(20) == 0


def test_whatever_is_in_the_way_is_one_sentence(shell: Shell, tmp_path: Path) -> None:
    said = shell("provider", "suspend", "Nobody Ltd", "--reason", "gone", expected=1).stderr
    assert said == "linepool: no provider is registered as Nobody Ltd\n"
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    said = add(shell, "Taken KG", "--output", "taken", expected=1).stderr
    assert said == "linepool: taken is there already and is not a bundle\n"
    (tmp_path / "password").write_text('short"')
    said = add(shell, "Short KG", "--password-file", "password", expected=1).stderr
    assert said.startswith("linepool: a password has 16 to 128")
    assert "short" not in said


def test_the_shell_says_whether_the_broker_is_what_it_should_be(shell: Shell, stack: Stack) -> None:
    assert shell("access", "check").stdout == "access: as it should be\n"
    assert shell("access", "diff").stdout == "The broker is what it should be.\n"
    assert shell("access", "apply").stdout == "Nothing had to be changed.\n"
    assert not difference_of(stack.broker)
    refused = shell("access", "check", "--username", "rfp", expected=1)
    assert refused.stderr.count("\n") == 1


def test_another_installation_is_made_by_the_shell_with_passwords_in_a_file(
    shell: Shell, tmp_path: Path
) -> None:
    words = ("--prefix", "shell.")
    assert "119" not in shell("access", "check", *words, expected=1).stderr
    said = shell("access", "apply", *words, expected=1).stderr
    assert "--passwords names the file" in said
    shell("access", "apply", *words, "--passwords", "new.json")
    assert stat.S_IMODE((tmp_path / "new.json").stat().st_mode) == 0o600
    assert len(json.loads((tmp_path / "new.json").read_text())) == 10
    assert shell("access", "check", *words).stdout == "access: as it should be\n"
