"""Each command sequence of docs/runbooks.md, as it stands there, on real servers and with all processes.

The tests follow each other on one stack: what is backed up first is restored by the next ones, and the last one leaves a Kafka
behind that has lost something for good.
"""

import asyncio
import json
import re
import shutil
import ssl
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from uuid import UUID

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from confluent_kafka.admin import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourcePatternType,
    ResourceType,
)

from deploy.local.kafka import LocalKafka
from deploy.local.postgres import LocalPostgres
from deploy.local.services import Services
from deploy.local.sources import ForeignPostgres
from deploy.local.stack import Stack
from linepool.client.journal import read_all
from shared.messages.aggregation import GroupOpened
from shared.messages.bidding import MessageRejected, ReceiptIssued
from shared.messages.distribution import RequestPresented
from shared.messages.providers import InvitationAcknowledged
from shared.messages.rfp import RequestDrafted
from shared.signing import is_signed, seal_key_statement
from tests.flow.purchase import Purchase, buy, form, issue, verify
from tests.integration.bundles import bundle
from tests.integration.runbooks import Runbooks
from tests.integration.small_disk import SmallDisk
from tests.integration.system import PROVIDERS, RealSystem, own_stack, running_system
from tests.integration.test_providers import fill_in, run

BY_HAND, SECOND, THIRD = PROVIDERS
pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealSystem]:
    """All processes on a stack of their own; a message that fails twice is stuck."""
    with own_stack(tmp_path_factory.mktemp("runbooks")) as stack:
        async with running_system(stack, environment={"LINEPOOL_PARK_RETRIES": "2"}) as system:
            yield system


@pytest.fixture(scope="module")
async def book(here: RealSystem, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Runbooks]:
    """The page, opened at this system."""
    async with Runbooks(here, tmp_path_factory.mktemp("operator")).open() as opened:
        yield opened


@dataclass
class BackedUp:
    """A purchase that was backed up in its middle, and a provider's reply from after that."""

    purchase: Purchase
    provider: Path
    """The folder in which the provider works, with its bundle and its inbox."""
    receipt: str
    """Of the reply; its place in that folder."""


@pytest.fixture(scope="module")
async def backed_up(here: RealSystem, book: Runbooks, tmp_path_factory: pytest.TempPathFactory) -> BackedUp:
    """One provider has replied before the backup, and another after it, as a person would."""
    purchase = here.purchase()
    about = purchase.purchase_id
    await form(here, purchase)
    snapshot = await issue(here, purchase, datetime.now(UTC) + timedelta(hours=1))
    await verify(here, purchase, snapshot)
    await here.word(THIRD, purchase.declining())
    presented = await here.until(RequestPresented, about, provider_id=SECOND)
    await here.word(SECOND, purchase.sealed_reply(1, presented))
    await here.rest()
    await book.run("backup")
    assert {"linepool.dump", "kafka"} == {one.name for one in (book.folder / "backup").iterdir()}
    folder = tmp_path_factory.mktemp("provider")
    bundle(here, BY_HAND, folder / "bundle")
    await run("linepool", "provider", "inbox", "inbox", "--bundle", "bundle", "--wait", "60", cwd=folder)
    mine = f"*-{str(about)[:8]}"
    fill_in(folder, mine)
    (sheet,) = folder.glob(f"inbox/{mine}/price-sheet.xlsx")
    await run(
        *("linepool", "provider", "submit", "--bundle", "bundle", "--yes", "--sheet", str(sheet)), cwd=folder
    )
    (receipt,) = folder.glob(f"inbox/{mine}/replies/0001.receipt.json")
    done = BackedUp(purchase, folder, str(receipt.relative_to(folder)))
    assert "exactly the bytes" in await verified(done)
    return done


async def verified(done: BackedUp) -> str:
    """Let the provider renew its inbox and verify its receipt; both must end well."""
    await run("linepool", "provider", "inbox", "inbox", "--bundle", "bundle", cwd=done.provider)
    return await run("linepool", "provider", "verify", done.receipt, "--bundle", "bundle", cwd=done.provider)


