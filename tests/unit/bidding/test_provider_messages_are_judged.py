from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID, uuid4, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.bidding.domain.arrivals import Answered, Arrival, ProviderWord, Receipt, Rejection
from services.bidding.domain.box import Box, cancel, issue, pass_deadline
from services.bidding.domain.intake import Desk, Judgement, KnownReply, NewestReply, StandingAward, judge
from tests.service.bidding.bidding_facts import AIKO, BRIO, LISTED, UNLISTED, Purchase, an_offer

PURCHASE = Purchase()
CAUSE = UUID(int=1)


def a_box() -> Box:
    box = issue(Box(PURCHASE.purchase_id), PURCHASE.request, CAUSE, "none")
    assert box is not None
    return box


def a_desk(**known: object) -> Desk:
    return replace(Desk({PURCHASE.purchase_id: a_box()}), **known)


def said(
    word: ProviderWord, provider: str = AIKO, *, at: datetime = PURCHASE.in_time, id_: UUID | None = None
) -> Arrival:
    body = word.model_dump_json().encode()
    inbox_id = id_ or uuid4()
    return Arrival(inbox_id, provider, str(inbox_id), word.type(), sha256(body).hexdigest(), at, body, word)


def reasons(judgements: Sequence[Judgement]) -> list[str | None]:
    """The reason of each rejection, `taken` for a receipt, None while held."""
    words: list[str | None] = []
    for one in judgements:
        match one.answer:
            case Rejection(reason):
                words.append(reason)
            case Receipt():
                words.append("taken")
            case None:
                words.append(None)
    return words


@given(st.timedeltas(timedelta(days=-3), timedelta(days=3)))
def test_in_time_means_appended_before_the_deadline(distance: timedelta) -> None:
    arrival = said(PURCHASE.reply(), at=PURCHASE.deadline + distance)

    assert reasons(judge([arrival], a_desk())) == ["taken" if distance < timedelta(0) else "late"]


@pytest.mark.parametrize(
    ("distance", "answer"),
    [
        (timedelta(milliseconds=-1), "taken"),
        (timedelta(0), "late"),
        (timedelta(milliseconds=1), "late"),
    ],
)
def test_a_message_appended_at_the_deadline_is_late(distance: timedelta, answer: str) -> None:
    at = PURCHASE.deadline + distance

    assert reasons(judge([said(PURCHASE.reply(), at=at)], a_desk())) == [answer]
    assert reasons(judge([said(PURCHASE.decline(), at=at)], a_desk())) == [answer]


def test_that_the_deadline_has_passed_does_not_make_a_message_late() -> None:
    box = pass_deadline(a_box(), PURCHASE.deadline_passed, CAUSE)
    assert box is not None

    assert reasons(judge([said(PURCHASE.reply())], Desk({PURCHASE.purchase_id: box}))) == ["taken"]


def test_a_closed_box_takes_nothing_whatever_the_append_time() -> None:
    box = replace(a_box(), closed_at=datetime.now(UTC))

    assert reasons(judge([said(PURCHASE.reply())], Desk({PURCHASE.purchase_id: box}))) == ["late"]


def test_a_cancelled_purchase_takes_nothing() -> None:
    box = cancel(a_box(), CAUSE)
    assert box is not None
    words = [PURCHASE.reply(), PURCHASE.decline(), PURCHASE.terms()]

    judged = judge([said(word) for word in words], Desk({PURCHASE.purchase_id: box}))

    assert reasons(judged) == ["cancelled"] * 3


@given(
    st.lists(st.tuples(st.sampled_from([AIKO, BRIO]), st.integers(1, 5), st.sampled_from("xyz")), max_size=25)
)
def test_each_providers_revisions_rise_and_keep_their_content(said_: list[tuple[str, int, str]]) -> None:
    arrivals = [
        said(PURCHASE.reply(revision=revision, offer=an_offer(name=name)), provider)
        for provider, revision, name in said_
    ]

    judged = judge(arrivals, a_desk())

    taken: dict[str, dict[int, tuple[str, UUID]]] = {AIKO: {}, BRIO: {}}
    for (provider, revision, name), one in zip(said_, judged, strict=True):
        before = taken[provider]
        if revision in before:
            content, reply_id = before[revision]
            expected = Receipt(reply_id) if name == content else "revision_used"
        elif any(revision < other for other in before):
            expected = "revision_used"
        else:
            expected = Receipt(one.arrival.id)
            before[revision] = (name, one.arrival.id)
        answer = one.answer.reason if isinstance(one.answer, Rejection) else one.answer
        assert answer == expected
        assert (one.adds == "reply") == (answer == Receipt(one.arrival.id))


