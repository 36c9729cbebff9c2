"""A box is opened only when nobody can put anything in any more, and a seal only for exactly what it was made for (I5)."""

from base64 import b64decode
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.bidding.opener.domain import (
    DOES_NOT_OPEN,
    NOT_SEALED,
    NOT_SEALED_TWICE,
    Closing,
    IssuedBox,
    Place,
    SealedReply,
    keeps_shut,
    make_key,
    open_replies,
)
from shared.messages.providers import ReplySubmitted
from shared.sealing import (
    custodian_info,
    offer_info,
    open_sealed,
    private_key,
    private_key_b64,
    public_key_b64,
    seal_for,
    seal_offer,
)
from shared.signing import SEAL_KEYS, is_signed, seal_key_statement, signing_key, verifying_key_b64

SECRET, OTHER_SECRET = bytes(32), bytes(31) + b"\x01"
PURCHASE, OTHER = UUID(int=1), UUID(int=2)
AIKO, BRIO = "aikoaikoaiko", "briobriobrio"
DEADLINE = datetime(2026, 6, 1, 12, tzinfo=UTC)
ALLOWANCE = timedelta(seconds=2)
BOX = IssuedBox(PURCHASE, 2, DEADLINE)
ENDS: dict[Place, int] = {(f"flow.replies.{AIKO}", 0): 7, (f"flow.replies.{BRIO}", 0): 0}
CUSTODIAN, OTHER_CUSTODIAN = private_key(bytes(32), "custodian"), private_key(bytes(32), "other custodian")
CUSTODIAN_PUBLIC, OTHER_PRIVATE = public_key_b64(CUSTODIAN), private_key_b64(OTHER_CUSTODIAN)
CLOSED = Closing(
    box=BOX,
    announced_deadline=DEADLINE,
    sealed=True,
    cancelled=False,
    deadline_passed=True,
    closed=True,
    provider_ids=frozenset({AIKO, BRIO}),
    closing_ends=ENDS,
    positions=ENDS,
    put_aside={},
    has_held_in_time=False,
    now=DEADLINE + ALLOWANCE,
)
RELEASED = replace(CLOSED, custodian_key=CUSTODIAN_PUBLIC, released_key=private_key_b64(CUSTODIAN))
AGAINST: Sequence[tuple[str, Closing]] = (
    ("not_sealed", replace(CLOSED, sealed=False)),
    ("cancelled", replace(CLOSED, cancelled=True)),
    ("not_closed", replace(CLOSED, closed=False)),
    ("not_closed", replace(CLOSED, deadline_passed=False)),
    ("deadline_changed", replace(CLOSED, announced_deadline=None)),
    ("deadline_changed", replace(CLOSED, announced_deadline=DEADLINE + timedelta(microseconds=1))),
    ("allowance", replace(CLOSED, now=DEADLINE + ALLOWANCE - timedelta(microseconds=1))),
    ("ends_unknown", replace(CLOSED, closing_ends={(f"flow.replies.{AIKO}", 0): 7})),
    ("ends_unknown", replace(CLOSED, closing_ends={})),
    ("not_all_taken", replace(CLOSED, positions={(f"flow.replies.{AIKO}", 0): 6})),
    ("not_all_taken", replace(CLOSED, positions={})),
    ("not_all_taken", replace(CLOSED, put_aside={(f"flow.replies.{AIKO}", 0): 6})),
    ("not_all_taken", replace(CLOSED, has_held_in_time=True)),
    ("waits_for_custodian", replace(CLOSED, custodian_key=CUSTODIAN_PUBLIC)),
    ("wrong_custodian_key", replace(CLOSED, custodian_key=CUSTODIAN_PUBLIC, released_key=OTHER_PRIVATE)),
    ("wrong_custodian_key", replace(CLOSED, released_key=OTHER_PRIVATE)),
)


def test_a_box_that_is_closed_and_whose_messages_are_all_taken_is_opened() -> None:
    assert keeps_shut(CLOSED, ALLOWANCE) is None
    # What was put aside behind the end came too late anyway.
    assert keeps_shut(replace(CLOSED, put_aside={(f"flow.replies.{AIKO}", 0): 7}), ALLOWANCE) is None
    assert keeps_shut(RELEASED, ALLOWANCE) is None


@pytest.mark.parametrize(("why", "closing"), AGAINST)
def test_one_thing_against_it_keeps_a_box_shut(why: str, closing: Closing) -> None:
    assert keeps_shut(closing, ALLOWANCE) == why


