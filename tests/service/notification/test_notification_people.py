"""Links, codes and news about oneself, on a real mail server and a real Postgres: to the right address, once, in any order."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations
from uuid import UUID

import asyncpg
import pytest

from services.notification.sealed import public_key
from shared.envelope import derived_id
from shared.messages.aggregation import (
    BuyerLeft,
    ContactRecorded,
    GroupDissolved,
    MinimumMissed,
    MinimumSet,
)
from shared.messages.base import Message
from shared.messages.notification import MailDelivered, MailFailed
from shared.messages.people import (
    AddressCodeAssigned,
    AddressCodeSpent,
    ContactErased,
    InvitationLinkAssigned,
    InvitationLinkClosed,
    PasswordChosen,
    PasswordSpent,
    PersonErased,
    SecondFactorSet,
)
from shared.sealing import address_code_info, invitation_info, seal_for
from tests.memory import MemoryKafka, Running
from tests.service.notification.conftest import MailServer, send
from tests.service.notification.notification_story import (
    ADA,
    BEN,
    CLINICS,
    FREIGHT,
    PURCHASE,
    contacts,
    credential,
    group_opened,
    joined,
    say,
)

INVITATION = UUID("0d7f3e52-6c1b-5a8e-9d2f-4b7a6c5e8f10")
SECRET, CODE = "7KQ2M9XDV4TB0ZHN6PRCWJ1EAB", "7KQ2M9XD"
OLD, NEW, OTHER = "ada@clinics.example", "ada@new.example", "ada@other.example"
KEY = public_key(bytes.fromhex("11" * 32))
VERIFIER = "$argon2id$v=19$m=65536,t=3,p=4$2cM4Tg9$Bm"


def link(
    number: int = 1, secret: str = SECRET, *, contact_version: int | None = None, days: int = 14
) -> Message:
    return InvitationLinkAssigned(
        invitation_id=INVITATION,
        purchase_id=PURCHASE,
        person_id=ADA,
        number=number,
        sha256="0" * 64,
        sealed_secret=seal_for(KEY, secret.encode(), invitation_info(INVITATION, number)),
        expires_at=datetime.now(UTC) + timedelta(days=days),
        contact_version=contact_version,
    )


def code(number: int = 1, text: str = CODE, *, contact_version: int) -> Message:
    return AddressCodeAssigned(
        person_id=ADA,
        number=number,
        verifier=VERIFIER,
        sealed_code=seal_for(KEY, text.encode(), address_code_info(ADA, number)),
        expires_at=datetime.now(UTC) + timedelta(minutes=30),
        contact_version=contact_version,
    )


def closed(number: int = 1) -> Message:
    return InvitationLinkClosed(
        invitation_id=INVITATION, purchase_id=PURCHASE, person_id=ADA, number=number, state="revoked"
    )


def reached(email: str, unconfirmed: str | None = None) -> ContactRecorded:
    return ContactRecorded(person_id=ADA, name="Ada Byron", email=email, unconfirmed_email=unconfirmed)


def at(kafka: MemoryKafka, version: int, fact: Message) -> None:
    """Say a fact with its version, under the same id whenever it is said."""
    kafka.event(fact, id=derived_id("story", version, fact.type(), fact.to_bytes().hex()), sequence=version)


def ends(kafka: MemoryKafka) -> list[tuple[str, str]]:
    """Return of each mail that ended its kind, and the reason why it was not sent."""
    events = kafka.messages("notification.events")
    return sorted(
        (one.kind, one.reason if isinstance(one, MailFailed) else "")
        for one in events
        if isinstance(one, MailDelivered | MailFailed)
    )


async def mailed(notification: Running, kafka: MemoryKafka) -> None:
    """Read and send all that there is."""
    await kafka.settle()
    await send(notification.runtime)
    await kafka.settle()


def told(mail_server: MailServer) -> list[tuple[str, str]]:
    """Return who got which mail, by address and subject."""
    return sorted((mail["To"].addresses[0].addr_spec, str(mail["Subject"])) for mail in mail_server.taken)


async def test_an_invited_person_gets_the_link_once_and_the_secret_stands_nowhere_else(
    notification: Running, kafka: MemoryKafka, mail_server: MailServer
) -> None:
    say(kafka, group_opened(), reached(OLD), link())
    await kafka.settle()
    assert SECRET not in json.dumps(await notification.tables())

    await mailed(notification, kafka)

    [text] = mail_server.texts()
    assert f"\r\n    https://portal.example/join/{SECRET}\r\n" in text
    assert told(mail_server) == [(OLD, "[North Line Pool] Your organisation is invited")]
    assert SECRET not in json.dumps(await notification.tables())
    assert await notification.pool.fetchval("SELECT count(sealed_password) FROM mails") == 0
    assert not [
        one for topic in kafka.topics.values() for one in topic if SECRET.encode() in (one.value or b"")
    ]


@pytest.mark.parametrize("facts", list(permutations([link(1, "OLD1"), link(2, "NEW2")])))
async def test_of_two_links_only_the_newer_is_sent_whichever_arrives_first(
    notification: Running, kafka: MemoryKafka, mail_server: MailServer, facts: Sequence[Message]
) -> None:
    say(kafka, group_opened(), reached(OLD), *facts)

    await mailed(notification, kafka)

    assert [[one for one in ("OLD1", "NEW2") if one in text] for text in mail_server.texts()] == [["NEW2"]]
    assert ends(kafka) == [("invitation", ""), ("invitation", "superseded")]


@pytest.mark.parametrize("facts", list(permutations([link(), closed()])))
async def test_a_link_that_was_taken_back_is_not_sent(
    notification: Running, kafka: MemoryKafka, mail_server: MailServer, facts: Sequence[Message]
) -> None:
    say(kafka, group_opened(), reached(OLD), *facts)

    await mailed(notification, kafka)

    assert mail_server.taken == []
    assert ends(kafka) == [("invitation", "closed")]


async def test_a_password_that_is_spent_is_not_sent(notification: Running, kafka: MemoryKafka) -> None:
    spent = PasswordSpent(person_id=credential().person_id, purchase_id=PURCHASE, number=1)
    say(kafka, group_opened(), *contacts(), credential(), spent)

    await mailed(notification, kafka)

    assert ends(kafka) == [("initial_password", "closed")]


async def test_a_link_waits_for_the_contact_that_it_was_assigned_with(
    notification: Running, kafka: MemoryKafka, mail_server: MailServer
) -> None:
    """The coordinator mistyped an address and invites again: the new link never goes to the stranger's."""
    say(kafka, group_opened())
    at(kafka, 1, reached("stranger@elsewhere.example"))
    say(kafka, link(contact_version=2))
    await mailed(notification, kafka)
    assert mail_server.taken == []

    at(kafka, 2, reached(OLD))
    await mailed(notification, kafka)

    assert [to for to, subject in told(mail_server) if "invited" in subject] == [OLD]


