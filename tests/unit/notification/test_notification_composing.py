"""A mail as bytes, whatever its names and addresses hold."""

from dataclasses import replace
from email import message_from_bytes
from email.policy import default
from typing import Any
from uuid import UUID

import pytest
from aiosmtplib.email import flatten_message, parse_address
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from services.notification import letters
from services.notification.domain.mails import Mail, Reached
from services.notification.settings import Settings
from services.notification.smtp import compose, message_id, recipient
from services.notification.store.mails import DueMail
from shared.messages.aggregation import Email
from tests.unit.notification.notification_facts import ADA, NOON, PURCHASE

GIVEN: dict[str, Any] = {
    "kafka_bootstrap_servers": "kafka.invalid:9092",
    "kafka_username": "test",
    "kafka_password": "test",
    "http_port": 1,
    "secret": "11" * 32,
    "postgres_dsn": "postgresql://nowhere.invalid",
    "mail_from": "linepool@mail.example",
    "portal_url": "https://portal.example",
    "smtp_host": "127.0.0.1",
    "smtp_port": 25,
}
SETTINGS = Settings(**GIVEN)
MAIL = DueMail(
    mail=Mail(UUID("6eea9e30-975a-5efd-af03-681703e1e69a"), PURCHASE, ADA, letters.NoReplies()),
    queued_at=NOON,
    tries=1,
    leased_at=NOON,
    group_name="North Line Pool",
    name="Ada Byron",
    reached=Reached("ada@clinics.example", None, 1),
    newest=None,
)
HEADERS = {"From", "To", "Subject", "Date", "Message-ID", "References", "Auto-Submitted"} | {
    "Content-Type",
    "Content-Transfer-Encoding",
    "MIME-Version",
}
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
addresses = st.from_regex(r"\A[^@\s<>\x00-\x1f]{1,64}@[A-Za-z0-9.-]{1,60}\Z")


@given(name=names, group=names)
@example(name="Ada\r\nBcc: m@example.org", group="Pool\nX-Evil: 1")
@example(name="=?utf-8?q?Ada=0ABcc:_m?=", group="=?utf-8?b?CkJjYzogbQ==?=")
@example(name="\N{LATIN SMALL LETTER E WITH ACUTE}" * 200, group="\N{CJK UNIFIED IDEOGRAPH-7DDA}" * 200)
def test_no_name_adds_a_header_or_a_recipient(name: str, group: str) -> None:
    mail = replace(MAIL, name=name, group_name=group)

    parsed = message_from_bytes(flatten_message(compose(mail, SETTINGS, secret=None)), policy=default)

    assert set(parsed.keys()) == HEADERS
    assert len(parsed.keys()) == len(HEADERS)
    assert [address.addr_spec for address in parsed["To"].addresses] == ["ada@clinics.example"]
    assert parsed["Message-ID"] == message_id(MAIL, SETTINGS)


@given(email=addresses)
@example(email='"a@b.example')
@example(email="a,b@x.example")
@example(email="a(b)c@x.example")
@example(email="a@..")
def test_every_address_is_the_same_mailbox_to_us_and_to_the_server(email: str) -> None:
    try:
        TypeAdapter(Email).validate_python(email)
    except ValidationError:
        assume(False)
    mail = replace(MAIL, reached=Reached(email, None, 1))

    to, message = recipient(mail), compose(mail, SETTINGS, secret=None)

    assert parse_address(to.addr_spec) == to.addr_spec
    assert to.domain == email.rpartition("@")[2]
    assert len(message["To"].addresses) == 1


def test_every_try_of_a_mail_is_the_same_bytes() -> None:
    again = replace(MAIL, tries=7, leased_at=NOON.replace(hour=13))

    assert flatten_message(compose(MAIL, SETTINGS, secret=None)) == flatten_message(
        compose(again, SETTINGS, secret=None)
    )


def test_a_long_table_line_arrives_unbroken() -> None:
    row = letters.OwnRow(legal_name="N" * 190, offers=())
    letter = letters.RepliesCompared(currency="EUR", tax_basis="net", group=(), own=(row,))

    raw = flatten_message(
        compose(replace(MAIL, mail=replace(MAIL.mail, letter=letter)), SETTINGS, secret=None)
    )

    assert max(map(len, raw.splitlines())) <= 78
    assert "N" * 190 in message_from_bytes(raw, policy=default).get_content()


@pytest.mark.parametrize(
    "url", ["portal.example", "https://portal.example/", "https://portal.example/?a", "https://a b"]
)
def test_an_address_of_the_portal_that_no_link_can_begin_with_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(ValidationError, match="portal_url"):
        Settings(**{**GIVEN, "portal_url": url})


@pytest.mark.parametrize(
    "url", ["https://portal.example", "http://127.0.0.1:8080", "https://[::1]", "https://a.example/b"]
)
def test_a_link_may_begin_with_any_plain_address_of_the_portal(url: str) -> None:
    assert Settings(**{**GIVEN, "portal_url": url}).portal_url == url


@pytest.mark.parametrize("sender", ["Linepool <a@b.example>", "a@b.example\nBcc: m@example.org", "nobody"])
def test_a_sender_that_is_no_plain_address_is_a_wrong_setting(sender: str) -> None:
    with pytest.raises(ValidationError, match="mail_from"):
        Settings(**{**GIVEN, "mail_from": sender})
