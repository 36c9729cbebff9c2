"""Who is told what, and what must have arrived before."""

from dataclasses import replace
from uuid import UUID

import pytest

from services.notification import letters
from services.notification.domain import personal, telling
from services.notification.domain.known import Known
from services.notification.domain.mails import Sealed
from services.notification.domain.participation import Invitation
from services.notification.domain.telling import Told
from shared.messages.aggregation import (
    BuyerJoined,
    CredentialAssigned,
    GroupDissolved,
    Identifier,
    MinimumMissed,
)
from shared.messages.base import Message
from shared.messages.bidding import (
    Acknowledgement,
    OpenedReply,
    QuestionReceived,
    RepliesOpened,
    TermsAccepted,
    TermsPresented,
    TermsRejected,
)
from shared.messages.distribution import ProviderInvited, RequestDistributed
from shared.messages.notification import AwardNotified, UnsuccessfulNotified
from shared.messages.rfp import (
    DeadlinePassed,
    GroupNotQualified,
    GroupQualified,
    QualificationLapsed,
    RequestCancelled,
)
from tests.unit.notification.notification_facts import (
    ADA,
    BEN,
    CLINICS,
    CLINICS_BUYER,
    COORDINATOR,
    FREIGHT,
    FREIGHT_BUYER,
    LOSER,
    LOST,
    NOON,
    PURCHASE,
    SNAPSHOT,
    TERMS_SHA256,
    WINNER,
    WON,
    a_fact,
    everything_known,
    provider_selected,
    replies_compared,
)


def told(message: Message, known: Known | None = None) -> Told:
    outcome = telling.tell(a_fact(message), known or everything_known())
    assert outcome is not None
    return outcome


def recipients(outcome: Told) -> list[UUID]:
    return [mail.person_id for mail in outcome.mails]


def terms_accepted() -> TermsAccepted:
    return TermsAccepted(
        purchase_id=PURCHASE, award=1, provider_id=WINNER, terms_sha256=TERMS_SHA256, accepted_by=COORDINATOR
    )


def nothing_opened(standing: str | None = None) -> RepliesOpened:
    reply = {"reply_id": WON, "provider_id": WINNER, "revision": 1, "appended_at": NOON, "standing": standing}
    replies = (OpenedReply.model_validate(reply),) if standing else ()
    return RepliesOpened(purchase_id=PURCHASE, request_version=1, replies=replies, declined=())


def test_the_winner_is_told_every_buyer_and_every_other_bidder_its_own_rank_and_reason() -> None:
    notices = dict(told(provider_selected()).notices)

    assert set(notices) == {WINNER, LOSER}
    award, unsuccessful = notices[WINNER], notices[LOSER]
    assert isinstance(award, AwardNotified)
    assert [(buyer.buyer_id, buyer.legal_name) for buyer in award.buyers] == [
        (CLINICS, "Northgate Clinics Ltd"),
        (FREIGHT, "Harbour Freight GmbH"),
    ]
    assert award.buyers[0].identifiers == (Identifier(scheme="GB-COH", id="04512378"),)
    assert unsuccessful == UnsuccessfulNotified(
        purchase_id=PURCHASE, reply_id=LOST, rank=2, reason="Costs more over the term."
    )


def test_the_loser_is_told_nothing_of_the_winner_or_the_buyers() -> None:
    body = dict(told(provider_selected()).notices)[LOSER].to_bytes().decode()

    assert WINNER not in body
    assert str(WON) not in body
    assert "Northgate" not in body


@pytest.mark.parametrize(
    "lacking",
    [
        replace(everything_known(), coordinator_id=None),
        replace(everything_known(), member_ids=None),
        replace(everything_known(), buyers={CLINICS: CLINICS_BUYER}),
    ],
    ids=["no coordinator", "no membership", "a buyer missing"],
)
def test_an_award_waits_until_every_member_is_known(lacking: Known) -> None:
    assert telling.tell(a_fact(provider_selected()), lacking) is None


