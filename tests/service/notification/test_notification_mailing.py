"""Mails on a real mail server and a real Postgres: sent, retried, given up, and recognisable when they come twice."""

import asyncio
import json
import os
import signal
import sys
from datetime import timedelta
from uuid import UUID

import pytest

from shared.adoption import AdoptedEvent
from shared.envelope import derived_id
from shared.messages.notification import MailDelivered, MailFailed
from tests.memory import TEST_SETTINGS, MemoryKafka, Running
from tests.service.notification.conftest import MailServer, mail_settings, send
from tests.service.notification.notification_story import (
    ADA,
    CLINICS,
    COORDINATOR,
    PASSWORD,
    PURCHASE,
    contact,
    contacts,
    credential,
    group_opened,
    joined,
    say,
    whole_purchase,
)

ADDRESS = "ada@clinics.example"


async def a_mail_waits(kafka: MemoryKafka) -> None:
    """One mail to Ada is due."""
    say(
        kafka,
        group_opened(),
        joined(CLINICS, "Northgate Clinics Ltd", ADA, "04512378"),
        contact(ADA, "Ada Byron", ADDRESS),
    )
    await kafka.settle()


async def due_again(notification: Running) -> None:
    await notification.pool.execute("UPDATE mails SET next_try_at = clock_timestamp()")


def alarms(notification: Running) -> float | None:
    """Return how often somebody was called because a mail failed; None: never."""
    return notification.runtime.metrics.registry.get_sample_value(
        "linepool_alarms_total", {"kind": "mail_failed"}
    )


def delivered_and_failed(kafka: MemoryKafka) -> tuple[list[MailDelivered], list[MailFailed]]:
    events = kafka.messages("notification.events")
    return (
        [event for event in events if isinstance(event, MailDelivered)],
        [event for event in events if isinstance(event, MailFailed)],
    )


async def test_a_whole_purchase_sends_each_person_each_mail_once(
    notification: Running, kafka: MemoryKafka, mail_server: MailServer
) -> None:
    say(kafka, *whole_purchase())
    notification.steps.append(send)

    await kafka.settle()

    sent = sorted(
        (mail["To"].addresses[0].addr_spec.split("@")[0], str(mail["Subject"])) for mail in mail_server.taken
    )
    everyone = [
        "Terms to accept",
        "The group is verified",
        "The purchase is complete",
        "The replies are compared",
        "The request is with the providers",
        "The terms were rejected",
        "Your initial password",
    ]
    members = [subject for subject in everyone if subject not in {"Terms to accept", "Your initial password"}]
    assert sent == [
        *(("ada", f"[North Line Pool] {s}") for s in sorted(["Northgate Clinics Ltd has joined", *members])),
        *(("ben", f"[North Line Pool] {s}") for s in sorted(["Harbour Freight GmbH has joined", *members])),
        *(("cleo", f"[North Line Pool] {s}") for s in everyone),
    ]
    assert len({mail["Message-ID"] for mail in mail_server.taken}) == len(sent)
    delivered, failed = delivered_and_failed(kafka)
    assert {event.message_id for event in delivered} == {mail["Message-ID"] for mail in mail_server.taken}
    assert failed == []


async def test_no_member_is_mailed_another_members_figures(
    notification: Running, kafka: MemoryKafka, mail_server: MailServer
) -> None:
    say(kafka, *whole_purchase())
    notification.steps.append(send)
    await kafka.settle()

    to_ada = [mail.get_content() for mail in mail_server.taken if ADDRESS in mail["To"]]
    to_cleo = [mail.get_content() for mail in mail_server.taken if "cleo" in mail["To"]]

    assert any("801.11" in text for text in to_ada)
    assert not any(
        figure in text for text in to_ada for figure in ("444.44", "555.55", "1,245.55", "Harbour")
    )
    assert any("1,245.55" in text and "1,456.78" in text for text in to_cleo)


async def test_a_mail_waits_until_its_persons_address_is_known(
    notification: Running, kafka: MemoryKafka, mail_server: MailServer
) -> None:
    say(kafka, group_opened(), joined(CLINICS, "Northgate Clinics Ltd", ADA, "04512378"))
    await kafka.settle()
    assert not await send(notification.runtime)

    say(kafka, contact(ADA, "Ada Byron", ADDRESS))
    await kafka.settle()

    assert await send(notification.runtime)
    assert mail_server.recipients == [ADDRESS]


