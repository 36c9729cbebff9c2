"""`linepool officer` from the shell, on the real broker, with the aggregation and rfp services running."""

import asyncio
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer

from deploy.local.services import Services
from deploy.local.stack import Stack, start_stack
from linepool.client.connection import Connection
from linepool.client.journal import open_journal
from shared.documents import manifest_of, split
from shared.envelope import Actor, command_headers
from shared.messages import Message
from shared.messages.aggregation import (
    AddBuyer,
    CloseGroup,
    Contact,
    GroupAggregated,
    Identifier,
    LineUsage,
    OpenGroup,
    Period,
    ReportUsage,
)
from shared.messages.base import PART_BYTES
from shared.messages.evidence import (
    Agency,
    EvidenceFiled,
    EvidencePart,
    FileEvidence,
    FileLetter,
    LetterFiled,
)
from shared.messages.rfp import RequestDrafted
from tests.integration.system import SERVICE_SETTINGS

Shell = Callable[..., subprocess.CompletedProcess[str]]
PURCHASE, COORDINATOR, BUYER, CONTACT, OFFICER = (uuid4() for _ in range(5))
EXTRACT = Random(7).randbytes(PART_BYTES + 100)  # noqa: S311 # bytes to repeat, no secret
LETTER = b"%PDF-1.7 a letter"
BY = Actor(person_id=COORDINATOR, role="coordinator")
SETTINGS = {
    **SERVICE_SETTINGS,
    "LINEPOOL_COMMAND_PATIENCE_S": "2",
    "LINEPOOL_QUALIFICATION_BUYER_LEVEL": "document_reviewed",
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with (
        start_stack(tmp_path_factory.mktemp("officer")) as running,
        Services(running, ["aggregation", "rfp"], environment=SETTINGS),
    ):
        yield running


@pytest.fixture(scope="module")
def closed(stack: Stack) -> Stack:
    """Let a group be closed, with a register extract of its buyer and a letter of agency."""
    asyncio.run(_form(stack))
    return stack


@pytest.fixture
def shell(closed: Stack, tmp_path: Path) -> Shell:
    outside = {key: value for key, value in os.environ.items() if not key.startswith("LINEPOOL_")}
    environment = outside | {
        "LINEPOOL_KAFKA_BOOTSTRAP_SERVERS": closed.bootstrap_servers,
        "LINEPOOL_OFFICER_PASSWORD": closed.login("officer").password,
        "LINEPOOL_OFFICER_ID": str(OFFICER),
        "LINEPOOL_TOPIC_PREFIX": closed.prefix,
        "LINEPOOL_KAFKA_CA_FILE": str(closed.ca_file),
    }

    def run(*words: str, expected: int = 0, **other: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "linepool", "officer", *words],
            cwd=tmp_path,
            env=environment | other,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == expected, done.stdout + done.stderr
        return done

    return run


def test_the_queue_shows_what_waits_and_names_no_person(shell: Shell) -> None:
    said = shell("queue").stdout
    for word in (str(PURCHASE), "Harbour towns", "Town of Aal", "not looked at", "register extract"):
        assert word in said
    assert "needs coordinator registry matched, 1 buyer document reviewed" in said
    assert "Ada" not in said
    assert "@" not in said
    (case,) = json.loads(shell("queue", "--json").stdout)
    assert case["waits"]
    assert case["policy"]["buyer_level"] == "document_reviewed"
    assert {one["party"]: one["needed"] for one in case["parties"]} == {
        "coordinator": "registry_matched",
        "buyer": "document_reviewed",
    }


def test_everything_about_a_party_is_shown_and_its_documents_are_saved(shell: Shell, tmp_path: Path) -> None:
    said = shell("show", str(PURCHASE)[:8], "town of aal", "--save", "papers")
    for word in (
        "XI-LEI 529900T8BM49AURSDO55 (well formed)",
        "NL-KVK 12345678 (no check digits known)",
        "Ben Aal <ben@aal.example> (not confirmed)",
        sha256(EXTRACT).hexdigest(),
        "letter of agency",
        "voice from",
    ):
        assert word in said.stdout
    assert "Ada" not in said.stdout
    files = [one for one in (tmp_path / "papers").rglob("*") if one.is_file()]
    assert sorted(one.read_bytes() for one in files) == sorted([EXTRACT, LETTER])
    assert {stat.S_IMODE(one.stat().st_mode) for one in files} == {0o600}
    assert all(one.resolve().is_relative_to(tmp_path / "papers") for one in files)
    whole = json.loads(shell("show", str(PURCHASE), "--json").stdout)
    assert [one["contact"]["name"] for one in whole["parties"]] == ["Ada Harbour", "Ben Aal"]


def test_a_group_is_verified_refused_and_verified_again(shell: Shell) -> None:
    purchase, extract = str(PURCHASE)[:8], sha256(EXTRACT).hexdigest()[:12]
    how = ("--method", "register", "--reference", "HRB 1234")
    said = shell("verify", purchase, "coordinator", *how, "--until", "2099-12-31").stdout
    assert (
        "coordinator of Harbour towns: registry matched until 2099-12-31; the group is not qualified" in said
    )
    assert "not qualified" in shell("verify", purchase, "Town of Aal", *how).stdout
    papers = ("--method", "document", "--reference", "Folder 7", "--evidence", extract)
    assert "the group is qualified until" in shell("verify", purchase, "Town of Aal", *papers).stdout
    assert shell("queue").stdout == "No group waits.\n"
    refused = shell("refuse", purchase, "Town of Aal", *how, "--reason", "Struck off").stdout
    assert "Town of Aal: refused: Struck off; the group is not qualified" in refused
    assert "refused: Struck off" in shell("queue").stdout
    case = json.loads(shell("verify", purchase, "Town of Aal", *papers, "--json").stdout)
    assert case["qualified_until"]
    assert not case["waits"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("show", "ffffffff-ffff"), "no purchases have an id that begins with ffffffff-ffff"),
        (("show", str(PURCHASE), "Nobody"), "no parties of Harbour towns are called Nobody"),
        (
            (
                "verify",
                str(PURCHASE),
                "coordinator",
                "--method",
                "visit",
                "--reference",
                "x",
                "--evidence",
                "ab",
            ),
            "no documents of coordinator of Harbour towns have a hash that begins with ab",
        ),
        (
            (
                "verify",
                str(PURCHASE),
                "coordinator",
                "--method",
                "visit",
                "--reference",
                "x",
                "--until",
                "soon",
            ),
            "--until is a day such as 2027-05-31",
        ),
        (
            ("verify", str(PURCHASE), "coordinator", "--method", "address", "--reference", "x"),
            "the finding does not count: The mail address of this party's person is not confirmed.",
        ),
        (
            (
                "verify",
                str(PURCHASE),
                "coordinator",
                "--method",
                "visit",
                "--reference",
                "x",
                "--until",
                "2020-01-01",
            ),
            "the finding does not count: The verification is no longer valid.",
        ),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(
    shell: Shell, words: tuple[str, ...], sentence: str
) -> None:
    done = shell(*words, expected=1)
    assert done.stderr == f"linepool: {sentence}\n"


def test_whoever_belongs_to_the_group_does_not_verify_it(shell: Shell) -> None:
    words = ("verify", str(PURCHASE), "coordinator", "--method", "visit", "--reference", "x")
    for person in (COORDINATOR, CONTACT):
        done = shell(*words, expected=1, LINEPOOL_OFFICER_ID=str(person))
        assert "The officer belongs to the group" in done.stderr
    done = shell(*words, expected=1, LINEPOOL_OFFICER_ID="me")
    assert "LINEPOOL_OFFICER_ID must be your person id" in done.stderr


def test_another_password_does_not_get_in(shell: Shell) -> None:
    done = shell("queue", expected=1, LINEPOOL_OFFICER_PASSWORD="guessed")
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "guessed" not in done.stderr


async def _form(stack: Stack) -> None:
    login, admin = stack.login("portal"), stack.admin
    portal = Connection(stack.bootstrap_servers, login.username, login.password, stack.ca_file, stack.prefix)
    watcher = Connection(stack.bootstrap_servers, admin.username, admin.password, stack.ca_file, stack.prefix)
    producer = AIOKafkaProducer(**portal.arguments(), acks="all")
    awaited: tuple[type[Message], ...] = (EvidenceFiled, LetterFiled, GroupAggregated, RequestDrafted)
    topics = ["aggregation.events", "aggregation.evidence", "rfp.events"]
    async with open_journal(watcher, topics) as journal:
        await producer.start()
        try:
            for order in _orders():
                headers = command_headers(order, id=uuid4(), actor=BY, source="/test", time=datetime.now(UTC))
                await producer.send_and_wait(
                    portal.topic(order.stream), order.to_bytes(), key=order.subject.encode(), headers=headers
                )
        finally:
            await producer.stop()
        await journal.wait_until(
            lambda: all(journal.all_of(one, PURCHASE) for one in awaited), within=60, what="the closed group"
        )
        parts = manifest_of("x", EXTRACT).parts + 1
        await journal.wait_until(
            lambda: len(journal.all_of(EvidencePart, PURCHASE)) == parts, within=60, what="all parts"
        )


def _orders() -> list[Message]:
    today = datetime.now(UTC).date()
    agency = Agency(
        services=("voice",), valid_from=today, valid_until=today + timedelta(days=90), signed_on=today
    )
    use = {"service": "voice.day", "quantity": "120", "unit": "MIN", "charged": "20.49"}
    line = LineUsage.model_validate(
        {"line_id": "L1", "services": [use], "recurring_charged": "10.00", "exit_fee": "0.00"}
    )
    # What a sender calls its file must not lead out of the officer's folder.
    extract, letter = manifest_of("../../extract.pdf", EXTRACT), manifest_of("letter.pdf", LETTER)
    identifiers = (
        Identifier(scheme="XI-LEI", id="529900T8BM49AURSDO55"),
        Identifier(scheme="NL-KVK", id="12345678"),
    )
    return [
        OpenGroup(
            purchase_id=PURCHASE,
            name="Harbour towns",
            currency="EUR",
            tax_basis="net",
            contact=Contact(person_id=COORDINATOR, name="Ada Harbour", email="ada@harbour.example"),
        ),
        AddBuyer(
            purchase_id=PURCHASE,
            buyer_id=BUYER,
            legal_name="Town of Aal",
            identifiers=identifiers,
            contact=Contact(person_id=CONTACT, name="Ben Aal", email="ben@aal.example"),
        ),
        *(
            FileEvidence(
                purchase_id=PURCHASE,
                party="buyer",
                party_id=BUYER,
                kind="register_extract",
                document=extract,
                part=number,
                data=data,
            )
            for number, data in split(extract, EXTRACT)
        ),
        *(
            FileLetter(
                purchase_id=PURCHASE,
                buyer_id=BUYER,
                agency=agency,
                signer="Ben Aal",
                document=letter,
                part=number,
                data=data,
            )
            for number, data in split(letter, LETTER)
        ),
        ReportUsage(
            purchase_id=PURCHASE,
            buyer_id=BUYER,
            report_id=uuid4(),
            period=Period(start=today - timedelta(days=30), end=today, months=1),
            part=1,
            parts=1,
            lines=(line,),
        ),
        CloseGroup(purchase_id=PURCHASE),
    ]