async def test_a_code_goes_to_the_unconfirmed_address_and_names_no_purchase(
    notification: Running, kafka: MemoryKafka, mail_server: MailServer
) -> None:
    at(kafka, 1, reached(OLD, NEW))
    say(kafka, code(contact_version=1))

    await mailed(notification, kafka)

    assert told(mail_server) == [(NEW, "[Linepool] Confirm your address")]
    assert f"\r\n    {CODE}\r\n" in mail_server.texts()[0]
    [delivered] = kafka.messages("notification.events")
    assert isinstance(delivered, MailDelivered)
    assert (delivered.purchase_id, delivered.person_id, delivered.subject) == (None, ADA, str(ADA))
    assert CODE not in json.dumps(await notification.tables())


async def test_a_code_waits_for_its_address_and_never_goes_to_an_earlier_one(
    notification: Running, kafka: MemoryKafka, mail_server: MailServer
) -> None:
    at(kafka, 1, reached(OLD, OTHER))
    say(kafka, code(2, contact_version=2))
    await mailed(notification, kafka)
    assert mail_server.taken == []

    at(kafka, 2, reached(OLD, NEW))
    await mailed(notification, kafka)

    assert mail_server.recipients == [NEW]


async def test_a_code_for_an_address_that_was_changed_again_is_not_sent_there(
    notification: Running, kafka: MemoryKafka, mail_server: MailServer
) -> None:
    at(kafka, 1, reached(OLD, NEW))
    at(kafka, 2, reached(OLD, OTHER))
    say(kafka, code(1, contact_version=1))

    await mailed(notification, kafka)

    assert mail_server.taken == []
    assert ends(kafka) == [("address_code", "superseded")]