async def alarmed(system: RealSystem, kind: str, service: str) -> None:
    """Wait until a service has raised an alarm since it started."""
    deadline = monotonic() + 60
    wanted = re.compile(rb'^linepool_alarms_total\{.*kind="%b".*\} [1-9]' % kind.encode(), re.MULTILINE)
    while True:
        try:
            if wanted.search(system.metrics(service)):
                return
        except OSError:
            pass
        assert monotonic() < deadline, f"{service} raises no alarm {kind}"
        await asyncio.sleep(0.2)


async def test_a_lost_database_is_restored_and_catches_up_with_kafka(
    here: RealSystem, book: Runbooks, backed_up: BackedUp
) -> None:
    young = here.purchase()
    await form(here, young)
    await here.rest()
    await book.run("restore-database")
    await book.run("everything-runs")
    await here.rest()
    await book.run("all-is-well")
    assert "exactly the bytes" in await verified(backed_up)
    await here.check()


async def database(system: RealSystem, statement: str) -> list[asyncpg.Record]:
    """Do something to the database as its administrator would by hand."""
    connection = await asyncpg.connect(system.stack.admin_dsn)
    try:
        found: list[asyncpg.Record] = await connection.fetch(statement)
    finally:
        await connection.close()
    return found


async def until(condition: Callable[[], Awaitable[object]], what: str, *, within: float = 200) -> None:
    """Wait until a condition holds."""
    deadline = monotonic() + within
    while not await condition():
        assert monotonic() < deadline, f"{what} within {within:.0f} s"
        await asyncio.sleep(0.2)


async def test_a_stuck_message_is_tried_again_once_its_cause_is_mended_or_given_up(
    here: RealSystem, book: Runbooks
) -> None:
    await database(here, "REVOKE INSERT ON rfp.buyers FROM rfp")
    mended, given_up = here.purchase(), here.purchase()
    for purchase in (mended, given_up):
        await here.order(purchase.opening(), purchase.coordinator)
        await here.order(purchase.joining(1), purchase.coordinator)

    async def stuck() -> dict[str, int]:
        rows = await database(here, "SELECT id, key FROM rfp.parked WHERE state = 'stuck'")
        return {row["key"].decode(): row["id"] for row in rows}

    async def both() -> bool:
        return len(await stuck()) == 2

    await until(both, "both messages are stuck")
    lost = str((await stuck())[str(given_up.purchase_id)])
    said = await book.run("parked-look", SERVICE="rfp", ID=lost)
    assert said.count("stuck") == 3
    assert "InsufficientPrivilegeError" in said
    assert "ce_type: linepool.buyer-joined.v1" in said
    await database(here, "GRANT INSERT ON rfp.buyers TO rfp")
    await book.run("parked-discard", SERVICE="rfp", ID=lost)
    assert "tries 1 stuck messages again" in await book.run("parked-retry", SERVICE="rfp")

    async def handled() -> bool:
        return not await database(here, "SELECT FROM rfp.parked")

    await until(handled, "nothing is parked")
    ids = f"'{mended.purchase_id}', '{given_up.purchase_id}'"
    rows = await database(here, f"SELECT purchase_id FROM rfp.buyers WHERE purchase_id IN ({ids})")
    assert [row["purchase_id"] for row in rows] == [mended.purchase_id]


async def test_the_portal_and_notification_are_built_anew_from_the_topics(
    here: RealSystem, book: Runbooks
) -> None:
    await here.rest()
    before = {statement: await known(here, statement) for statement in KNOWN}
    mails = len(list(here.stack.mail_folder.glob("*.eml")))
    for service in ("portal", "notification"):
        await book.run("rebuild", SERVICE=service)
    await book.run("everything-runs")
    await here.rest()
    assert all(before.values())
    assert [statement for statement in KNOWN if await known(here, statement) != before[statement]] == []
    assert len(list(here.stack.mail_folder.glob("*.eml"))) == mails


# Left out: the order in which facts of several topics came, and when something was told.
KNOWN = (
    "SELECT * FROM portal.accounts",
    "SELECT key, person_id, kind, number, state FROM portal.credentials",
    "SELECT event_id, purchase_id, stream, type, subject, said_at, caused_by, ordered_by, body FROM portal.facts",
    "SELECT * FROM portal.purchases",
    "SELECT * FROM portal.concerned",
    "SELECT * FROM notification.contacts",
    "SELECT * FROM notification.purchases",
    "SELECT cause_id, purchase_id, type, body, told_at IS NULL FROM notification.facts",
    "SELECT mail_id, purchase_id, person_id, kind, delivered_at IS NULL, failed_at IS NULL FROM notification.mails",
)


