"""What an operator owes to persons, on the real stack: export and erasure, with the compaction that makes the topics forget.

Every byte of the compacted topics and of the events, every table, every log and metric is searched for canaries. Not searched:
the topics of orders and of evidence, whose records the broker removes by their age, as the command says of each.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from deploy.local.services import Services
from deploy.local.stack import Stack, start_stack
from linepool.client.connection import Connection
from linepool.people.documents import parts_of
from shared.envelope import Envelope
from shared.messages import Message
from shared.messages.people import ContactErased, CredentialErased
from tests.canaries import Search, keep_values_plain, new_canary, search_tables
from tests.integration.system import SERVICE_SETTINGS, SESSION_TIMEOUT_MS
from tests.integration.test_portal import OWN, mailed, until

COMPACTED = ("aggregation.contacts", "aggregation.credentials")
SEARCHED = (*COMPACTED, "aggregation.events", "notification.events")
COMPACTION_S = 240.0


@dataclass(frozen=True)
class Place:
    """A stack with the services that know persons."""

    stack: Stack
    services: Services
    folder: Path

    async def linepool(self, *command: str, exits: int = 0) -> str:
        """Run `linepool` as the operator; return what it prints."""
        stack = self.stack
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "linepool",
            *command,
            cwd=self.folder,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "LANG": "C.UTF-8",
                "LINEPOOL_KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
                "LINEPOOL_KAFKA_USERNAME": stack.admin.username,
                "LINEPOOL_KAFKA_PASSWORD": stack.admin.password,
                "LINEPOOL_KAFKA_CA_FILE": str(stack.ca_file),
                "LINEPOOL_TOPIC_PREFIX": stack.prefix,
                "LINEPOOL_OPERATOR_PASSWORD": stack.login("operator").password,
                "LINEPOOL_OPERATOR_ID": str(UUID(int=99)),
                "LINEPOOL_POSTGRES_DSN": stack.admin_dsn,
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, complained = await process.communicate()
        assert process.returncode == exits, (command, said.decode(), complained.decode()[-2000:])
        return said.decode()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    with start_stack(tmp_path / "stack", {**os.environ, "LINEPOOL_STACK": "local"}) as stack:
        services = Services(stack, session_timeout_ms=SESSION_TIMEOUT_MS, environment=SERVICE_SETTINGS)
        try:
            await asyncio.to_thread(services.start_all)
            connection = await asyncpg.connect(stack.admin_dsn)
            await keep_values_plain(connection, list(services.names))
            await connection.close()
            yield Place(stack, services, tmp_path)
        finally:
            await asyncio.to_thread(services.stop)


@pytest.fixture
async def portal(place: Place) -> AsyncIterator[httpx.AsyncClient]:
    address = f"http://127.0.0.1:{place.services.port('portal')}/v1"
    async with httpx.AsyncClient(base_url=address, timeout=30) as client:
        yield client


async def test_an_erased_person_is_gone_from_tables_at_once_and_from_topics_after_compaction(
    place: Place, portal: httpx.AsyncClient
) -> None:
    name, local_part, file_name = (new_canary() for _ in range(3))
    email = f"{local_part}@harbour.example"
    person, purchase = await coordinator(place, portal, f"{name} Okafor", email)
    await file_about(place, portal, person, purchase, file_name)
    canaries = [name, local_part, file_name]

    exported = json.loads(await place.linepool("person", "export", str(person)))
    assert exported["contacts"] == [{"name": f"{name} Okafor", "email": email, "phone": None}]
    assert {one["table"] for one in exported["tables"]} >= {"notification.contacts", "portal.accounts"}
    assert {one["topic"] for one in exported["records"]} >= {"aggregation.contacts", "aggregation.commands"}
    papers = [(one["topic"], one["kind"]) for one in exported["papers"]]
    assert papers == [
        (topic, "identity_document") for topic in ("aggregation.evidence", "aggregation.commands")
    ]
    assert (await in_tables(place, canaries)).found == set(canaries)
    assert in_segments(place, canaries).found == {name, local_part}

    refused = await place.linepool("person", "erase", str(person), "--yes", exits=1)
    assert "A purchase that is not over needs this person." in refused
    dissolved = await portal.post(f"/purchases/{purchase}/dissolve-group", json={"reason": "Too few."})
    assert dissolved.status_code == 200, dissolved.text
    said = await place.linepool("person", "erase", str(person), "--yes")
    assert "No table holds anything that reaches this person." in said
    assert "(linepool.open-group.v1) is gone by" in said
    for paper, days in zip(exported["papers"], (90, 7), strict=True):
        gone_by = datetime.fromisoformat(paper["gone_by"])
        assert timedelta(days) < gone_by - datetime.now(UTC) <= timedelta(days + 1)
        assert f"keeps a document about this person until {gone_by:%Y-%m-%d %H:%M} UTC, as proof" in said
    assert file_name not in said

    kept = await in_tables(place, canaries)
    assert kept.hits == []
    assert (await portal.get("/me")).status_code == 401
    await compacted(place, canaries)
    again = json.loads(await place.linepool("person", "export", str(person)))
    assert again["tables"] == []
    assert {one["topic"] for one in again["records"]} == {"aggregation.commands"}


async def coordinator(place: Place, portal: httpx.AsyncClient, name: str, email: str) -> tuple[UUID, UUID]:
    """Open a group and sign in; return the person and the purchase."""
    opening = {
        "name": "Harbour",
        "currency": "EUR",
        "tax_basis": "net",
        "contact": {"name": name, "email": email},
    }
    opened = await portal.post("/purchases", json=opening)
    assert opened.status_code == 202, opened.text
    initial = await mailed(place, email, r"^\s+([0-9A-Z]{26})\s*$")

    async def sign_in() -> dict[str, str] | None:
        answer = await portal.post(
            "/sessions", json={"email": email, "password": initial, "new_password": OWN}
        )
        return answer.json() if answer.status_code == 201 else None

    signed = await until(sign_in)
    portal.headers["Authorization"] = f"Bearer {signed['token']}"
    return UUID(signed["person_id"]), UUID(opened.json()["purchase_id"])


async def file_about(
    place: Place, portal: httpx.AsyncClient, person: UUID, purchase: UUID, name: str
) -> None:
    """File a document about the coordinator, whose name says something of them."""
    file = place.folder / f"{name}.txt"
    file.write_text("Who this is, and where they live.")
    [part] = parts_of(file)
    filed = await portal.post(
        f"/purchases/{purchase}/file-evidence",
        json={"party": "coordinator", "party_id": str(person), "kind": "identity_document", **part},
    )
    assert filed.status_code == 200, filed.text


async def in_tables(place: Place, canaries: Sequence[str]) -> Search:
    """Search tables, logs and metrics."""
    found = Search(canaries)
    connection = await asyncpg.connect(place.stack.admin_dsn)
    try:
        await search_tables(found, connection, place.services.names)
    finally:
        await connection.close()
    for service in place.services.names:
        found.data(f"log of {service}", await asyncio.to_thread(place.services.log(service).read_bytes))
    return found


async def compacted(place: Place, canaries: Sequence[str]) -> None:
    """Let the broker compact at once, and wait until no file of the topics that last holds a canary."""
    stack = place.stack
    hasty = {"segment.ms": "100", "min.cleanable.dirty.ratio": "0.0", "file.delete.delay.ms": "500"}
    admin = Connection(
        stack.bootstrap_servers, stack.admin.username, stack.admin.password, stack.ca_file, stack.prefix
    )
    client = AdminClient(admin.properties())
    resources = [
        ConfigResource(
            ResourceType.TOPIC,
            stack.prefix + topic,
            incremental_configs=[
                ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
                for key, value in hasty.items()
            ],
        )
        for topic in COMPACTED
    ]
    for changed in client.incremental_alter_configs(resources).values():
        await asyncio.to_thread(changed.result, 30)
    until_then = monotonic() + COMPACTION_S
    async with AIOKafkaProducer(**admin.arguments(), acks="all") as producer:
        while True:
            # Only a closed segment is compacted, and one is closed by the next record of its partition.
            for topic in COMPACTED:
                for partition in range(3):
                    await send_filler(producer, stack.prefix, topic, partition)
            search = await asyncio.to_thread(in_segments, place, canaries)
            if not search.hits:
                break
            assert monotonic() < until_then, search.hits
            await asyncio.sleep(1)
    assert search.opaque == []
    assert search.bytes_searched > 0


async def send_filler(producer: AIOKafkaProducer, prefix: str, topic: str, partition: int) -> None:
    """Erase somebody who never was."""
    nobody = uuid4()
    message: Message = (
        ContactErased(person_id=nobody)
        if topic == "aggregation.contacts"
        else CredentialErased(key=str(nobody))
    )
    envelope = Envelope(
        id=uuid4(),
        type=message.type(),
        source="/linepool/test",
        subject=message.subject,
        time=datetime.now(UTC),
        sequence=1,
        correlation_id=nobody,
        causation_id=nobody,
    )
    await producer.send_and_wait(
        prefix + topic,
        message.to_body(),
        key=message.subject.encode(),
        partition=partition,
        headers=envelope.to_headers(),
    )


def in_segments(place: Place, canaries: Sequence[str]) -> Search:
    """Search every byte that the broker keeps of the topics that last."""
    found = Search(canaries)
    for topic in SEARCHED:
        folders = [*place.stack.folder.rglob(f"{place.stack.prefix}{topic}-[0-9]")]
        assert folders
        for folder in folders:
            found.folder(folder)
    return found