async def test_a_code_that_is_spent_is_not_sent(notification: Running, kafka: MemoryKafka) -> None:
    at(kafka, 1, reached(OLD, NEW))
    say(kafka, AddressCodeSpent(person_id=ADA, number=1), code(contact_version=1))

    await mailed(notification, kafka)

    assert ends(kafka) == [("address_code", "closed")]


async def test_a_box_sealed_for_another_code_is_never_mailed(
    notification: Running, kafka: MemoryKafka
) -> None:
    at(kafka, 1, reached(OLD, NEW))
    say(kafka, code(1, contact_version=1).model_copy(update={"number": 2}))
    say(kafka, group_opened(), link(1).model_copy(update={"number": 2}))

    await mailed(notification, kafka)

    assert ends(kafka) == [("address_code", "box_does_not_open"), ("invitation", "box_does_not_open")]


async def test_an_older_contact_that_comes_again_changes_nothing_and_is_no_news(
    notification: Running, kafka: MemoryKafka, mail_server: MailServer
) -> None:
    at(kafka, 1, reached(OLD))
    at(kafka, 2, reached(NEW))
    await mailed(notification, kafka)
    assert told(mail_server) == [
        (OLD, "[Linepool] Your mail address was changed"),
        (NEW, "[Linepool] Your mail address was changed"),
    ]

    await notification.pool.execute("TRUNCATE inbox, positions")
    notification.rewind()
    say(kafka, group_opened(), joined(CLINICS, "Northgate Clinics Ltd", ADA, "04512378"))
    await mailed(notification, kafka)

    assert [to for to, _ in told(mail_server)] == [OLD, NEW, NEW]
    assert len(mail_server.taken) == 3


async def test_a_service_that_is_built_anew_tells_no_old_news(
    notification: Running, kafka: MemoryKafka
) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=400)
    at(kafka, 1, reached(OLD))
    say(kafka, PasswordChosen(person_id=ADA, number=5, verifier=VERIFIER))
    [record] = kafka.topics["aggregation.credentials"]
    record.headers = tuple(
        (name, long_ago.isoformat().encode() if name == "ce_time" else value)
        for name, value in record.headers
    )

    await mailed(notification, kafka)

    assert ends(kafka) == [("password_changed", "outdated")]


async def test_a_changed_password_and_a_second_factor_are_told_to_their_person(
    notification: Running, kafka: MemoryKafka, mail_server: MailServer
) -> None:
    at(kafka, 1, reached(OLD))
    say(
        kafka,
        *(PasswordChosen(person_id=ADA, number=number, verifier=VERIFIER) for number in (1, 2)),
        SecondFactorSet(person_id=ADA, number=1, state="enabled"),
        SecondFactorSet(person_id=ADA, number=1, state="disabled"),
    )
    kafka.copies = 3

    await mailed(notification, kafka)

    assert told(mail_server) == [
        (OLD, "[Linepool] Your password was changed"),
        (OLD, "[Linepool] Your second factor is off"),
        (OLD, "[Linepool] Your second factor is on"),
    ]