def test_buyers_that_are_not_members_of_the_frozen_group_are_not_named_to_the_winner() -> None:
    known = replace(everything_known(), member_ids=(CLINICS,))

    award = dict(told(provider_selected(), known).notices)[WINNER]

    assert isinstance(award, AwardNotified)
    assert [buyer.buyer_id for buyer in award.buyers] == [CLINICS]


@pytest.mark.parametrize(
    "answer",
    [
        terms_accepted(),
        TermsRejected(
            purchase_id=PURCHASE, award=1, provider_id=WINNER, terms_sha256=TERMS_SHA256, reason="Too long."
        ),
    ],
)
def test_the_winner_hears_of_the_award_before_it_hears_of_its_terms(answer: Message) -> None:
    untold = everything_known(awards_told=frozenset())

    assert telling.tell(a_fact(answer), untold) is None
    assert [provider for provider, _ in told(answer).notices] == [WINNER]
    first, second = telling.in_order_of_telling([a_fact(answer), a_fact(provider_selected())])
    assert (type(first.message), type(second.message)) == (type(provider_selected()), type(answer))


def test_a_member_is_shown_its_own_row_and_no_other_members_figures() -> None:
    mails = {mail.person_id: mail.letter for mail in told(replies_compared()).mails}

    ada = mails[ADA]
    assert isinstance(ada, letters.RepliesCompared)
    assert ada.group == ()
    assert [row.legal_name for row in ada.own] == ["Northgate Clinics Ltd"]
    assert [
        (o.rank, o.provider_id, str(o.charged), str(o.total), str(o.saving)) for o in ada.own[0].offers
    ] == [
        (1, WINNER, "1000.00", "801.11", "198.89"),
        (2, LOSER, "1000.00", "901.23", "98.77"),
    ]
    text = ada.model_dump_json()
    for other in ("Harbour", "444.44", "555.55", "500.50", "1245.55", "1500.50"):
        assert other not in text


def test_the_coordinator_is_shown_every_rank_and_the_groups_totals() -> None:
    mails = {mail.person_id: mail.letter for mail in told(replies_compared()).mails}

    letter = mails[COORDINATOR]
    assert isinstance(letter, letters.RepliesCompared)
    assert letter.own == ()
    assert [(o.rank, o.provider_id, str(o.charged), str(o.total), str(o.saving)) for o in letter.group] == [
        (1, WINNER, "1500.50", "1245.55", "254.95"),
        (2, LOSER, "1500.50", "1456.78", "43.72"),
    ]


def test_one_contact_of_two_buyers_gets_one_mail_with_both_rows() -> None:
    known = everything_known(CLINICS_BUYER, replace(FREIGHT_BUYER, contact_id=ADA))

    mails = [mail for mail in told(replies_compared(), known).mails if mail.person_id == ADA]

    assert len(mails) == 1
    assert isinstance(mails[0].letter, letters.RepliesCompared)
    assert [row.legal_name for row in mails[0].letter.own] == [
        "Northgate Clinics Ltd",
        "Harbour Freight GmbH",
    ]


def test_the_comparison_waits_for_its_document() -> None:
    assert telling.tell(a_fact(replies_compared()), replace(everything_known(), comparisons={})) is None


def test_opening_and_comparing_nothing_make_one_mail_for_each_person() -> None:
    compared_nothing = replies_compared().model_copy(update={"replies": ()})

    assert {m.mail_id for m in told(nothing_opened()).mails} == {
        m.mail_id for m in told(compared_nothing).mails
    }
    assert recipients(told(nothing_opened("invalid"))) == [COORDINATOR, ADA, BEN]
    assert told(nothing_opened("evaluated")).mails == ()


@pytest.mark.parametrize(
    ("message", "people"),
    [
        (
            GroupQualified(purchase_id=PURCHASE, number=1, snapshot=SNAPSHOT, valid_until=NOON),
            [COORDINATOR, ADA, BEN],
        ),
        (QualificationLapsed(purchase_id=PURCHASE, number=1, reason="A document expired."), [COORDINATOR]),
        (RequestDistributed(purchase_id=PURCHASE, request_version=1, invited=2), [COORDINATOR, ADA, BEN]),
        (RequestCancelled(purchase_id=PURCHASE, reason="No budget."), [COORDINATOR, ADA, BEN]),
        (
            TermsPresented(
                purchase_id=PURCHASE,
                award=1,
                provider_id=WINNER,
                title="Terms",
                text="All of them.",
                terms_sha256=TERMS_SHA256,
            ),
            [COORDINATOR],
        ),
        (terms_accepted(), [COORDINATOR, ADA, BEN]),
    ],
)
def test_each_fact_goes_to_the_people_it_concerns(message: Message, people: list[UUID]) -> None:
    assert recipients(told(message)) == people