async def test_the_password_is_opened_only_to_be_sent_and_its_box_leaves_with_it(
    notification: Running, kafka: MemoryKafka, mail_server: MailServer
) -> None:
    say(kafka, group_opened(), credential(), *contacts())
    await kafka.settle()

    async def whole_database() -> str:
        return json.dumps(await notification.tables())

    assert PASSWORD not in await whole_database()
    assert await notification.pool.fetchval("SELECT count(sealed_password) FROM mails") == 1
    await send(notification.runtime)
    await kafka.settle()

    assert [PASSWORD in text for text in mail_server.texts()] == [True]
    assert mail_server.recipients == ["cleo@pool.example"]
    assert await notification.pool.fetchval("SELECT count(sealed_password) FROM mails") == 0
    assert PASSWORD not in await whole_database()
    assert PASSWORD not in "".join(str(record.value) for topic in kafka.topics.values() for record in topic)


async def test_a_box_sealed_for_another_person_is_never_mailed(
    notification: Running, kafka: MemoryKafka, mail_server: MailServer
) -> None:
    say(kafka, group_opened(), *contacts(), credential().model_copy(update={"person_id": ADA}))
    await kafka.settle()

    await send(notification.runtime)
    await kafka.settle()

    assert mail_server.taken == []
    assert [event.reason for event in delivered_and_failed(kafka)[1]] == ["box_does_not_open"]


@pytest.mark.parametrize(
    ("credentials", "passwords", "reason"),
    [
        ([credential(1, "OLD1"), credential(2, "NEW2")], ["NEW2"], "superseded"),
        ([credential(2, "NEW2"), credential(1, "OLD1")], ["NEW2"], "superseded"),
        ([credential(1, "OLD1", hours=-1)], [], "expired"),
    ],
    ids=["replaced", "replaced, in the other order", "expired"],
)
async def test_a_password_that_is_void_is_not_sent(
    notification: Running,
    kafka: MemoryKafka,
    mail_server: MailServer,
    credentials: list[object],
    passwords: list[str],
    reason: str,
) -> None:
    say(kafka, group_opened(), *contacts(), *credentials)  # type: ignore[arg-type] # parametrize loses the type
    await kafka.settle()

    await send(notification.runtime)
    await kafka.settle()

    assert [[p for p in ("OLD1", "NEW2") if p in text] for text in mail_server.texts()] == [
        [p] for p in passwords
    ]
    assert [event.reason for event in delivered_and_failed(kafka)[1]] == [reason]
    assert await notification.pool.fetchval("SELECT count(sealed_password) FROM mails") == 0
    assert alarms(notification) is None


async def test_a_mail_that_is_put_off_is_tried_again_later(
    notification: Running, kafka: MemoryKafka, mail_server: MailServer
) -> None:
    mail_server.answers_to_recipient[ADDRESS] = ["451 try later", "421 busy"]
    mail_server.answers_to_data = ["452 full"]
    await a_mail_waits(kafka)

    for _ in range(3):
        assert not await send(notification.runtime)
        assert mail_server.taken == []
        await due_again(notification)
    assert await send(notification.runtime)

    assert mail_server.recipients == [ADDRESS]
    assert await notification.pool.fetchval("SELECT tries FROM mails") == 4


async def test_a_put_off_mail_is_not_due_before_its_pause_is_over(
    notification: Running, kafka: MemoryKafka, mail_server: MailServer
) -> None:
    mail_server.answers_to_recipient[ADDRESS] = ["451 try later"]
    await a_mail_waits(kafka)

    before = await notification.pool.fetchval("SELECT clock_timestamp()")
    await send(notification.runtime)

    due, tries, now = await notification.pool.fetchrow(
        "SELECT next_try_at, tries, clock_timestamp() FROM mails"
    )
    # On a busy machine the pause may be over by now: what counts is that it was added to the moment of the try.
    pause = timedelta(seconds=0.01)
    assert before + pause <= due <= now + pause
    assert tries == 1


async def test_a_mail_that_the_server_puts_off_for_days_is_given_up(
    notification: Running, kafka: MemoryKafka, mail_server: MailServer
) -> None:
    mail_server.answers_to_recipient[ADDRESS] = ["451 try later"]
    await a_mail_waits(kafka)
    await notification.pool.execute("UPDATE mails SET queued_at = queued_at - interval '6 days'")

    await send(notification.runtime)
    await kafka.settle()

    assert [event.reason for event in delivered_and_failed(kafka)[1]] == ["put_off_too_long"]
    assert alarms(notification) == 1