async def test_what_waits_for_an_erased_person_keeps_no_address(
    notification: Running, kafka: MemoryKafka, mail_server: MailServer
) -> None:
    at(kafka, 1, reached(OLD, NEW))
    at(kafka, 2, reached(NEW))
    say(kafka, code(contact_version=1))
    await kafka.settle()
    assert OLD in json.dumps(await notification.tables())
    at(kafka, 3, ContactErased(person_id=ADA))

    await mailed(notification, kafka)

    assert mail_server.taken == []
    kept = await notification.tables(without=("inbox",))
    assert not [one for one in (OLD, NEW) if one in json.dumps(kept)]


async def test_who_is_erased_stays_so_where_no_tombstone_is_left_and_older_words_come_late(
    notification: Running, kafka: MemoryKafka, mail_server: MailServer
) -> None:
    say(kafka, *group_of_two())
    at(kafka, 1, reached(OLD, NEW))
    await kafka.settle()
    kafka.event(PersonErased(person_id=ADA))
    await kafka.settle()
    at(kafka, 2, reached(NEW))
    say(kafka, code(contact_version=1), credential())
    await mailed(notification, kafka)

    assert mail_server.taken == []
    kept = json.dumps(await notification.tables(without=("inbox",)))
    assert not [one for one in (OLD, NEW) if one in kept]
    due = "SELECT count(*) FROM mails WHERE person_id = $1 AND (failed_at IS NULL OR sealed_password IS NOT NULL)"
    assert await notification.pool.fetchval(due, ADA) == 0


def group_of_two() -> list[Message]:
    return [
        group_opened(),
        joined(CLINICS, "Northgate Clinics Ltd", ADA, "04512378"),
        joined(FREIGHT, "Harbour Freight GmbH", BEN, "09876543"),
    ]


async def test_a_missed_minimum_is_told_to_who_is_in_the_group_then(
    notification: Running, kafka: MemoryKafka, mail_server: MailServer
) -> None:
    decide_by = datetime(2030, 5, 4, 12, 0, tzinfo=UTC)
    needed = MinimumSet(
        purchase_id=PURCHASE, buyers=5, lines=0, decide_by=decide_by, otherwise="coordinator_decides"
    )
    missed = MinimumMissed(purchase_id=PURCHASE, buyers=1, lines=7, otherwise="coordinator_decides")
    left = BuyerLeft(purchase_id=PURCHASE, buyer_id=FREIGHT)
    say(kafka, *contacts(), *group_of_two(), needed, left, missed)

    await mailed(notification, kafka)

    subject = "[North Line Pool] The group is smaller than it had to become"
    about = [mail for mail in mail_server.taken if mail["Subject"] == subject]
    assert sorted(mail["To"].addresses[0].username for mail in about) == ["ada", "cleo"]
    assert all("at least 5 members by 4 May 2030" in " ".join(mail.get_content().split()) for mail in about)


async def test_who_left_and_joined_again_is_told_also_when_the_leaving_comes_again(
    notification: Running, kafka: MemoryKafka, mail_server: MailServer
) -> None:
    left = BuyerLeft(purchase_id=PURCHASE, buyer_id=CLINICS)
    again = joined(CLINICS, "Northgate Clinics Ltd", BEN, "04512378")
    say(kafka, *contacts(), *group_of_two()[:2], left, again)
    await mailed(notification, kafka)
    await notification.pool.execute("TRUNCATE inbox, positions")
    notification.rewind()
    say(kafka, GroupDissolved(purchase_id=PURCHASE, reason="Nobody else came."))

    await mailed(notification, kafka)

    subject = "[North Line Pool] The group is given up"
    assert [to for to, about in told(mail_server) if about == subject] == [
        "ben@freight.example",
        "cleo@pool.example",
    ]


@pytest.mark.parametrize(
    "change",
    [
        "kind = 'joined'",
        "former_email = 'ada@clinics.example'",
        "purchase_id = NULL",
        "delivered_at = now()",
    ],
)
async def test_the_database_keeps_no_secret_and_no_address_where_none_belongs(
    notification: Running, kafka: MemoryKafka, change: str
) -> None:
    say(kafka, group_opened(), link())
    await kafka.settle()

    with pytest.raises(asyncpg.CheckViolationError):
        await notification.pool.execute(f"UPDATE mails SET {change}")