@pytest.mark.parametrize(
    ("party", "party_id", "people", "named"),
    [
        ("buyer", FREIGHT, [COORDINATOR, BEN], "Harbour Freight GmbH"),
        ("coordinator", COORDINATOR, [COORDINATOR], "the coordinator"),
    ],
)
def test_a_refused_party_is_told_and_other_members_are_not(
    party: str, party_id: UUID, people: list[UUID], named: str
) -> None:
    event = GroupNotQualified.model_validate(
        {
            "purchase_id": PURCHASE,
            "snapshot": SNAPSHOT,
            "party": party,
            "party_id": party_id,
            "reason": "No extract.",
        }
    )

    outcome = told(event)

    assert recipients(outcome) == people
    assert outcome.mails[0].letter == letters.NotVerified(party=named, reason="No extract.")


def test_a_coordinator_who_is_also_a_buyers_contact_gets_one_mail_about_a_fact() -> None:
    known = everything_known(CLINICS_BUYER, replace(FREIGHT_BUYER, contact_id=COORDINATOR))

    assert recipients(told(RequestCancelled(purchase_id=PURCHASE, reason="No budget."), known)) == [
        COORDINATOR,
        ADA,
    ]


def test_the_invitation_mail_waits_for_the_requests_title_and_deadline() -> None:
    distributed = RequestDistributed(purchase_id=PURCHASE, request_version=2, invited=2)

    assert telling.tell(a_fact(distributed), everything_known()) is None


def test_only_the_coordinator_is_asked_for_the_custodians_key_and_only_where_there_is_one() -> None:
    passed = DeadlinePassed(purchase_id=PURCHASE, request_version=1, deadline=NOON)
    known = everything_known()
    assert known.requests is not None
    named = replace(known, requests={1: replace(known.requests[1], custodian="Meier & Partners")})

    outcome = told(passed, named)

    assert recipients(outcome) == [COORDINATOR]
    assert outcome.mails[0].letter == letters.KeyAwaited(custodian="Meier & Partners")
    assert told(passed).mails == ()


def test_the_mail_about_the_custodians_key_waits_for_the_request() -> None:
    passed = DeadlinePassed(purchase_id=PURCHASE, request_version=2, deadline=NOON)

    assert telling.tell(a_fact(passed), everything_known()) is None


def test_a_fact_and_a_person_always_give_the_same_mail_and_other_facts_another() -> None:
    cancelled = RequestCancelled(purchase_id=PURCHASE, reason="No budget.")
    fact, other = a_fact(cancelled), replace(a_fact(cancelled), cause_id=UUID(int=7))
    ids = [
        mail.mail_id
        for f in (fact, fact, other)
        if (t := telling.tell(f, everything_known()))
        for mail in t.mails
    ]

    assert ids[:3] == ids[3:6]
    assert len(set(ids)) == 6


def test_a_message_that_nobody_is_told_about_is_a_mistake() -> None:
    event = ProviderInvited(
        purchase_id=PURCHASE,
        request_version=1,
        provider_id=WINNER,
        mode="transmit",
        content_sha256=SNAPSHOT,
        qualification=1,
    )
    with pytest.raises(TypeError, match=r"nobody is told about linepool\.provider-invited\.v1"):
        telling.tell(a_fact(event), everything_known())


def test_a_joining_is_told_to_the_buyers_contact() -> None:
    event = BuyerJoined(
        purchase_id=PURCHASE,
        buyer_id=CLINICS,
        legal_name="Northgate Clinics Ltd",
        identifiers=CLINICS_BUYER.identifiers,
        contact_id=ADA,
    )
    mail = personal.mail_about_joining(event, UUID(int=1))

    assert (mail.person_id, mail.letter) == (ADA, letters.Joined(legal_name="Northgate Clinics Ltd"))