async def known(system: RealSystem, statement: str) -> list[str]:
    return sorted(repr(tuple(row)) for row in await database(system, statement))


async def test_a_provider_comes_is_cut_off_comes_back_and_goes(book: Runbooks) -> None:
    name = "Nordlicht Telekom GmbH"
    added = await book.run("provider-on", NAME=name)
    off = await book.run("provider-off", NAME=name)
    back = await book.run("provider-back", NAME=name)
    gone = await book.run("provider-gone", NAME=name)

    def row(said: str) -> str:
        """Return the provider's line of the list, without its name and id."""
        [found] = re.findall(rf"^ *{name} +[a-z0-9]{{12}} +(.*)$", said, re.MULTILINE)
        return str(found)

    assert f"{name} is admitted" in added
    assert "admitted" in row(added)
    assert f"{name} is suspended" in off
    assert ("suspended" in row(off), "cut off" in row(off)) == (True, True)
    assert f"{name} is reinstated" in back
    assert f"{name} is removed" in gone
    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in book.folder.glob("*.zip")}
    assert modes == {"bundle.zip": 0o600, "new-bundle.zip": 0o600}


async def test_what_was_changed_at_the_broker_by_hand_is_seen_and_put_right(
    here: RealSystem, book: Runbooks
) -> None:
    admin, prefix = here.stack.broker.client(), here.stack.prefix
    right = AclBindingFilter(
        ResourceType.GROUP,
        f"{prefix}rfp.",
        ResourcePatternType.PREFIXED,
        f"User:{prefix}rfp",
        "*",
        AclOperation.READ,
        AclPermissionType.ALLOW,
    )
    kept = ConfigEntry("retention.ms", "604800000", incremental_operation=AlterConfigOpType.SET)
    topic = ConfigResource(ConfigResource.Type.TOPIC, f"{prefix}rfp.events", incremental_configs=[kept])
    changed = [*admin.delete_acls([right]).values(), *admin.incremental_alter_configs([topic]).values()]
    for one in changed:
        one.result(30)

    async def refused() -> bool:
        return not await asyncio.to_thread(here.services.is_ready, "rfp")

    await until(refused, "rfp is not ready")
    said = await book.run("access-look", code=1)
    assert f"rule missing: User:{prefix}rfp may READ GROUP {prefix}rfp." in said
    assert f"setting of {prefix}rfp.events: retention.ms must be -1" in said
    await book.run("access-mend")
    await book.run("everything-runs")


async def test_a_lost_kafka_is_put_back_to_an_older_copy_and_receipts_hold(
    here: RealSystem, book: Runbooks, backed_up: BackedUp
) -> None:
    about = backed_up.purchase.purchase_id
    seen = acknowledgement(about)
    await here.word(SECOND, seen)
    await here.rest()
    # What notification is still to read when Kafka is lost, it will never read.
    await asyncio.to_thread(here.services.stop_one, "notification")
    unheard = here.purchase()
    await here.order(unheard.opening(), unheard.coordinator)
    await here.until(GroupOpened, unheard.purchase_id)

    await book.run("restore-kafka")
    said = await book.run("what-is-lost", code=1)
    gone = f"aggregation.events: GroupOpened of {unheard.purchase_id} (version 1) is gone: not read by notification"
    assert gone in said.splitlines()
    assert str(about) not in said

    # Started too early, the services say so, and pass over what comes.
    await asyncio.to_thread(start_all, here, book)
    await alarmed(here, "topic_began_anew", "bidding")
    passed_over = await here.word(SECOND, seen)
    assert "is running; stop all its processes first" in await book.run("read-again", code=1)
    await asyncio.to_thread(stop_all, here)
    assert not await answers(here, passed_over)

    await book.run("read-again")
    await book.run("everything-runs")
    deadline = monotonic() + 60
    while not await answers(here, passed_over):
        assert monotonic() < deadline, "what was passed over is not answered"
        await asyncio.sleep(0.2)
    assert "exactly the bytes" in await verified(backed_up)
    # The reply is on no topic any more, and stands: only one that stands can be withdrawn.
    request = str(Path(backed_up.receipt).parents[1])
    said = await run(
        "linepool", "provider", "withdraw", request, "--bundle", "bundle", cwd=backed_up.provider
    )
    assert said.startswith("Receipt: taken at ")


