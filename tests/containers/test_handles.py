"""The handles of a stack in containers do what the ones of local processes do."""

from pathlib import Path

import asyncpg
import docker
import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import (
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from deploy.access.login import Login, admin_client
from deploy.local.containers import start_containers
from deploy.local.handles import KafkaHandle, PostgresHandle, StackError

pytestmark = pytest.mark.containers


def admin_of(kafka: KafkaHandle) -> AdminClient:
    return admin_client(kafka.bootstrap_servers, kafka.admin, kafka.ca_file)


def make_topic(kafka: KafkaHandle, name: str) -> None:
    admin = admin_of(kafka)
    for made in admin.create_topics([NewTopic(name, num_partitions=1)]).values():
        made.result(timeout=20)


def end_offset_after_sending(kafka: KafkaHandle, topic: str) -> int:
    offsets: list[int] = []
    producer = Producer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(kafka.ca_file),
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": kafka.admin.username,
            "sasl.password": kafka.admin.password,
            "enable.idempotence": True,
        }
    )
    producer.produce(topic, b"x", on_delivery=lambda _error, message: offsets.append(message.offset()))
    assert producer.flush(20) == 0
    return offsets[0] + 1


def test_a_killed_broker_is_back_at_its_address_with_its_messages(kafka: KafkaHandle) -> None:
    address = kafka.bootstrap_servers
    make_topic(kafka, "kept.after.kill")
    assert end_offset_after_sending(kafka, "kept.after.kill") == 1
    kafka.kill()
    with pytest.raises(KafkaException):
        admin_of(kafka).list_topics(timeout=1)
    kafka.start()
    assert kafka.bootstrap_servers == address
    assert end_offset_after_sending(kafka, "kept.after.kill") == 2


def test_a_restarted_broker_keeps_its_users_and_topics(kafka: KafkaHandle) -> None:
    make_topic(kafka, "kept.after.restart")
    kafka.restart()
    assert "kept.after.restart" in admin_of(kafka).list_topics(timeout=10).topics


@pytest.mark.parametrize("login", [Login("admin", "wrong"), Login("nobody", "x")])
def test_the_broker_refuses_an_unknown_login(kafka: KafkaHandle, login: Login) -> None:
    with pytest.raises(KafkaException):
        admin_client(kafka.bootstrap_servers, login, kafka.ca_file).list_topics(timeout=2)


def test_the_broker_denies_by_default_and_creates_no_topic_by_itself(kafka: KafkaHandle) -> None:
    admin = admin_of(kafka)
    broker = ConfigResource(ResourceType.BROKER, "1")
    (settings,) = (found.result(timeout=20) for found in admin.describe_configs([broker]).values())
    assert settings["authorizer.class.name"].value.endswith(".StandardAuthorizer")
    assert settings["auto.create.topics.enable"].value == "false"
    stranger = Login("stranger", "known-but-allowed-nothing")
    secret = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    user = UserScramCredentialUpsertion(stranger.username, secret, stranger.password.encode())
    for written in admin.alter_user_scram_credentials([user]).values():
        written.result(timeout=20)
    make_topic(kafka, "not.for.strangers")
    assert (
        "not.for.strangers"
        not in admin_client(kafka.bootstrap_servers, stranger, kafka.ca_file).list_topics(timeout=10).topics
    )
    assert "not.for.strangers" in admin.list_topics(timeout=10).topics


async def rows(postgres: PostgresHandle) -> list[int]:
    connection = await asyncpg.connect(postgres.admin_dsn)
    try:
        return [row["n"] for row in await connection.fetch("SELECT n FROM kept ORDER BY n")]
    finally:
        await connection.close()


async def execute(postgres: PostgresHandle, statement: str) -> None:
    connection = await asyncpg.connect(postgres.admin_dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def test_a_killed_postgres_is_back_at_its_address_with_what_was_committed(
    postgres: PostgresHandle,
) -> None:
    await execute(
        postgres, "DROP TABLE IF EXISTS kept; CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)"
    )
    address = postgres.admin_dsn
    postgres.kill()
    with pytest.raises(ConnectionRefusedError):
        await rows(postgres)
    postgres.start()
    assert postgres.admin_dsn == address
    assert await rows(postgres) == [1]


async def test_postgres_goes_back_to_a_copy_made_while_it_ran(
    postgres: PostgresHandle, tmp_path: Path
) -> None:
    await execute(
        postgres, "DROP TABLE IF EXISTS kept; CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)"
    )
    postgres.copy_to(tmp_path / "copy")
    await execute(postgres, "INSERT INTO kept VALUES (2); CREATE TABLE later (n int)")
    for _ in ("once", "and once more from the same copy"):
        postgres.restore_from(tmp_path / "copy")
        assert await rows(postgres) == [1]
        with pytest.raises(asyncpg.UndefinedTableError):
            await execute(postgres, "SELECT FROM later")
        await execute(postgres, "INSERT INTO kept VALUES (3)")


async def test_postgres_has_the_local_servers_settings(postgres: PostgresHandle) -> None:
    connection = await asyncpg.connect(postgres.admin_dsn)
    try:
        shown = {
            name: await connection.fetchval(f"SHOW {name}")
            for name in ("log_error_verbosity", "timezone", "fsync")
        }
        encrypted = await connection.fetchval("SELECT rolpassword FROM pg_authid WHERE rolname = 'admin'")
    finally:
        await connection.close()
    assert shown == {"log_error_verbosity": "terse", "timezone": "UTC", "fsync": "on"}
    assert encrypted.startswith("SCRAM-SHA-256$")


async def test_postgres_refuses_a_wrong_password(postgres: PostgresHandle) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.admin_dsn, password="wrong")


def test_without_an_engine_the_reason_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody-listens.sock")
    with pytest.raises(StackError, match=r"^no Docker engine answers"), start_containers(tmp_path):
        pass


# The Docker client does not close the connection on which a download was refused.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_an_image_that_cannot_be_had_is_named_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: docker.DockerClient
) -> None:
    monkeypatch.setenv("LINEPOOL_KAFKA_IMAGE", "localhost/no-such-kafka:0")
    before = {container.id for container in engine.containers.list(all=True)}
    with pytest.raises(StackError, match="localhost/no-such-kafka:0"), start_containers(tmp_path):
        pass
    assert {container.id for container in engine.containers.list(all=True)} == before
