"""TLS on the real broker: nothing is said in the clear, and a certificate makes a provider and nobody else."""

import asyncio
import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from time import monotonic

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError
from confluent_kafka import KafkaException, Message, Producer
from confluent_kafka.admin import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramMechanism,
    UserScramCredentialDeletion,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deploy.access.apply import add_provider
from deploy.access.broker import Broker
from deploy.access.certificates import Authority, Pair
from deploy.access.login import Login, admin_client
from deploy.local.kafka import LocalKafka
from deploy.local.stack import Stack
from linepool.client.connection import Connection
from tests.integration.tls import HOUR, named, signed

ONE, OTHER = "tlsonetlsone", "tlstwotlstwo"
SECONDS = 20


@pytest.fixture(scope="module")
def password(stack: Stack) -> Login:
    one, _ = stack.add_providers([ONE, OTHER])
    return one


@pytest.fixture
def by_certificate(stack: Stack, password: Login) -> Connection:
    assert password.username == f"{stack.prefix}providers.{ONE}"
    made = stack.issue_certificate(ONE)
    return Connection(
        stack.providers_bootstrap,
        password.username,
        ca_file=stack.ca_file,
        prefix=stack.prefix,
        certificate_file=made.certificate_file,
        key_file=made.key_file,
    )


def with_pair(stack: Stack, pair: Pair, folder: Path) -> Connection:
    pair.write(folder / "certificate.pem", folder / "key.pem")
    return Connection(
        stack.providers_bootstrap,
        "somebody",
        ca_file=stack.ca_file,
        prefix=stack.prefix,
        certificate_file=folder / "certificate.pem",
        key_file=folder / "key.pem",
    )


def visible(connection: Connection) -> set[str]:
    """Which topics a principal sees. Raises KafkaException when it is not let in."""
    client = AdminClient({**connection.properties(), "log_level": 0})
    return set(client.list_topics(timeout=SECONDS).topics)


async def is_let_in(connection: Connection) -> bool:
    consumer = AIOKafkaConsumer(**connection.arguments(), request_timeout_ms=5_000)
    try:
        await consumer.start()
        await consumer.topics()
    except KafkaConnectionError:
        return False
    finally:
        await consumer.stop()
    return True


async def test_a_provider_with_a_certificate_reads_and_writes_its_own_and_sees_nothing_else(
    stack: Stack, by_certificate: Connection
) -> None:
    own = {f"{stack.prefix}{kind}.{ONE}" for kind in ("invitations", "replies", "notices")}
    assert await is_let_in(by_certificate)
    assert visible(by_certificate) == own
    producer = AIOKafkaProducer(**by_certificate.arguments(), acks="all", enable_idempotence=True)
    await producer.start()
    await producer.send_and_wait(by_certificate.topic(f"replies.{ONE}"), b"aiokafka")
    with pytest.raises(KafkaError, match="replies"):
        await producer.send_and_wait(by_certificate.topic(f"replies.{OTHER}"), b"not mine")
    await producer.stop()

    outcome: list[object] = []
    other_library = Producer({**by_certificate.properties(), "enable.idempotence": True, "log_level": 0})
    other_library.produce(
        by_certificate.topic(f"replies.{ONE}"),
        b"librdkafka",
        on_delivery=lambda error, _: outcome.append(error),
    )
    assert other_library.flush(SECONDS) == 0
    assert outcome == [None]

    bidding = stack.login("bidding")
    reader = Connection(stack.services_bootstrap, bidding.username, bidding.password, stack.ca_file)
    consumer = AIOKafkaConsumer(
        by_certificate.topic(f"replies.{ONE}"), **reader.arguments(), auto_offset_reset="earliest"
    )
    await consumer.start()
    async with asyncio.timeout(SECONDS):
        assert {(await consumer.getone()).value for _ in range(2)} == {b"aiokafka", b"librdkafka"}
    await consumer.stop()


def test_a_provider_that_keeps_its_key_gets_its_request_signed(
    stack: Stack, password: Login, tmp_path: Path
) -> None:
    key = rsa.generate_private_key(65537, 2048)
    request = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "admin")])
    )
    pem = request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    certificate = stack.kafka.providers_authority.sign_request(pem, ONE, stack.prefix)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    seen = visible(with_pair(stack, Pair(certificate, private), tmp_path))
    assert seen == {f"{stack.prefix}{kind}.{ONE}" for kind in ("invitations", "replies", "notices")}
    assert password.username.endswith(ONE)


