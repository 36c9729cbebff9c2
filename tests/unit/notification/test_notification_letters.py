"""What the mails say, whatever strangers write into their names and reasons."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notification import letters
from services.notification.letters import (
    Letter,
    Offered,
    OwnRow,
    Participant,
    SecretLetter,
    letter_from_json,
    render,
)
from services.notification.plain_text import one_line
from shared.messages.providers import TermsDocument
from tests.unit.notification.notification_facts import LOSER, NOON, PURCHASE, TERMS_SHA256, WINNER


def rendered(
    letter: Letter, group_name: str = "North Line Pool", secret: str | None = None
) -> tuple[str, str]:
    return render(letter, group_name=group_name, purchase_id=PURCHASE, recipient="Ada Byron", secret=secret)


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


TERMS_DOCUMENT = TermsDocument(
    name="terms.pdf", media_type="application/pdf", sha256="d" * 64, size=1234, parts=1
)


def invitation(number: int) -> letters.InvitationLink:
    return letters.InvitationLink(invitation_id=PURCHASE, number=number, expires_at=NOON)


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
    letters.TermsToAccept(
        provider_id=WINNER, title="Terms", terms_sha256=TERMS_SHA256, document=TERMS_DOCUMENT
    ),
    letters.TermsRejected(reason="Too long."),
    letters.Cancelled(reason="No budget."),
    letters.QuestionWaits(question_id=PURCHASE, question="Which floors?"),
    letters.NoReplies(participants=participants()),
    letters.Done(provider_id=WINNER, terms_sha256=TERMS_SHA256),
    letters.InitialPassword(number=2, expires_at=NOON),
    invitation(1),
    invitation(2),
    letters.AddressCode(number=1, expires_at=NOON),
    letters.MinimumMissed(
        buyers=1,
        lines=120,
        needed=letters.Smallest(buyers=5, lines=1200, decide_by=NOON),
        decides=True,
    ),
    letters.MinimumMissed(buyers=1, lines=120, needed=None, decides=False),
    letters.Dissolved(reason="Nobody else came."),
    letters.PasswordChanged(at=NOON),
    letters.AddressChanged(at=NOON, to_former=True),
    letters.AddressChanged(at=NOON, to_former=False),
    letters.SecondFactorChanged(at=NOON, enabled=True),
    letters.SecondFactorChanged(at=NOON, enabled=False),
    letters.KeyAwaited(custodian="Meier & Partners"),
]


@pytest.mark.parametrize("letter", EVERY_LETTER, ids=lambda letter: letter.kind)
def test_every_mail_greets_its_reader_names_the_group_and_survives_the_queue(letter: Letter) -> None:
    secret = "7KQ2-M9XD" if isinstance(letter, SecretLetter) else None
    subject, text = rendered(letter_from_json.validate_json(letter.model_dump_json()), secret=secret)

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
    link = f"https://portal.example/join/{'7' * 26}"
    _, text = rendered(letter, secret=link if isinstance(letter, SecretLetter) else None)

    assert max(map(len, text.splitlines())) <= 95


def test_times_read_as_people_write_them() -> None:
    assert "until 4 May 2026, 12:00 UTC" in rendered(letters.Verified(valid_until=NOON))[1]


def test_one_provider_is_not_several() -> None:
    assert (
        "presented to 1 provider."
        in rendered(letters.ProvidersInvited(title="T", invited=1, deadline=NOON))[1]
    )


SECRET_LETTERS: list[Letter] = [one for one in EVERY_LETTER if isinstance(one, SecretLetter)]


@pytest.mark.parametrize("letter", SECRET_LETTERS, ids=lambda letter: letter.kind)
def test_a_secret_stands_once_in_its_own_mail(letter: Letter) -> None:
    _, text = rendered(letter, secret="7KQ2-M9XD")

    assert text.count("\n    7KQ2-M9XD\n") == text.count("7KQ2-M9XD") == 1
    with pytest.raises(ValueError, match="exactly the mails"):
        rendered(letter)


@pytest.mark.parametrize(
    "letter", [one for one in EVERY_LETTER if one not in SECRET_LETTERS], ids=lambda letter: letter.kind
)
def test_a_secret_stands_in_no_other_mail(letter: Letter) -> None:
    with pytest.raises(ValueError, match="exactly the mails"):
        rendered(letter, secret="7KQ2-M9XD")


def test_a_mail_about_the_person_alone_names_no_group() -> None:
    subject, text = render(
        letters.PasswordChanged(at=NOON),
        group_name=None,
        purchase_id=None,
        recipient="Ada Byron",
        secret=None,
    )

    assert subject == "[Linepool] Your password was changed"
    assert text.endswith("\n\n-- \nLinepool\n")
    assert "None" not in text


def test_a_reissued_password_and_a_renewed_link_say_that_those_before_are_void() -> None:
    for first, again in (
        (
            letters.InitialPassword(number=1, expires_at=NOON),
            letters.InitialPassword(number=2, expires_at=NOON),
        ),
        (invitation(1), invitation(2)),
    ):
        assert "no longer work" not in " ".join(rendered(first, secret="7KQ2")[1].split())
        assert "mailed to you before no longer work." in " ".join(rendered(again, secret="7KQ2")[1].split())


def test_everyone_reads_how_large_the_group_is_and_only_the_coordinator_what_to_do() -> None:
    needed = letters.Smallest(buyers=5, lines=1200, decide_by=NOON)
    told = {
        decides: " ".join(
            rendered(letters.MinimumMissed(buyers=1, lines=120, needed=needed, decides=decides))[1].split()
        )
        for decides in (True, False)
    }

    lines_alone = letters.Smallest(buyers=0, lines=1200, decide_by=NOON)
    missed = letters.MinimumMissed(buyers=1, lines=120, needed=lines_alone, decides=True)
    assert "at least 1,200 lines of reported usage by" in " ".join(rendered(missed)[1].split())
    for text in told.values():
        assert "It has 1 member and 120 lines of reported usage." in text
        assert "at least 5 members and 1,200 lines of reported usage by 4 May 2026, 12:00 UTC." in text
    assert "You decide now" in told[True]
    assert "The coordinator decides now" in told[False]


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


def test_the_mail_about_terms_names_their_document() -> None:
    letter = letters.TermsToAccept(
        provider_id=WINNER, title="Terms", terms_sha256=TERMS_SHA256, document=TERMS_DOCUMENT
    )

    text = "\n".join(letter.paragraphs())

    assert "terms.pdf (application/pdf, 1234 bytes)" in text
    assert TERMS_DOCUMENT.sha256 in text
    assert TERMS_SHA256 in text