@given(st.data())
def test_a_box_is_opened_only_if_nothing_at_all_speaks_against_it(data: st.DataObject) -> None:
    def any_of(name: str) -> object:
        values = [getattr(one, name) for one in (CLOSED, RELEASED, *(closing for _, closing in AGAINST))]
        return data.draw(st.sampled_from(values), name)

    names = [name for name in Closing.__dataclass_fields__ if name not in {"box", "provider_ids"}]
    # A few at a time: where everything varies, something else speaks against nearly every box.
    varied = data.draw(st.sets(st.sampled_from(names), max_size=3))
    closing = replace(CLOSED, **{name: any_of(name) for name in varied})
    opens = keeps_shut(closing, ALLOWANCE) is None
    assert opens == (
        (closing.sealed, closing.closed, closing.deadline_passed) == (True, True, True)
        and (closing.cancelled, closing.has_held_in_time) == (False, False)
        and closing.announced_deadline == DEADLINE
        and closing.now >= DEADLINE + ALLOWANCE
        and closing.closing_ends == closing.positions == ENDS
        and not closing.put_aside
        and (closing.custodian_key, closing.released_key)
        in {(None, None), (RELEASED.custodian_key, RELEASED.released_key)}
    )


def test_another_topic_whose_name_ends_alike_is_not_taken_for_a_provider_s() -> None:
    ends = {(f"flow.replies.{AIKO}", 0): 7, (f"flow.notreplies.x{BRIO}", 0): 0}
    assert keeps_shut(replace(CLOSED, closing_ends=ends, positions=ends), ALLOWANCE) == "ends_unknown"


def test_each_version_of_each_purchase_has_a_key_of_its_own_the_same_each_time() -> None:
    keys = [
        make_key(secret, IssuedBox(purchase, version, DEADLINE)).public_key
        for secret in (SECRET, OTHER_SECRET)
        for purchase in (PURCHASE, OTHER)
        for version in (1, 2)
    ]
    assert len(set(keys)) == len(keys)
    assert make_key(SECRET, BOX) == make_key(SECRET, BOX)
    # The key is not bound to the deadline: that the deadline stays is checked before opening.
    assert make_key(SECRET, replace(BOX, deadline=DEADLINE + ALLOWANCE)).public_key in keys


def test_a_key_is_signed_for_its_purchase_and_version_only() -> None:
    key = make_key(SECRET, BOX)
    by = verifying_key_b64(signing_key(SECRET, SEAL_KEYS))
    assert is_signed(by, seal_key_statement(PURCHASE, 2, key.public_key), key.key_signature)
    assert not is_signed(by, seal_key_statement(PURCHASE, 1, key.public_key), key.key_signature)
    assert not is_signed(by, seal_key_statement(OTHER, 2, key.public_key), key.key_signature)


def sealed(
    content: bytes, version: int = 2, custodian_key: str | None = None, **other: object
) -> SealedReply:
    """A reply of AIKO, sealed for what it is; `other` fields say where it turns up instead."""
    box = seal_offer(
        content,
        purchase_id=PURCHASE,
        request_version=version,
        provider_id=AIKO,
        revision=3,
        opener_key=make_key(SECRET, replace(BOX, request_version=version)).public_key,
        custodian_key=custodian_key,
    )
    body = ReplySubmitted(
        purchase_id=PURCHASE, request_version=version, revision=3, seal="hpke", sealed_offer=box
    ).to_bytes()
    reply = SealedReply(UUID(int=9), PURCHASE, AIKO, version, 3, body)
    return replace(reply, **other)  # type: ignore[arg-type] # any of its fields


@given(st.binary(max_size=200))
def test_a_seal_opens_to_exactly_what_was_sealed(content: bytes) -> None:
    [opened] = open_replies(SECRET, [sealed(content)])
    assert (opened.reply_id, opened.content, opened.failure) == (UUID(int=9), content, None)


def test_each_reply_opens_with_the_key_of_the_version_that_it_answers() -> None:
    opened = open_replies(SECRET, [sealed(b"to the first", 1), sealed(b"to the second", 2)])
    assert [one.content for one in opened] == [b"to the first", b"to the second"]


@pytest.mark.parametrize(
    "other", [{"purchase_id": OTHER}, {"request_version": 1}, {"provider_id": BRIO}, {"revision": 4}]
)
def test_a_seal_that_turns_up_elsewhere_does_not_open(other: dict[str, object]) -> None:
    [opened] = open_replies(SECRET, [sealed(b"an offer", **other)])
    assert (opened.content, opened.failure) == (None, DOES_NOT_OPEN)


def test_without_the_secret_nothing_opens() -> None:
    [opened] = open_replies(OTHER_SECRET, [sealed(b"an offer")])
    assert opened.failure == DOES_NOT_OPEN


@given(st.binary(max_size=300))
def test_whatever_bytes_stand_in_a_reply_it_gets_a_word_and_harms_no_other(body: bytes) -> None:
    replies = [sealed(b"first"), sealed(b"", body=body, reply_id=UUID(int=8)), sealed(b"last")]
    first, second, third = open_replies(SECRET, replies)
    assert (first.content, third.content) == (b"first", b"last")
    assert (second.reply_id, second.content, second.failure) == (UUID(int=8), None, NOT_SEALED)