def _foreign(_: Authority, prefix: str) -> Pair:
    return Authority.new("Linepool providers").issue_for_provider(ONE, prefix)


# What is wrong with it, and how it is made from the real authority and the stack's prefix. The first few would be
# a super user or a service, if the listener believed what a certificate calls itself.
REFUSED: dict[str, Callable[[Authority, str], Pair]] = {
    "the super user's name": lambda own, _: signed(own, named("admin")),
    "the broker's name": lambda own, _: signed(own, named("broker")),
    "a service's name": lambda own, prefix: signed(own, named(f"{prefix}bidding")),
    "the super user's name, no organisation": lambda own, _: signed(own, [(NameOID.COMMON_NAME, "admin")]),
    "another organisation": lambda own, prefix: signed(own, named(f"{prefix}providers.{ONE}", "Linepool")),
    "another authority": _foreign,
    "the brokers' purpose": lambda own, prefix: signed(
        own, named(f"{prefix}providers.{ONE}"), purpose=ExtendedKeyUsageOID.SERVER_AUTH
    ),
    "expired": lambda own, prefix: signed(
        own, named(f"{prefix}providers.{ONE}"), begins_in=-2 * HOUR, ends_in=-HOUR
    ),
    "not valid yet": lambda own, prefix: signed(
        own, named(f"{prefix}providers.{ONE}"), begins_in=HOUR, ends_in=2 * HOUR
    ),
    "a name that goes on": lambda own, prefix: signed(own, named(f"{prefix}providers.{ONE}x")),
    "a name that goes on after a dot": lambda own, prefix: signed(
        own, named(f"{prefix}providers.{ONE}.admin")
    ),
    "a name within a name": lambda own, prefix: signed(
        own, named(f"{prefix}providers.{ONE},O=Linepool providers", "x")
    ),
    "a second name before it": lambda own, prefix: signed(
        own, [*named(f"{prefix}providers.{ONE}"), (NameOID.COMMON_NAME, "admin")]
    ),
    "a part behind it": lambda own, prefix: signed(
        own, [(NameOID.COUNTRY_NAME, "DE"), *named(f"{prefix}providers.{ONE}")]
    ),
    "capital letters": lambda own, prefix: signed(own, named(f"{prefix}providers.{ONE}".upper())),
    "a line after it": lambda own, prefix: signed(own, named(f"{prefix}providers.{ONE}\n")),
}


@pytest.mark.parametrize("wrong", REFUSED)
async def test_a_certificate_that_is_not_exactly_a_providers_is_nobodys(
    stack: Stack, password: Login, tmp_path: Path, wrong: str
) -> None:
    assert password.username.endswith(ONE)
    pair = REFUSED[wrong](stack.kafka.providers_authority, stack.prefix)
    assert not await is_let_in(with_pair(stack, pair, tmp_path))


async def test_the_brokers_authority_makes_no_providers(
    stack: Stack, password: Login, tmp_path: Path
) -> None:
    brokers = Authority.read(stack.ca_file, stack.ca_file.with_name("brokers-ca.key.pem"))
    pair = brokers.issue_for_provider(ONE, stack.prefix)
    assert password.username.endswith(ONE)
    assert not await is_let_in(with_pair(stack, pair, tmp_path))


def test_an_id_that_was_never_added_sees_nothing_with_its_certificate(stack: Stack, tmp_path: Path) -> None:
    pair = stack.kafka.providers_authority.issue_for_provider("neveraddedxx", stack.prefix)
    assert visible(with_pair(stack, pair, tmp_path)) == set()


def test_a_name_under_another_prefix_is_another_provider(
    stack: Stack, password: Login, tmp_path: Path
) -> None:
    assert password.username.endswith(ONE)
    pair = stack.kafka.providers_authority.issue_for_provider(ONE, "elsewhere.")
    assert visible(with_pair(stack, pair, tmp_path)) == set()


async def test_without_a_certificate_the_certificate_listener_lets_nobody_in(stack: Stack) -> None:
    admin = Connection(stack.providers_bootstrap, stack.admin.username, stack.admin.password, stack.ca_file)
    assert not await is_let_in(admin)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=stack.providers_bootstrap,
        security_protocol="SSL",
        ssl_context=ssl.create_default_context(cafile=stack.ca_file),
        request_timeout_ms=5_000,
    )
    with pytest.raises(KafkaConnectionError):
        await consumer.start()
    await consumer.stop()


