"""Messages without a body: they erase at Kafka, and are messages like any other everywhere else."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from shared.adoption import AdoptedEvent, adopt, load
from shared.chain import LogEntry
from shared.delivery import Publish, Tx
from shared.messages.aggregation import ContactRecorded, GroupOpened
from shared.messages.people import ContactErased, CredentialErased
from shared.postgres import connect
from shared.service import serve
from shared.settings import ServiceSettings
from shared.streams import Streams
from tests.memory import TEST_SETTINGS, MemoryKafka, Running, running
from tests.service.delivery.delivery_desk import Disturbance, opened, parked, try_again


class Register:
    """What a service's handlers of a compacted topic did."""

    def __init__(self) -> None:
        self.streams = Streams("aggregation")
        self.read: list[object] = []
        self.fails = False
        contacts = self.streams.events("aggregation.contacts")

        @contacts.handle
        async def learn(event: ContactRecorded, tx: Tx) -> None:
            assert tx is not None
            self.read.append(event.name)

        @contacts.handle
        async def forget(event: ContactErased, tx: Tx) -> None:
            assert tx is not None
            if self.fails:
                raise Disturbance
            self.read.append(event.person_id)

        @self.streams.events("aggregation.events").handle
        async def erase(event: GroupOpened, publish: Publish) -> None:
            if event.name == "record":
                await publish(recorded(event.purchase_id))
            else:
                await publish(ContactErased(person_id=event.purchase_id))


def recorded(person_id: UUID) -> ContactRecorded:
    return ContactRecorded(person_id=person_id, name="Ann", email="ann@example.org")


@pytest.fixture
def register() -> Register:
    return Register()


