"""Secrets go to the one address that they are for, while they are good; changes are told to who must hear of them."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from services.notification import letters
from services.notification.domain import personal
from services.notification.domain.mails import (
    NEWS_FOR,
    Mail,
    Newest,
    Reached,
    goes_to,
    mail,
    not_worth_sending,
)
from shared.messages.aggregation import ContactRecorded, CredentialAssigned
from shared.messages.people import (
    AddressCodeAssigned,
    InvitationLinkAssigned,
    PasswordChosen,
    SecondFactorSet,
)
from tests.unit.notification.notification_facts import ADA, NOON, PURCHASE, SNAPSHOT

VERIFIER = "$argon2id$v=19$m=65536,t=3,p=4$2cM4Tg9$Bm"
SOON, BEFORE = NOON + timedelta(minutes=1), NOON - timedelta(minutes=1)
HERE = Reached("ada@clinics.example", None, 3)
WAITING = Reached("ada@clinics.example", "ada@new.example", 3)
CAUSE = UUID(int=9)


def password(number: int = 2) -> Mail:
    return personal.mail_with_password(
        CredentialAssigned(
            person_id=ADA,
            purchase_id=PURCHASE,
            number=number,
            state="assigned",
            verifier=VERIFIER,
            sealed_password="Ym94",
            expires_at=SOON,
            contact_version=3,
        )
    )


def link(number: int = 2) -> Mail:
    return personal.mail_with_link(
        InvitationLinkAssigned(
            invitation_id=CAUSE,
            purchase_id=PURCHASE,
            person_id=ADA,
            number=number,
            sha256=SNAPSHOT,
            sealed_secret="Ym94",
            expires_at=SOON,
            contact_version=3,
        )
    )


def code(number: int = 2) -> Mail:
    return personal.mail_with_code(
        AddressCodeAssigned(
            person_id=ADA,
            number=number,
            verifier=VERIFIER,
            sealed_code="Ym94",
            expires_at=SOON,
            contact_version=3,
        )
    )


def contact(email: str) -> ContactRecorded:
    return ContactRecorded(person_id=ADA, name="Ada Byron", email=email)


@pytest.mark.parametrize("make", [password, link, code])
def test_each_secret_is_one_mail_of_its_own(make: type) -> None:
    assert make(1) == make(1)
    assert make(1).mail_id != make(2).mail_id


@pytest.mark.parametrize("one", [password(), link(), code()], ids=lambda one: one.letter.kind)
@pytest.mark.parametrize(
    ("newest", "now", "reason"),
    [
        (None, NOON, None),
        (Newest(2, closed=False), NOON, None),
        (Newest(1, closed=True), NOON, None),
        (Newest(3, closed=False), NOON, "superseded"),
        (Newest(2, closed=True), NOON, "closed"),
        (Newest(2, closed=False), SOON, "expired"),
    ],
)
def test_a_secret_that_is_void_is_not_sent(
    one: Mail, newest: Newest | None, now: object, reason: str | None
) -> None:
    assert not_worth_sending(one, WAITING, newest, now) == reason  # type: ignore[arg-type] # parametrize loses the type


@pytest.mark.parametrize("one", [password(), link()], ids=lambda one: one.letter.kind)
def test_passwords_and_links_go_where_their_person_is_reached_now(one: Mail) -> None:
    assert goes_to(one, WAITING) == "ada@clinics.example"
    assert goes_to(one, replace(WAITING, version=7, email="ada@newer.example")) == "ada@newer.example"


@pytest.mark.parametrize(
    ("reached", "address"),
    [
        (WAITING, "ada@new.example"),
        (replace(WAITING, version=4, unconfirmed_email="ada@other.example"), None),
        (replace(WAITING, version=2, unconfirmed_email="ada@earlier.example"), None),
        (replace(WAITING, version=None), "ada@new.example"),
        (HERE, None),
    ],
)
def test_a_code_goes_to_the_address_that_it_is_for_and_to_no_other(
    reached: Reached, address: str | None
) -> None:
    assert goes_to(code(), reached) == address
    assert not_worth_sending(code(), reached, None, NOON) == (None if address else "superseded")


@pytest.mark.parametrize(
    "letter",
    [
        letters.PasswordChanged(at=NOON),
        letters.AddressChanged(at=NOON, to_former=True),
        letters.SecondFactorChanged(at=NOON, enabled=False),
    ],
)
def test_what_changed_long_ago_is_no_news(letter: letters.Letter) -> None:
    one = mail(CAUSE, None, ADA, letter)

    assert not_worth_sending(one, HERE, None, NOON + NEWS_FOR - timedelta(seconds=1)) is None
    assert not_worth_sending(one, HERE, None, NOON + NEWS_FOR) == "outdated"


def test_mails_about_a_purchase_are_sent_whenever_it_is() -> None:
    assert (
        not_worth_sending(mail(CAUSE, PURCHASE, ADA, letters.NoReplies()), HERE, None, NOON + 9 * NEWS_FOR)
        is None
    )


def test_a_changed_address_is_told_to_the_former_one_and_to_the_new_one() -> None:
    former, new = personal.mails_about_address(contact("ada@new.example"), HERE, CAUSE, NOON)

    assert goes_to(former, Reached("ada@new.example", None, 4)) == "ada@clinics.example"
    assert goes_to(new, Reached("ada@new.example", None, 4)) == "ada@new.example"
    assert former.letter == letters.AddressChanged(at=NOON, to_former=True)
    assert new.letter == letters.AddressChanged(at=NOON, to_former=False)
    assert former.mail_id != new.mail_id
    assert (former.purchase_id, new.purchase_id) == (None, None)


@pytest.mark.parametrize("before", [None, HERE, replace(HERE, email="ADA@clinics.example")])
def test_an_address_that_is_new_or_stays_is_no_change(before: Reached | None) -> None:
    assert personal.mails_about_address(contact("ada@clinics.example"), before, CAUSE, NOON) == []


def test_another_password_is_told_and_the_first_one_is_not() -> None:
    def chosen(number: int) -> PasswordChosen:
        return PasswordChosen(person_id=ADA, number=number, verifier=VERIFIER)

    assert personal.mails_about_password(chosen(1), CAUSE, NOON) == []
    [told] = personal.mails_about_password(chosen(2), CAUSE, NOON)
    assert (told.person_id, told.letter) == (ADA, letters.PasswordChanged(at=NOON))


def test_a_second_factor_is_told_to_be_on_or_off() -> None:
    for state in ("enabled", "disabled"):
        event = SecondFactorSet.model_validate({"person_id": ADA, "number": 1, "state": state})
        told = personal.mail_about_second_factor(event, CAUSE, NOON)
        assert told.letter == letters.SecondFactorChanged(at=NOON, enabled=state == "enabled")