async def test_a_rejected_mail_is_recorded_without_the_servers_words_and_not_tried_again(
    notification: Running, kafka: MemoryKafka, mail_server: MailServer
) -> None:
    mail_server.answers_to_recipient[ADDRESS] = [f"550 <{ADDRESS}> is unknown"]
    await a_mail_waits(kafka)

    await send(notification.runtime)
    await due_again(notification)
    assert not await send(notification.runtime)
    await kafka.settle()

    (failed,) = delivered_and_failed(kafka)[1]
    assert (failed.person_id, failed.kind, failed.reason) == (ADA, "joined", "smtp_550")
    assert alarms(notification) == 1
    assert mail_server.taken == []
    assert ADDRESS.encode() not in b"".join(
        record.value or b"" for record in kafka.topics["notification.events"]
    )


async def test_one_rejected_mail_stops_no_other(
    notification: Running, kafka: MemoryKafka, mail_server: MailServer
) -> None:
    mail_server.answers_to_recipient[ADDRESS] = ["550 unknown"] * 9
    say(kafka, *whole_purchase())
    notification.steps.append(send)

    await kafka.settle()

    delivered, failed = delivered_and_failed(kafka)
    assert {event.person_id for event in failed} == {ADA}
    assert (len(delivered), len(failed)) == (13, 6)


async def test_an_unreachable_server_is_waited_for(
    notification: Running, kafka: MemoryKafka, mail_server: MailServer
) -> None:
    await a_mail_waits(kafka)
    port = mail_server.port
    away = MailServer()
    async with away.listening():
        pass
    settings = notification.runtime.settings.model_copy(update={"smtp_port": away.port})
    notification.runtime.settings = settings

    for _ in range(3):
        assert not await send(notification.runtime)
        await due_again(notification)
    assert delivered_and_failed(kafka) == ([], [])
    notification.runtime.settings = settings.model_copy(update={"smtp_port": port})

    assert await send(notification.runtime)
    assert mail_server.recipients == [ADDRESS]


async def test_no_transaction_is_open_while_the_server_takes_its_time_and_nobody_else_sends_that_mail(
    notification: Running, kafka: MemoryKafka, mail_server: MailServer
) -> None:
    await a_mail_waits(kafka)
    mail_server.when_taking = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        slow = tasks.create_task(send(notification.runtime))
        async with asyncio.timeout(20):
            await mail_server.is_taking.wait()

        open_transactions = await notification.pool.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND xact_start IS NOT NULL AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        assert not await send(notification.runtime)
        mail_server.when_taking.set()

    assert slow.result()
    assert open_transactions == 0
    assert len(mail_server.taken) == 1


async def test_a_process_that_is_told_to_end_records_the_mail_that_it_is_sending(
    notification: Running, kafka: MemoryKafka, mail_server: MailServer
) -> None:
    await a_mail_waits(kafka)
    mail_server.when_taking = asyncio.Event()
    sending = asyncio.create_task(send(notification.runtime))
    async with asyncio.timeout(20):
        await mail_server.is_taking.wait()
    sending.cancel()
    await asyncio.wait([sending], timeout=0.05)
    mail_server.when_taking.set()
    with pytest.raises(asyncio.CancelledError):
        await sending

    await due_again(notification)
    assert not await send(notification.runtime)
    await kafka.settle()
    assert len(mail_server.taken) == len(delivered_and_failed(kafka)[0]) == 1


async def test_a_process_killed_between_the_servers_answer_and_the_record_sends_the_same_mail_again(
    database: str, notification: Running, kafka: MemoryKafka, mail_server: MailServer
) -> None:
    await a_mail_waits(kafka)
    program = (
        "import asyncio\n"
        "from services.notification.app import build\n"
        "from services.notification.mailing import send_due_mails\n"
        "async def main():\n"
        "    service = build()\n"
        "    async with service.open() as runtime:\n"
        "        await send_due_mails(runtime, service.settings)\n"
        "asyncio.run(main())\n"
    )
    settings = {**TEST_SETTINGS, **mail_settings(mail_server.port), "postgres_dsn": database}
    environment = {f"LINEPOOL_{name.upper()}": str(value) for name, value in settings.items()}
    # The only transaction that a mail ends with is the one that records it.
    environment |= {"LINEPOOL_CRASH_AT": "before_commit:1", "PATH": os.environ["PATH"]}
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, env=environment)
    async with asyncio.timeout(60):
        assert await process.wait() == -signal.SIGKILL

    assert len(mail_server.taken) == 1
    assert delivered_and_failed(kafka) == ([], [])
    assert not await send(notification.runtime), "the lease of the dead process still holds"
    await due_again(notification)
    assert await send(notification.runtime)
    await kafka.settle()

    first, second = mail_server.taken
    assert first["Message-ID"] == second["Message-ID"]
    assert first.as_bytes() == second.as_bytes()
    assert [event.message_id for event in delivered_and_failed(kafka)[0]] == [first["Message-ID"]]