@pytest.fixture
async def service(
    database: str, kafka: MemoryKafka, register: Register, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    settings = ServiceSettings(**{**TEST_SETTINGS, "postgres_dsn": database})
    migrations = tmp_path_factory.mktemp("migrations")
    async with running(
        serve("aggregation", settings, register.streams, migrations=migrations), kafka
    ) as started:
        yield started


@pytest.mark.usefixtures("service")
async def test_what_erases_leaves_without_a_body_and_is_read_from_its_key(
    kafka: MemoryKafka, register: Register
) -> None:
    person = uuid4()
    kafka.event(opened("record", person))
    kafka.event(opened("erase", person))
    await kafka.settle()
    first, last = kafka.topics["aggregation.contacts"]
    assert first.value is not None
    assert (last.key, last.value) == (str(person).encode(), None)
    assert dict(last.headers)["ce_type"] == b"linepool.contact-erased.v1"
    assert register.read == ["Ann", person]


async def test_the_log_has_an_entry_for_it_that_the_chain_covers(
    service: Running, kafka: MemoryKafka
) -> None:
    person = uuid4()
    kafka.event(opened("record", person))
    kafka.event(opened("erase", person))
    await kafka.settle()
    first, last = await service.pool.fetch(
        "SELECT * FROM log WHERE stream = 'aggregation.contacts' ORDER BY sequence"
    )
    entry = LogEntry(**{name: last[name] for name in LogEntry.__dataclass_fields__})
    assert entry.type == "linepool.contact-erased.v1"
    assert entry.head_after(first["chain"]) == last["chain"]


async def test_it_is_read_once_however_often_it_comes(
    service: Running, kafka: MemoryKafka, register: Register
) -> None:
    kafka.copies = 3
    person = uuid4()
    kafka.event(ContactErased(person_id=person), sequence=1)
    await kafka.settle()
    service.rewind()
    await kafka.settle()
    assert register.read == [person]


async def test_it_waits_parked_and_is_tried_again(
    service: Running, kafka: MemoryKafka, register: Register
) -> None:
    register.fails = True
    person = uuid4()
    kafka.event(ContactErased(person_id=person))
    kafka.event(recorded(person))
    await kafka.settle()
    assert await parked(service) == [("failed", "Disturbance"), ("waiting", "behind another")]
    register.fails = False
    await try_again(service, kafka)
    assert register.read == [person, "Ann"]


@pytest.mark.parametrize("tries", [1, 2])
async def test_it_waits_behind_nothing_that_it_erases(
    service: Running, kafka: MemoryKafka, register: Register, tries: int
) -> None:
    person, other = uuid4(), uuid4()
    for about in (person, other):
        kafka.event(recorded(about))
        broken = kafka.topics["aggregation.contacts"].pop()
        kafka.append(broken.topic, b'{"email": "ann@example.org"}', broken.headers, broken.key)
    await kafka.settle()
    assert await parked(service) == [("failed", "Invalid")] * 2
    register.fails = tries > 1
    kafka.event(ContactErased(person_id=person))
    await kafka.settle()
    register.fails = False
    await try_again(service, kafka)
    assert register.read == [person]
    keys = await service.pool.fetch("SELECT key FROM parked")
    assert [row["key"] for row in keys] == [str(other).encode()]


async def test_one_with_a_body_and_one_about_nobody_are_parked(service: Running, kafka: MemoryKafka) -> None:
    kafka.event(ContactErased(person_id=uuid4()))
    sound = kafka.topics["aggregation.contacts"].pop()
    kafka.append(sound.topic, b"{}", sound.headers, sound.key)
    kafka.append(sound.topic, None, [(n, v) for n, v in sound.headers if n != "ce_id"], b"nobody")
    await kafka.settle()
    assert await parked(service) == [("failed", "Invalid"), ("failed", "Invalid")]


async def test_after_a_restore_it_is_adopted_and_not_said_again(service: Running, kafka: MemoryKafka) -> None:
    person = uuid4()
    kafka.event(opened("record", person))
    kafka.event(opened("erase", person))
    await kafka.settle()
    before = await rows_of_the_log(service)
    await forget_everything(service)
    await adopt_what_stands(service, kafka)
    service.rewind()
    await kafka.settle()
    assert len(kafka.topics["aggregation.contacts"]) == 2
    assert await rows_of_the_log(service) == before


async def test_after_a_restore_what_was_erased_and_dropped_does_not_come_back(
    service: Running, kafka: MemoryKafka
) -> None:
    person = uuid4()
    first = kafka.event(opened("record", person))
    await kafka.settle()
    # The decision said something else too, which stands; of the contact Kafka has kept the tombstone alone.
    await stands_on_events(service, first)
    kafka.event(opened("erase", person))
    await kafka.settle()
    await forget_everything(service)
    del kafka.topics["aggregation.contacts"][0]
    await adopt_what_stands(service, kafka)
    await stands_on_events(service, first)
    service.rewind()
    await kafka.settle()
    assert [record.value for record in kafka.topics["aggregation.contacts"]] == [None]


async def rows_of_the_log(service: Running) -> list[str]:
    return sorted(str(row) for row in await service.pool.fetch("SELECT * FROM log"))


async def forget_everything(service: Running) -> None:
    async with service.pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute("TRUNCATE log, inbox, positions, sequences, subjects, outbox, adopted")


async def adopt_what_stands(service: Running, kafka: MemoryKafka) -> None:
    async with connect(service.pool) as connection:
        for topic in ("aggregation.contacts",):
            records = [(list(record.headers), record.value) for record in kafka.topics[topic]]
            await adopt(connection, topic, records)
        service.runtime.adoptions = await load(connection)


async def stands_on_events(service: Running, decision: UUID) -> None:
    """Let an event of this decision be adopted, as one on an uncompacted stream would be."""
    service.runtime.adoptions.add(
        AdoptedEvent(
            uuid4(),
            decision,
            "linepool.group-opened.v1",
            "aggregation.events",
            "x",
            1,
            datetime.now(UTC) - timedelta(hours=1),
            b"{}",
            decision,
            None,
            b"",
        )
    )


def test_the_key_of_a_credential_is_what_is_erased() -> None:
    key = f"{uuid4()}/{uuid4()}"
    assert CredentialErased(key=key).subject == key
    assert CredentialErased.from_record(key.encode(), None) == CredentialErased(key=key)
