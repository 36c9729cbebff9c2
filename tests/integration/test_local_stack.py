"""The stack on one machine: it keeps what it was given, says what is wrong, and leaves nothing behind."""

import json
import os
import signal
import smtplib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import asyncpg
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import OffsetSpec

from deploy.access.login import admin_client
from deploy.local import jars
from deploy.local.handles import StackError
from deploy.local.kafka import LocalKafka
from deploy.local.mail import LocalMail
from deploy.local.postgres import LocalPostgres
from deploy.local.process import free_port
from deploy.local.services import Services
from deploy.local.sources import choose_source, from_environment, servers
from deploy.local.stack import Stack

TREE = Path(__file__).parents[2]
SERVICE = Path(__file__).with_name("small_service.py")
SECONDS = 30


def wait_for(condition: Callable[[], bool], seconds: float = SECONDS) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def descendants(pid: int) -> set[int]:
    """The process and everything below it that lives now."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if words[0] != "Z":
            parents[int(stat.parent.name)] = int(words[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def command_lines_of_children() -> Iterator[set[str]]:
    """Gather what a list of processes shows of all that this process starts, as often as it can be read."""
    seen: set[str] = set()
    finished = threading.Event()

    def watch() -> None:
        while not finished.wait(0.005):
            for pid in descendants(os.getpid()):
                with suppress(OSError):
                    seen.add(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        finished.set()
        watcher.join()


def start_in_a_process_of_its_own(folder: Path) -> tuple[subprocess.Popen[str], dict[str, str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy.local.stack", str(folder)],
        cwd=TREE,
        env=os.environ | {"LINEPOOL_STACK": "local"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def write(stack: Stack, count: int) -> int:
    """Write to rfp.events with acks=all; return how many messages were acknowledged."""
    acknowledged = []
    login = stack.login("rfp")
    producer = Producer(
        {
            "bootstrap.servers": stack.bootstrap_servers,
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": login.username,
            "sasl.password": login.password,
            "ssl.ca.location": str(stack.ca_file),
            "enable.idempotence": True,
            "log_level": 0,
        }
    )
    for number in range(count):
        producer.produce(
            f"{stack.prefix}rfp.events",
            str(number).encode(),
            on_delivery=lambda error, message: acknowledged.append(message) if error is None else None,
        )
    producer.flush(SECONDS)
    return len(acknowledged)


def stored(stack: Stack) -> int:
    """How many messages rfp.events has ever held."""
    admin = admin_client(stack.bootstrap_servers, stack.admin, stack.ca_file)
    topic = f"{stack.prefix}rfp.events"
    partitions = [
        TopicPartition(topic, number) for number in admin.list_topics(topic).topics[topic].partitions
    ]
    asked = admin.list_offsets(dict.fromkeys(partitions, OffsetSpec.latest()))
    return sum(future.result(SECONDS).offset for future in asked.values())


def test_a_killed_broker_comes_back_at_the_same_address_with_everything_it_acknowledged(stack: Stack) -> None:
    before = stored(stack)
    assert write(stack, 100) == 100
    address = stack.bootstrap_servers
    stack.kafka.kill()
    stack.kafka.start()
    assert stack.bootstrap_servers == address
    assert write(stack, 10) == 10
    assert stored(stack) == before + 110


async def test_a_killed_postgres_recovers_what_was_committed(stack: Stack) -> None:
    connection = await asyncpg.connect(stack.dsn("rfp"))
    await connection.execute("CREATE TABLE committed AS SELECT 1 AS value")
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("INSERT INTO committed VALUES (2)")
    stack.postgres.kill()
    connection.terminate()
    stack.postgres.start()
    connection = await asyncpg.connect(stack.dsn("rfp"))
    assert [row["value"] for row in await connection.fetch("SELECT value FROM committed")] == [1]
    await connection.execute("DROP TABLE committed")
    await connection.close()


async def test_a_restored_postgres_is_as_it_was_when_it_was_copied(stack: Stack, tmp_path: Path) -> None:
    connection = await asyncpg.connect(stack.dsn("rfp"))
    await connection.execute("CREATE TABLE kept AS SELECT 'before' AS said")
    stack.postgres.copy_to(tmp_path / "copy")
    await connection.execute("INSERT INTO kept VALUES ('after')")
    await connection.close()
    for _ in range(2):
        stack.postgres.restore_from(tmp_path / "copy")
        connection = await asyncpg.connect(stack.dsn("rfp"))
        assert [row["said"] for row in await connection.fetch("SELECT said FROM kept")] == ["before"]
        await connection.execute("INSERT INTO kept VALUES ('after')")
        await connection.close()
    connection = await asyncpg.connect(stack.dsn("rfp"))
    await connection.execute("DROP TABLE kept")
    await connection.close()


async def test_postgres_is_safe_against_a_crash_and_speaks_utc(stack: Stack) -> None:
    connection = await asyncpg.connect(stack.admin_dsn)
    expected = {
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "log_error_verbosity": "terse",
        "password_encryption": "scram-sha-256",
        "timezone": "UTC",
    }
    actual = {name: await connection.fetchval(f"SHOW {name}") for name in expected}
    assert actual == expected | ({"timezone": "Etc/UTC"} if actual["timezone"] == "Etc/UTC" else {})
    await connection.close()


def test_a_mail_is_kept_byte_for_byte(stack: Stack) -> None:
    before = set(stack.mail_folder.glob("*.eml"))
    head = "From: a@linepool.invalid\r\nTo: b@linepool.invalid\r\nSubject: kept\r\n\r\n"
    text = head + ".a line with a dot\r\nZoë\r\n"
    with smtplib.SMTP(stack.smtp_host, stack.smtp_port, timeout=SECONDS) as client:
        client.sendmail("a@linepool.invalid", ["b@linepool.invalid"], text.encode(), ["BODY=8BITMIME"])
    (kept,) = set(stack.mail_folder.glob("*.eml")) - before
    assert kept.read_bytes() == text.encode()


def test_nothing_survives_a_killed_parent_and_the_folder_works_again(tmp_path: Path) -> None:
    process, first = start_in_a_process_of_its_own(tmp_path)
    family = descendants(process.pid)
    assert len(family) >= 5  # itself, Kafka, Postgres with children, mail
    process.kill()
    process.communicate()
    assert wait_for(lambda: not any(map(lives, family)), 10), [pid for pid in family if lives(pid)]

    process, second = start_in_a_process_of_its_own(tmp_path)
    assert second == first
    family = descendants(process.pid)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert not any(map(lives, family))


def test_a_taken_port_is_said_in_one_sentence(tmp_path: Path) -> None:
    mail = LocalMail(tmp_path / "mail")
    mail.start()
    try:
        kafka, postgres = LocalKafka(tmp_path / "kafka"), LocalPostgres(tmp_path / "postgres")
        for server, name in ((kafka, "client_port"), (postgres, "port")):
            folder = tmp_path / name.replace("client_port", "kafka").replace("port", "postgres")
            remembered = folder / "settings.json"
            remembered.write_text(json.dumps(json.loads(remembered.read_text()) | {name: mail.port}))
            if server is kafka:
                # A broker that has run: clients know its address, so it takes no other.
                (folder / "data").mkdir()
                (folder / "data" / "meta.properties").touch()
            with pytest.raises(StackError, match=f"port {mail.port} .* is taken by another program"):
                type(server)(folder).start()
    finally:
        mail.stop()


def test_a_broker_that_cannot_start_names_its_log(tmp_path: Path) -> None:
    kafka = LocalKafka(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "meta.properties").write_text("version=1\ncluster.id=another-cluster\nnode.id=7\n")
    with pytest.raises(StackError, match=r"Kafka ended while it was starting; .*kafka\.log says why"):
        kafka.start()
    assert kafka.log.stat().st_size > 0
    assert kafka.pid is None


def test_jars_that_differ_from_the_lock_are_not_used(tmp_path: Path) -> None:
    folder = tmp_path / f"kafka-{jars.KAFKA_VERSION}"
    folder.mkdir()
    for jar in jars.kafka_jars():
        (folder / jar.name).symlink_to(jar)
    assert [path.name for path in jars.kafka_jars(tmp_path)] == [path.name for path in jars.kafka_jars()]

    changed = next(folder.glob("kafka-clients-*.jar"))
    original = changed.read_bytes()
    changed.unlink()
    changed.write_bytes(original + b"\0")
    with pytest.raises(StackError, match="SHA-256"):
        jars.kafka_jars(tmp_path)
    changed.unlink()
    with pytest.raises(StackError, match="does not hold the locked jars"):
        jars.kafka_jars(tmp_path)
    changed.write_bytes(original)
    (folder / "one-more.jar").write_bytes(b"")
    with pytest.raises(StackError, match=r"one-more\.jar"):
        jars.kafka_jars(tmp_path)


def test_passwords_stay_out_of_the_list_of_processes_and_out_of_other_peoples_files(tmp_path: Path) -> None:
    postgres, kafka = LocalPostgres(tmp_path / "postgres"), LocalKafka(tmp_path / "kafka")
    secrets = [kafka.admin.password, postgres.admin_dsn.split(":")[2].split("@")[0]]
    try:
        # Making their folders is watched as well: Kafka's first users are made by a tool that is told their passwords.
        with command_lines_of_children() as seen:
            postgres.start()
            kafka.start()
        for program in ("StorageTool.args", "Kafka.args", "initdb", "postgres"):
            assert any(program in line for line in seen), program
        assert not [line for line in seen if any(secret in line for secret in secrets)]
    finally:
        kafka.stop()
        postgres.stop()
    for file in (path for path in tmp_path.rglob("*") if path.is_file() and "data" not in path.parts):
        if any(secret.encode() in file.read_bytes() for secret in secrets):
            assert file.stat().st_mode & 0o077 == 0, file


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"LINEPOOL_STACK": "cloud"}, "not 'cloud'"),
        ({"LINEPOOL_STACK_KAFKA": "h:1"}, "LINEPOOL_STACK_POSTGRES must be set"),
        ({"LINEPOOL_STACK": "environment"}, "LINEPOOL_STACK_KAFKA, "),
    ],
)
def test_half_an_answer_about_the_source_is_an_error(
    tmp_path: Path, environment: dict[str, str], said: str
) -> None:
    with pytest.raises(StackError, match=said), servers(tmp_path, environment):
        pytest.fail("half an answer gave a stack")


def test_a_stack_named_in_the_environment_comes_first_and_is_not_stopped_from_here() -> None:
    environment = {
        "LINEPOOL_STACK_KAFKA": "kafka.example:9093",
        "LINEPOOL_STACK_KAFKA_CA_FILE": "/etc/linepool/ca.pem",
        "LINEPOOL_STACK_KAFKA_USERNAME": "admin",
        "LINEPOOL_STACK_KAFKA_PASSWORD": "secret",
        "LINEPOOL_STACK_POSTGRES": "postgresql://admin:secret@postgres.example/linepool",
    }
    assert choose_source(environment) == "environment"
    found = from_environment(environment)
    assert found.kafka.bootstrap_servers == "kafka.example:9093"
    assert found.kafka.services_bootstrap == "kafka.example:9093"
    assert found.kafka.ca_file == Path("/etc/linepool/ca.pem")
    assert "secret" not in repr(found.kafka)
    with pytest.raises(StackError, match="no certificates are signed from here"):
        _ = found.kafka.providers_authority
    with pytest.raises(StackError, match="not stopped from here"):
        found.kafka.kill()


def small_service(name: str) -> list[str]:
    return [sys.executable, str(SERVICE), name]


def test_a_service_gets_its_own_login_role_and_secret_and_nobody_elses(stack: Stack) -> None:
    services = Services(stack)
    of = {name: services.environment_of(name) for name in services.names}
    assert set(of) == {"aggregation", "rfp", "distribution", "bidding", "notification", "portal", "opener"}
    assert not [variable for variable in of["opener"] if "KAFKA" in variable]
    for name, values in of.items():
        assert values.get("LINEPOOL_KAFKA_USERNAME") == (None if name == "opener" else stack.prefix + name)
        assert values["LINEPOOL_POSTGRES_DSN"].startswith(f"postgresql://{name}:")
        assert len(bytes.fromhex(values["LINEPOOL_SECRET"])) == 32
        assert ("LINEPOOL_SMTP_HOST" in values) == (name == "notification")
    for variable in ("LINEPOOL_SECRET", "LINEPOOL_HTTP_PORT", "LINEPOOL_POSTGRES_DSN"):
        assert len({values[variable] for values in of.values()}) == len(of)
    passwords = [values["LINEPOOL_KAFKA_PASSWORD"] for name, values in of.items() if name != "opener"]
    assert len(set(passwords)) == len(of) - 1


def test_a_service_that_died_or_hangs_is_started_again(stack: Stack) -> None:
    with Services(stack, ["rfp", "bidding"], program=small_service) as services:
        first, other = services.pid("rfp"), services.pid("bidding")
        assert first
        services.kill("rfp")
        assert wait_for(lambda: services.pid("rfp") not in (None, first))
        services.wait_ready(["rfp"])
        second = services.pid("rfp")
        assert services.status("rfp", "/hang") == 200
        assert wait_for(lambda: services.pid("rfp") not in (None, second))
        services.wait_ready()
        assert services.restarts_of("rfp") == 2
        assert (services.pid("bidding"), services.restarts_of("bidding")) == (other, 0)
        family = descendants(os.getpid()) & {services.pid("rfp"), services.pid("bidding")}
        assert len(family) == 2
    assert not any(lives(pid) for pid in family if pid)


def test_without_restarts_a_killed_service_stays_away_until_it_is_started(stack: Stack) -> None:
    with Services(stack, ["rfp"], restarts=False, program=small_service) as services:
        services.kill("rfp")
        assert services.pid("rfp") is None
        with pytest.raises(StackError, match=r"rfp ended while it was starting; .*rfp\.log says why"):
            services.wait_ready(seconds=5)
        services.start("rfp", {"LINEPOOL_CRASH_AT": "somewhere:1"})
        assert "LINEPOOL_CRASH_AT=somewhere:1" in Path(
            f"/proc/{services.pid('rfp')}/environ"
        ).read_text().split("\0")
        services.stop_one("rfp")
        assert services.status("rfp", "/readyz") is None
        services.start("rfp")
        assert "LINEPOOL_CRASH_AT" not in Path(f"/proc/{services.pid('rfp')}/environ").read_text()


def test_a_service_that_never_gets_ready_is_named_with_its_log(stack: Stack) -> None:
    services = Services(
        stack, ["rfp", "bidding"], environment={"NEVER_READY": "bidding"}, program=small_service
    )
    try:
        with pytest.raises(StackError, match=r"not ready within 2 s: bidding; see .*bidding\.log"):
            services.start_all(seconds=2)
    finally:
        services.stop()
    assert services.pid("rfp") is None
    assert services.pid("bidding") is None


def test_ports_are_outside_the_range_of_outgoing_connections() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert free_port() < lowest


@pytest.mark.parametrize("when", ["before it looked", "after it looked"])
def test_a_new_broker_whose_port_was_taken_meanwhile_begins_with_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    broker = LocalKafka(tmp_path / "kafka")
    taken, password = broker._settings.controller_port, broker.admin.password
    if when == "after it looked":
        monkeypatch.setattr("deploy.local.kafka.is_free", lambda _port: True)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", taken))
        other.listen()
        try:
            broker.start()
            assert broker._settings.controller_port != taken
            assert broker.admin.password == password
        finally:
            broker.stop()