async def test_on_the_other_listeners_a_certificate_is_no_login(
    stack: Stack, by_certificate: Connection
) -> None:
    for address in (stack.bootstrap_servers, stack.services_bootstrap):
        elsewhere = Connection(
            address,
            by_certificate.username,
            ca_file=stack.ca_file,
            certificate_file=by_certificate.certificate_file,
            key_file=by_certificate.key_file,
        )
        assert not await is_let_in(elsewhere)


@pytest.mark.parametrize("mechanism", ["SASL_PLAINTEXT", "PLAINTEXT"])
async def test_without_tls_no_listener_lets_anybody_in(stack: Stack, mechanism: str) -> None:
    for address in (stack.bootstrap_servers, stack.services_bootstrap, stack.providers_bootstrap):
        consumer = AIOKafkaConsumer(
            bootstrap_servers=address,
            security_protocol=mechanism,
            sasl_mechanism="SCRAM-SHA-512",
            sasl_plain_username=stack.admin.username,
            sasl_plain_password=stack.admin.password,
            request_timeout_ms=5_000,
        )
        with pytest.raises(KafkaConnectionError):
            await consumer.start()
        await consumer.stop()


async def test_a_client_that_trusts_another_authority_says_its_password_to_nobody(
    stack: Stack, tmp_path: Path
) -> None:
    Authority.new("Linepool brokers").write(tmp_path / "ca.pem", tmp_path / "ca.key.pem")
    stranger = Connection(
        stack.bootstrap_servers, stack.admin.username, stack.admin.password, tmp_path / "ca.pem"
    )
    assert not await is_let_in(stranger)
    with pytest.raises(KafkaException):
        AdminClient({**stranger.properties(), "log_level": 0}).list_topics(timeout=3)


def test_a_certificate_whose_rules_are_gone_opens_nothing_although_its_session_stays(stack: Stack) -> None:
    pid = "tlsgonetlsgo"
    login = stack.add_provider(pid)
    made = stack.issue_certificate(pid)
    session = Producer(
        {
            **Connection(
                stack.providers_bootstrap,
                login.username,
                ca_file=stack.ca_file,
                certificate_file=made.certificate_file,
                key_file=made.key_file,
            ).properties(),
            "enable.idempotence": True,
            "log_level": 0,
        }
    )

    def refused() -> object:
        outcome: list[object] = []

        def told(error: object, _: Message) -> None:
            outcome.append(error)

        session.produce(f"{stack.prefix}replies.{pid}", b"x", on_delivery=told)
        assert session.flush(SECONDS) == 0
        return outcome[0]

    assert refused() is None
    admin = admin_client(stack.bootstrap_servers, stack.admin, stack.ca_file)
    rules = AclBindingFilter(
        ResourceType.ANY,
        None,
        ResourcePatternType.ANY,
        f"User:{login.username}",
        None,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    for deleted in admin.delete_acls([rules]).values():
        assert len(deleted.result(SECONDS)) == 4
    assert refused() is not None


async def test_a_deleted_users_open_session_ends_when_its_login_is_due_again(tmp_path: Path) -> None:
    session = timedelta(seconds=3)
    kafka = LocalKafka(tmp_path / "kafka", session)
    kafka.start()
    try:
        # Its rules stay: what ends here, ends because the user is gone.
        login = add_provider(Broker(kafka.bootstrap_servers, kafka.admin, kafka.ca_file), ONE, "known")
        open_ = {
            address: AIOKafkaProducer(
                **Connection(address, login.username, login.password, kafka.ca_file).arguments(),
                acks="all",
                request_timeout_ms=2_000,
            )
            for address in (kafka.bootstrap_servers, kafka.services_bootstrap)
        }
        for producer in open_.values():
            await producer.start()
            await producer.send_and_wait(f"replies.{ONE}", b"before")
        admin = admin_client(kafka.bootstrap_servers, kafka.admin, kafka.ca_file)
        gone = UserScramCredentialDeletion(login.username, ScramMechanism.SCRAM_SHA_512)
        for deleted in admin.alter_user_scram_credentials([gone]).values():
            deleted.result(SECONDS)

        async def still_writes(address: str) -> bool:
            try:
                await open_[address].send_and_wait(f"replies.{ONE}", b"after")
            except KafkaError:
                return False
            return True

        deadline = monotonic() + session.total_seconds() + SECONDS
        while await still_writes(kafka.bootstrap_servers):
            assert monotonic() < deadline, "the session goes on"
        # Where logins are not renewed a session lasts, which is why rules are deleted too.
        assert await still_writes(kafka.services_bootstrap)
        for producer in open_.values():
            await producer.stop()
    finally:
        kafka.kill()