@given(st.data())
def test_how_messages_are_cut_into_batches_changes_no_answer(data: st.DataObject) -> None:
    space = UUID(int=7)
    spoken = data.draw(
        st.lists(st.tuples(st.sampled_from(LISTED), st.integers(1, 4)), min_size=1, max_size=15)
    )
    arrivals = [
        said(PURCHASE.reply(revision=revision), provider, id_=uuid5(space, str(number)))
        for number, (provider, revision) in enumerate(spoken)
    ]
    cut = data.draw(st.integers(0, len(arrivals)))

    whole = judge(arrivals, a_desk())
    first = judge(arrivals[:cut], a_desk())
    added = [one.arrival for one in first if one.adds == "reply"]
    known = {
        (PURCHASE.purchase_id, one.provider_id, one.word.revision): KnownReply(one.id, one.sha256)  # type: ignore[union-attr] # replies only
        for one in added
    }
    newest = {
        (purchase_id, provider): NewestReply(reply.reply_id, revision)
        for (purchase_id, provider, revision), reply in sorted(known.items(), key=lambda one: one[0][2])
    }
    second = judge(arrivals[cut:], a_desk(replies=known, newest=newest))

    assert [one.answer for one in (*first, *second)] == [one.answer for one in whole]


def test_an_unlisted_provider_and_an_unknown_purchase_are_held_and_then_answered_alike() -> None:
    unlisted, unknown = said(PURCHASE.reply(), UNLISTED), said(Purchase().reply(), AIKO)

    assert reasons(judge([unlisted, unknown], a_desk())) == [None, None]
    judged = judge([unlisted, unknown], a_desk(), final={unlisted.id, unknown.id})
    assert judged[0].answer == judged[1].answer
    assert reasons(judged) == ["unknown_purchase"] * 2


def test_what_a_sender_says_after_a_held_message_waits_behind_it() -> None:
    desk = a_desk(waiting={(PURCHASE.purchase_id, AIKO)})

    judged = judge([said(PURCHASE.reply(revision=2)), said(PURCHASE.reply(), BRIO)], desk)

    assert reasons(judged) == [None, "taken"]


@pytest.mark.parametrize(
    ("award", "provider", "answer"),
    [
        (None, AIKO, "not_selected"),
        (StandingAward(1, BRIO, has_terms=False), AIKO, "not_selected"),
        (StandingAward(2, AIKO, has_terms=False), AIKO, "not_selected"),
        (StandingAward(1, AIKO, has_terms=True), AIKO, "terms_not_due"),
        (StandingAward(1, AIKO, has_terms=False), AIKO, "taken"),
    ],
)
def test_terms_are_taken_from_the_selected_provider_once(
    award: StandingAward | None, provider: str, answer: str
) -> None:
    awards = {} if award is None else {PURCHASE.purchase_id: award}
    long_after = PURCHASE.deadline + timedelta(days=30)

    judged = judge([said(PURCHASE.terms(), provider, at=long_after)], a_desk(awards=awards))

    assert reasons(judged) == [answer]


def test_two_terms_in_one_batch_are_presented_once() -> None:
    awards = {PURCHASE.purchase_id: StandingAward(1, AIKO, has_terms=False)}

    judged = judge([said(PURCHASE.terms("a")), said(PURCHASE.terms("b"))], a_desk(awards=awards))

    assert reasons(judged) == ["taken", "terms_not_due"]


def test_terms_under_the_hash_of_another_text_are_refused() -> None:
    awards = {PURCHASE.purchase_id: StandingAward(1, AIKO, has_terms=False)}
    swapped = PURCHASE.terms("a").model_copy(update={"text": "b"})

    assert reasons(judge([said(swapped)], a_desk(awards=awards))) == ["invalid"]


@pytest.mark.parametrize(
    "award", [None, StandingAward(1, AIKO, has_terms=True), StandingAward(2, AIKO, has_terms=False)]
)
def test_after_a_restore_terms_wait_for_the_order_that_made_room_for_them(
    award: StandingAward | None,
) -> None:
    desk = a_desk(
        awards={} if award is None else {PURCHASE.purchase_id: award},
        orders_to_come={(PURCHASE.purchase_id, 1, AIKO)},
    )
    words = [PURCHASE.terms(), *PURCHASE.terms_parts(b"document")]

    assert set(reasons(judge([said(one) for one in words[:1]], desk))) == {None}
    part = reasons(judge([said(words[1])], desk))
    # A part adds nothing that a later answer of the group would take back, so it need not wait for that.
    assert part == (["taken"] if award is not None and award.number == 1 else [None])
    for provider, number in ((BRIO, 1), (AIKO, 3)):
        others = [PURCHASE.terms(award=number), *PURCHASE.terms_parts(b"document", award=number)]
        assert reasons(judge([said(one, provider) for one in others], desk)) == ["not_selected"] * 2


def test_a_notice_is_made_of_what_is_kept() -> None:
    arrival = said(PURCHASE.reply())
    (judged,) = judge([arrival], a_desk())
    assert judged.answer is not None

    notice = Answered.of(arrival, judged.answer).notice()

    assert notice.model_dump(mode="json") == {
        "purchase_id": str(PURCHASE.purchase_id),
        "message_id": arrival.message_id,
        "message_type": "linepool.reply-submitted.v1",
        "sha256": arrival.sha256,
        "appended_at": PURCHASE.in_time.isoformat().replace("+00:00", "Z"),
        "reply_id": str(arrival.id),
        "chain": None,
    }