async def test_a_mail_recorded_before_a_restore_is_recorded_again_but_not_sent_again(
    notification: Running, kafka: MemoryKafka, mail_server: MailServer
) -> None:
    await a_mail_waits(kafka)
    mail_id, queued_at = await notification.pool.fetchrow("SELECT mail_id, queued_at FROM mails")
    decision = derived_id("notification", "mail", mail_id)
    said = MailDelivered(
        purchase_id=PURCHASE, person_id=ADA, kind="joined", message_id=f"<{mail_id}@mail.example>"
    )
    notification.runtime.adoptions.add(
        AdoptedEvent(
            event_id=derived_id(decision, said.type(), "", 0),
            decision_id=decision,
            type=said.type(),
            stream=said.stream,
            subject=said.subject,
            sequence=1,
            decided_at=queued_at,
            body=said.to_bytes(),
            cause_id=decision,
            actor_id=None,
            chain=bytes(32),
        )
    )

    await send(notification.runtime)
    await kafka.settle()

    assert mail_server.taken == []
    assert await notification.pool.fetchval("SELECT delivered_at FROM mails") == queued_at
    assert kafka.messages("notification.events") == []


HOSTILE = 'Ada\u2028Bcc: mallory@example.org\u2029\x85X-Evil: 1\u202e <root@localhost>, "q\\'


async def test_hostile_names_add_no_header_no_recipient_and_no_line(
    notification: Running, kafka: MemoryKafka, mail_server: MailServer
) -> None:
    say(
        kafka,
        group_opened(name=HOSTILE),
        joined(CLINICS, HOSTILE, ADA, "04512378"),
        contact(ADA, HOSTILE, ADDRESS),
    )
    await kafka.settle()

    await send(notification.runtime)

    (mail,) = mail_server.taken
    assert mail_server.recipients == [ADDRESS]
    assert mail["Bcc"] is None
    assert mail["X-Evil"] is None
    assert [address.addr_spec for address in mail["To"].addresses] == [ADDRESS]
    assert "mallory" in mail["To"].addresses[0].display_name
    assert sorted(mail.keys()) == sorted(
        [
            "From",
            "To",
            "Subject",
            "Date",
            "Message-ID",
            "References",
            "Auto-Submitted",
            "Content-Type",
            "Content-Transfer-Encoding",
            "MIME-Version",
        ]
    )
    assert len(mail.get_content().split("\r\n\r\n")) == 4


@pytest.mark.parametrize(
    ("email", "mailbox"),
    [
        ("a,b@clinics.example", '"a,b"@clinics.example'),
        ("a;root@clinics.example", '"a;root"@clinics.example'),
        ("o'neil+x@clinics.example", "o'neil+x@clinics.example"),
        ("ren\u00e9@clinics.example", "ren\u00e9@clinics.example"),
    ],
)
async def test_an_address_means_the_same_to_us_and_to_the_server(
    notification: Running, kafka: MemoryKafka, mail_server: MailServer, email: str, mailbox: str
) -> None:
    say(kafka, group_opened(), joined(CLINICS, "Northgate", ADA, "04512378"), contact(ADA, "Ada", email))
    await kafka.settle()

    await send(notification.runtime)

    assert mail_server.recipients == [mailbox]


async def test_the_newest_address_is_written_to(
    notification: Running, kafka: MemoryKafka, mail_server: MailServer
) -> None:
    await a_mail_waits(kafka)
    say(kafka, contact(ADA, "Ada Byron", "ada@new.example"))
    await kafka.settle()

    await send(notification.runtime)

    joining = [
        mail["To"].addresses[0].addr_spec for mail in mail_server.taken if "has joined" in mail["Subject"]
    ]
    assert joining == ["ada@new.example"]


async def test_every_mail_names_sender_and_thread(
    notification: Running, kafka: MemoryKafka, mail_server: MailServer
) -> None:
    await a_mail_waits(kafka)

    await send(notification.runtime)

    (mail,) = mail_server.taken
    assert str(mail["From"]) == "Linepool <linepool@mail.example>"
    assert mail["References"] == f"<{PURCHASE}@mail.example>"
    assert UUID(mail["Message-ID"].strip("<>").partition("@")[0])
    assert COORDINATOR not in mail.values()