def a_credential(number: int) -> CredentialAssigned:
    return CredentialAssigned(
        purchase_id=PURCHASE,
        person_id=COORDINATOR,
        number=number,
        state="assigned",
        verifier="$argon2id$verifier",
        sealed_password="Ym94",
        expires_at=NOON,
    )


def test_a_reissued_password_is_another_mail_and_neither_keeps_the_verifier() -> None:
    first, second = (personal.mail_with_password(a_credential(number)) for number in (1, 2))

    assert first.mail_id != second.mail_id
    assert first.sealed == Sealed(f"{COORDINATOR}/{PURCHASE}", "Ym94", None)
    assert "argon2id" not in repr(first)


def test_only_the_coordinator_learns_who_was_invited_and_what_they_did() -> None:
    opened = nothing_opened().model_copy(
        update={
            "declined": (LOSER,),
            "acknowledged": (
                Acknowledgement(
                    provider_id=WINNER, request_version=1, content_sha256=SNAPSHOT, acknowledged_at=NOON
                ),
                Acknowledgement(
                    provider_id=LOSER, request_version=2, content_sha256=SNAPSHOT, acknowledged_at=NOON
                ),
            ),
        }
    )
    known = replace(
        everything_known(),
        opened=opened,
        invitations=(
            Invitation(1, WINNER, "Tel AG", "grant", NOON),
            Invitation(1, LOSER, None, "grant", None),
            Invitation(2, LOSER, None, "grant", NOON),
        ),
    )
    common = {"access": False, "granted_at": None, "acknowledged_at": None, "declined": False}
    expected = (
        letters.Participant(**{**common, "provider_id": LOSER, "name": "", "declined": True}),
        letters.Participant(
            **{
                **common,
                "provider_id": WINNER,
                "name": "Tel AG",
                "access": True,
                "granted_at": NOON,
                "acknowledged_at": NOON,
            }
        ),
    )

    for message in (opened, replies_compared()):
        for mail in told(message, known).mails:
            assert isinstance(mail.letter, letters.NoReplies | letters.RepliesCompared)
            assert mail.letter.participants == (expected if mail.person_id == COORDINATOR else ())


def test_a_question_is_told_to_the_coordinator_only() -> None:
    question = QuestionReceived(
        purchase_id=PURCHASE, question_id=UUID(int=8), request_version=1, question="Which floors?"
    )

    (mail,) = told(question).mails

    assert mail.person_id == COORDINATOR
    assert mail.letter == letters.QuestionWaits(question_id=UUID(int=8), question="Which floors?")


@pytest.mark.parametrize(
    "fact",
    [
        MinimumMissed(purchase_id=PURCHASE, buyers=2, lines=3, otherwise="coordinator_decides"),
        GroupDissolved(purchase_id=PURCHASE, reason="Too few."),
    ],
)
def test_what_becomes_of_an_open_group_is_told_to_who_is_in_it_now(fact: Message) -> None:
    known = Known(
        PURCHASE, coordinator_id=COORDINATOR, present=(CLINICS_BUYER,), buyers={FREIGHT: FREIGHT_BUYER}
    )

    assert recipients(told(fact, known)) == [COORDINATOR, ADA]
    assert telling.tell(a_fact(fact), replace(known, coordinator_id=None)) is None


def test_only_the_coordinator_is_asked_to_decide_about_a_small_group() -> None:
    missed = MinimumMissed(purchase_id=PURCHASE, buyers=2, lines=3, otherwise="coordinator_decides")
    known = replace(everything_known(), present=(CLINICS_BUYER,))

    decides = {
        mail.person_id: mail.letter.decides
        for mail in told(missed, known).mails
        if isinstance(mail.letter, letters.MinimumMissed)
    }

    assert decides == {COORDINATOR: True, ADA: False}


def test_a_group_that_is_given_up_for_its_size_is_told_so_once() -> None:
    missed = MinimumMissed(purchase_id=PURCHASE, buyers=2, lines=3, otherwise="dissolve")

    assert told(missed).mails == ()