def test_a_seal_that_was_damaged_in_any_place_does_not_open() -> None:
    whole = sealed(b"an offer")
    said = ReplySubmitted.model_validate_json(whole.body)
    assert said.sealed_offer is not None
    for place in range(0, len(said.sealed_offer) - 2, 7):
        letter = "A" if said.sealed_offer[place] != "A" else "B"
        box = said.sealed_offer[:place] + letter + said.sealed_offer[place + 1 :]
        [opened] = open_replies(
            SECRET, [replace(whole, body=said.model_copy(update={"sealed_offer": box}).to_bytes())]
        )
        assert opened.failure == DOES_NOT_OPEN, place


def resealed(inner: bytes, **about: object) -> SealedReply:
    """A reply of AIKO in the opener's box, as a custodian that works with whoever sends it could make it from an inner box."""
    info = offer_info(PURCHASE, 2, AIKO, 3)
    box = seal_for(make_key(SECRET, BOX).public_key, inner, info)
    body = ReplySubmitted(
        purchase_id=PURCHASE, request_version=2, revision=3, seal="hpke", sealed_offer=box
    ).to_bytes()
    return replace(SealedReply(UUID(int=7), PURCHASE, AIKO, 2, 3, body), **about)  # type: ignore[arg-type] # any of its fields


def inner_box(content: bytes, purchase_id: UUID, version: int, provider_id: str, revision: int) -> bytes:
    info = custodian_info(purchase_id, version, provider_id, revision)
    return b64decode(seal_for(CUSTODIAN_PUBLIC, content, info))


@given(st.binary(max_size=200))
def test_what_is_sealed_twice_opens_with_both_keys_to_exactly_what_was_sealed(content: bytes) -> None:
    [opened] = open_replies(SECRET, [sealed(content, custodian_key=CUSTODIAN_PUBLIC)], CUSTODIAN)
    assert (opened.content, opened.failure) == (content, None)


@given(st.binary(min_size=8, max_size=200))
def test_neither_key_alone_opens_what_is_sealed_twice(content: bytes) -> None:
    reply = sealed(content, custodian_key=CUSTODIAN_PUBLIC)
    [by_opener] = open_replies(SECRET, [reply])
    assert by_opener.content is not None
    assert content not in by_opener.content
    box = ReplySubmitted.model_validate_json(reply.body).sealed_offer or ""
    for info in (custodian_info(PURCHASE, 2, AIKO, 3), offer_info(PURCHASE, 2, AIKO, 3)):
        with pytest.raises(ValueError, match="does not open"):
            open_sealed(CUSTODIAN, box, info)


@pytest.mark.parametrize(
    "about",
    [(OTHER, 2, AIKO, 3), (PURCHASE, 1, AIKO, 3), (PURCHASE, 2, BRIO, 3), (PURCHASE, 2, AIKO, 2)],
    ids=["purchase", "version", "provider", "revision"],
)
def test_an_inner_box_that_somebody_takes_out_and_seals_for_something_else_does_not_open(
    about: tuple[UUID, int, str, int],
) -> None:
    right, wrong = (inner_box(b"an offer", *one) for one in ((PURCHASE, 2, AIKO, 3), about))
    opened = open_replies(SECRET, [resealed(right), resealed(wrong)], CUSTODIAN)
    assert [(one.content, one.failure) for one in opened] == [(b"an offer", None), (None, NOT_SEALED_TWICE)]


def test_one_layer_does_not_pass_for_the_other() -> None:
    as_outer = b64decode(seal_for(CUSTODIAN_PUBLIC, b"an offer", offer_info(PURCHASE, 2, AIKO, 3)))
    [opened] = open_replies(SECRET, [resealed(as_outer)], CUSTODIAN)
    assert opened.failure == NOT_SEALED_TWICE


@given(st.binary(max_size=300))
def test_whatever_stands_in_place_of_an_inner_box_gets_a_word_and_harms_no_other(inner: bytes) -> None:
    good = sealed(b"an offer", custodian_key=CUSTODIAN_PUBLIC)
    once = sealed(b'{"name": "Offer"}')
    opened = open_replies(SECRET, [resealed(inner), good, once], CUSTODIAN)
    assert [one.content for one in opened] == [None, b"an offer", None]
    assert [one.failure for one in opened] == [NOT_SEALED_TWICE, None, NOT_SEALED_TWICE]


def test_another_custodian_s_key_opens_nothing() -> None:
    [opened] = open_replies(SECRET, [sealed(b"an offer", custodian_key=CUSTODIAN_PUBLIC)], OTHER_CUSTODIAN)
    assert opened.failure == NOT_SEALED_TWICE