def acknowledgement(purchase_id: UUID) -> InvitationAcknowledged:
    return InvitationAcknowledged(purchase_id=purchase_id, request_version=1, content_sha256="0" * 64)


async def answers(system: RealSystem, message_id: str) -> list[ReceiptIssued]:
    """Return the receipts that a provider finds at the broker now for a message."""
    found = await read_all(system.connections[SECOND], [f"notices.{SECOND}"])
    receipts = [one for entry in found if (one := entry.says(ReceiptIssued)) is not None]
    return [one for one in receipts if one.message_id == message_id]


def start_all(system: RealSystem, book: Runbooks) -> None:
    for name in system.services.names:
        book.start(name)
    system.services.wait_ready()


def stop_all(system: RealSystem) -> None:
    for name in system.services.names:
        system.services.stop_one(name)


async def test_the_passwords_of_a_service_are_changed(here: RealSystem, book: Runbooks) -> None:
    old = book.read("rfp")
    await book.run("rotate-postgres", SERVICE="rfp")
    await book.run("rotate-kafka", SERVICE="rfp")
    new = book.read("rfp")
    await book.run("everything-runs")
    changed = {name for name in old if old[name] != new[name]}
    assert changed == {"LINEPOOL_POSTGRES_DSN", "LINEPOOL_KAFKA_PASSWORD"}
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(old["LINEPOOL_POSTGRES_DSN"])
    outdated = replace(
        here.connections["admin"],
        username=old["LINEPOOL_KAFKA_USERNAME"],
        password=old["LINEPOOL_KAFKA_PASSWORD"],
    )
    producer = AIOKafkaProducer(**outdated.arguments())
    try:
        with pytest.raises(KafkaError):
            await producer.start()
    finally:
        await producer.stop()


async def test_the_openers_secret_is_changed_while_no_box_is_open(here: RealSystem, book: Runbooks) -> None:
    before = book.read("opener")["LINEPOOL_SECRET"]
    await book.run("rotate-opener")
    await book.run("everything-runs")
    assert book.read("opener")["LINEPOOL_SECRET"] != before
    keys = json.loads((book.folder / "keys.json").read_text())
    purchase = here.purchase()
    await buy(here, purchase, seconds=here.soon)
    shown = await here.until(RequestPresented, purchase.purchase_id, provider_id=SECOND)
    said = seal_key_statement(purchase.purchase_id, 1, shown.public_key or "")
    assert is_signed(keys["seal_keys"], said, shown.key_signature or "")


async def test_a_full_disk_loses_nothing_and_all_goes_on_once_there_is_room(
    here: RealSystem, book: Runbooks
) -> None:
    postgres, kafka = here.stack.postgres, here.stack.kafka
    assert isinstance(postgres, LocalPostgres)
    assert isinstance(kafka, LocalKafka)
    purchase = here.purchase()
    sent: list[str] = []

    async def say() -> None:
        sent.append(await here.word(SECOND, acknowledgement(purchase.purchase_id)))

    async def answered() -> bool:
        found = await read_all(here.connections[SECOND], [f"notices.{SECOND}"])
        rejected = [one for entry in found if (one := entry.says(MessageRejected)) is not None]
        return set(sent) <= {one.message_id for one in rejected}

    folders = [here.stack.folder / name / "data" for name in ("postgres", "kafka")]
    async with small_disks(book, *folders) as (rows, records):
        await book.run("everything-runs")
        begun = here.services.log("bidding").stat().st_size
        rows.fill()

        async def refused() -> bool:
            await say()
            with here.services.log("bidding").open() as log:
                log.seek(begun)
                return "DiskFullError" in log.read() or postgres.pid is None

        await until(refused, "Postgres says that its disk is full")
        rows.enlarge()
        await book.run("disk-has-room")
        await until(answered, "everything said is answered")

        records.fill()
        saying = asyncio.create_task(say())

        async def ended() -> bool:
            return kafka.pid is None

        await until(ended, "the broker has ended")
        records.enlarge()
        await book.run("disk-has-room")
        await saying
        await until(answered, "everything said is answered")
        await book.run("everything-runs")


