"""What the mails say, whatever strangers write into their names and reasons."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notification import letters
from services.notification.letters import Letter, Offered, OwnRow, Participant, letter_from_json, render
from services.notification.plain_text import one_line
from tests.unit.notification.notification_facts import LOSER, NOON, PURCHASE, TERMS_SHA256, WINNER


def rendered(
    letter: Letter, group_name: str = "North Line Pool", password: str | None = None
) -> tuple[str, str]:
    return render(
        letter, group_name=group_name, purchase_id=PURCHASE, recipient="Ada Byron", password=password
    )


def offers() -> tuple[Offered, ...]:
    return (
        Offered(
            rank=1,
            provider_id=WINNER,
            contract_months=24,
            charged=Decimal("101000.00"),
            total=Decimal("80111.10"),
            saving=Decimal("20888.90"),
        ),
        Offered(
            rank=2,
            provider_id=LOSER,
            contract_months=24,
            charged=Decimal("101000.00"),
            total=Decimal("101234.56"),
            saving=Decimal("-234.56"),
        ),
    )


def participants() -> tuple[Participant, ...]:
    def one(provider_id: str, name: str, **did: Any) -> Participant:
        did = {"access": True, "granted_at": None, "acknowledged_at": None, "declined": False, **did}
        return Participant(provider_id=provider_id, name=name, **did)

    return (
        one(WINNER, "Tel AG", granted_at=NOON, acknowledged_at=NOON),
        one(LOSER, "A very long name " * 12, declined=True),
        one("quiet0000003", "", access=False),
    )


EVERY_LETTER: list[Letter] = [
    letters.Joined(legal_name="Northgate Clinics Ltd"),
    letters.InitialPassword(number=1, expires_at=NOON),
    letters.Verified(valid_until=NOON),
    letters.NotVerified(party="Northgate Clinics Ltd", reason="The extract is of another company."),
    letters.Lapsed(reason="A document expired."),
    letters.ProvidersInvited(title="Voice lines", invited=3, deadline=NOON),
    letters.NoReplies(),
    letters.RepliesCompared(
        currency="EUR",
        tax_basis="net",
        group=(),
        own=(OwnRow(legal_name="Northgate Clinics Ltd", offers=offers()),),
    ),
    letters.TermsToAccept(provider_id=WINNER, title="Terms", terms_sha256=TERMS_SHA256),
    letters.TermsRejected(reason="Too long."),
    letters.Cancelled(reason="No budget."),
    letters.QuestionWaits(question_id=PURCHASE, question="Which floors?"),
    letters.NoReplies(participants=participants()),
    letters.Done(provider_id=WINNER, terms_sha256=TERMS_SHA256),
]


@pytest.mark.parametrize("letter", EVERY_LETTER, ids=lambda letter: letter.kind)
def test_every_mail_greets_its_reader_names_the_group_and_survives_the_queue(letter: Letter) -> None:
    password = "7KQ2-M9XD" if letter.kind == "initial_password" else None
    subject, text = rendered(letter_from_json.validate_json(letter.model_dump_json()), password=password)

    assert subject.startswith("[North Line Pool] ")
    assert text.startswith("Hello Ada Byron,\n\n")
    assert text.endswith(f"-- \nLinepool, for the group North Line Pool\nPurchase {PURCHASE}\n")
    assert "{" not in text
    assert text.isascii()


def test_a_members_mail_reads_like_this() -> None:
    _, text = rendered(EVERY_LETTER[7])

    assert (
        text.split("\n\n", 2)[2].split("\n\n-- ")[0]
        == """Northgate Clinics Ltd (EUR, net):

  rank      provider  months     charged   would pay     saving
     1  winner000001      24  101,000.00   80,111.10  20,888.90
     2  loser0000002      24  101,000.00  101,234.56    -234.56

No other member is shown these figures, and you are shown no other member's."""
    )


def test_the_coordinator_reads_what_the_invited_providers_did() -> None:
    _, text = rendered(letters.NoReplies(participants=participants()))

    assert (
        text.split("request:\n\n")[1].split("\n\n-- ")[0]
        == """winner000001 (Tel AG): was shown it on 4 May 2026, 12:00 UTC, acknowledged
it on 4 May 2026, 12:00 UTC.
loser0000002 (A very long name A very long name A very): was shown it,
declined.
quiet0000003: was offered it, and was not shown it."""
    )


def test_only_the_coordinator_is_asked_to_select() -> None:
    coordinators = letters.RepliesCompared(currency="EUR", tax_basis="net", group=offers(), own=())

    assert "Please select a reply" in rendered(coordinators)[1]
    assert "Please select a reply" not in rendered(EVERY_LETTER[7])[1]


@pytest.mark.parametrize("letter", EVERY_LETTER, ids=lambda letter: letter.kind)
def test_no_line_of_a_mail_is_longer_than_a_mail_program_shows(letter: Letter) -> None:
    _, text = rendered(letter, password="7KQ2-M9XD" if letter.kind == "initial_password" else None)

    assert max(map(len, text.splitlines())) <= 95


def test_times_read_as_people_write_them() -> None:
    assert "until 4 May 2026, 12:00 UTC" in rendered(letters.Verified(valid_until=NOON))[1]


def test_one_provider_is_not_several() -> None:
    assert (
        "presented to 1 provider."
        in rendered(letters.ProvidersInvited(title="T", invited=1, deadline=NOON))[1]
    )


def test_the_password_stands_in_its_own_mail_and_in_no_other() -> None:
    _, text = rendered(letters.InitialPassword(number=1, expires_at=NOON), password="7KQ2-M9XD")

    assert "\n    7KQ2-M9XD\n" in text
    with pytest.raises(ValueError, match="exactly one kind"):
        rendered(letters.NoReplies(), password="7KQ2-M9XD")
    with pytest.raises(ValueError, match="exactly one kind"):
        rendered(letters.InitialPassword(number=1, expires_at=NOON))


def test_a_reason_of_many_lines_cannot_pass_for_the_mails_own_text() -> None:
    hostile = "No.\n\n-- \nLinepool\r\nPlease send your password to mallory@example.org\u2028now\x85really"
    _, text = rendered(letters.Cancelled(reason=hostile))

    ours = [line for line in text.splitlines() if not line.startswith("> ")]
    assert not any("mallory" in line or "now" in line or "really" in line for line in ours)


@pytest.mark.parametrize(
    ("hostile", "harmless"),
    [
        ("Ada\r\nBcc: mallory@example.org", "Ada Bcc: mallory@example.org"),
        ("Ada\u2028Byron\x85King", "Ada Byron King"),
        ("\u202egnp.exe\u202c Ltd", "gnp.exe Ltd"),
        ("  Ada \t Byron\x00 ", "Ada Byron"),
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        ),
    ],
)
def test_names_are_put_on_one_line(hostile: str, harmless: str) -> None:
    assert one_line(hostile) == harmless


@given(st.text(), st.text(), st.text())
def test_no_name_makes_a_subject_of_two_lines_or_text_outside_its_place(
    group: str, buyer: str, reason: str
) -> None:
    subject, text = rendered(letters.NotVerified(party=buyer, reason=reason), group_name=group)

    assert len(subject.splitlines()) == 1
    ours = [line for line in text.splitlines() if not line.startswith("> ")]
    assert len(ours) == len(rendered(letters.NotVerified(party="x", reason="x"))[1].splitlines()) - 1 + (
        not reason.splitlines()
    )


def test_a_letter_of_an_unknown_kind_is_not_read() -> None:
    with pytest.raises(ValueError, match="kind"):
        letter_from_json.validate_json('{"kind": "advertisement"}')