@asynccontextmanager
async def small_disks(book: Runbooks, *folders: Path) -> AsyncIterator[list[SmallDisk]]:
    """Put the servers' data on disks with little room; they stand still while it is moved there and back."""
    disks = [SmallDisk(folder) for folder in folders]
    names = ("postgres", "kafka")

    def moved(move: Callable[[SmallDisk], None]) -> None:
        for name in names:
            book.stop(name)
        for disk in disks:
            move(disk)
        for name in names:
            book.start(name)

    await asyncio.to_thread(moved, lambda disk: disk.mount(room=8 * 2**20))
    try:
        yield disks
    finally:
        await asyncio.to_thread(moved, SmallDisk.unmount)


async def test_a_release_with_a_new_migration_is_put_in_and_taken_back(
    here: RealSystem, book: Runbooks, tmp_path: Path
) -> None:
    new, old = tmp_path / "next", Path(__file__).parents[2]
    for package in ("services", "shared", "linepool", "deploy"):
        shutil.copytree(old / package, new / package, ignore=shutil.ignore_patterns("__pycache__"))
    migration = "9000_next_release.sql"
    (new / "services/rfp/migrations" / migration).write_text("ALTER TABLE requests ADD COLUMN next text;")
    with (new / "services/rfp/__init__.py").open("a") as code:
        code.write('\nprint("the next release runs")\n')
    said = await book.run("upgrade", NEW_RELEASE=str(new))
    assert f"applied service/{migration}" in said
    await book.run("everything-runs")
    assert here.services.log("rfp").read_text().count("the next release runs") == 1
    await book.run("rollback", OLD_RELEASE=str(old))
    await book.run("everything-runs")
    purchase = here.purchase()
    await form(here, purchase)
    await here.until(RequestDrafted, purchase.purchase_id)
    assert here.services.log("rfp").read_text().count("the next release runs") == 1


async def test_the_brokers_authority_is_changed_and_the_old_one_trusted_no_more(
    here: RealSystem, book: Runbooks, tmp_path: Path
) -> None:
    old = tmp_path / "old.pem"
    old.write_bytes(here.stack.ca_file.read_bytes())
    await book.run("trust-both")
    await book.run("everything-runs")
    # The test's own clients must trust both too, as people and providers do.
    for client in (here.journal._consumer._client, *(one.client for one in here.producers.values())):
        client._ssl_context.load_verify_locations(here.stack.ca_file)
    for step in ("change-the-broker", "trust-the-new"):
        await book.run(step)
        await book.run("everything-runs")
    host, _, port = here.stack.bootstrap_servers.partition(":")
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection(host, int(port), ssl=ssl.create_default_context(cafile=old))


@dataclass
class Installed:
    """A second installation on the same servers: a prefix and a database of its own."""

    stack: Stack
    services: Services


@pytest.mark.usefixtures("book")
async def test_everything_is_installed_anew(here: RealSystem, tmp_path: Path) -> None:
    # The roles belong to the server, and get other passwords.
    await asyncio.to_thread(stop_all, here)
    await database(here, "CREATE DATABASE installed")
    dsn = f"{here.stack.admin_dsn.rpartition('/')[0]}/installed"
    stack = replace(here.stack, prefix="installed.", postgres=ForeignPostgres(dsn), folder=tmp_path)
    services = Services(stack, restarts=False)
    anew = Runbooks(Installed(stack, services), tmp_path / "operator")
    try:
        async with anew.open(settings=False):
            await anew.run(
                "install", SMTP_HOST=stack.smtp_host, SMTP_PORT=str(stack.smtp_port), SMTP_SECURITY="none"
            )
            # What the page did not set would come from this process, and the page would seem to work.
            for name in services.names:
                needed = services.environment_of(name).keys()
                assert needed - anew.read(name).keys() <= {
                    "LINEPOOL_HTTP_PORT",
                    "LINEPOOL_SESSION_TIMEOUT_MS",
                }
            await anew.run("everything-runs")
            await anew.run("all-is-well")
    finally:
        await asyncio.to_thread(services.stop)
