"""Which reply somebody means who types a rank, or the beginning of an id."""

from typing import Any

import pytest

from linepool.people.api import ApiError
from linepool.people.choosing import reply_of

FIRST = "2f0c6a52-0000-4000-8000-000000000001"
SECOND = "10c6a52f-0000-4000-8000-000000000002"
THIRD = "1afc6a52-0000-4000-8000-000000000003"


def ranked(*replies: tuple[int, str]) -> list[dict[str, Any]]:
    return [{"rank": rank, "reply_id": reply_id} for rank, reply_id in replies]


THREE = ranked((1, FIRST), (2, SECOND), (3, THIRD))


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("1", FIRST),  # SECOND and THIRD begin with it.
        ("2", SECOND),  # FIRST begins with it.
        ("3", THIRD),
        ("2f", FIRST),
        ("10", SECOND),
        ("1A", THIRD),
        (SECOND, SECOND),
    ],
)
def test_a_rank_is_meant_before_an_id_that_begins_with_it(typed: str, meant: str) -> None:
    assert reply_of(THREE, typed)["reply_id"] == meant


@pytest.mark.parametrize("typed", ["4", "", "f", "0"])
def test_what_is_no_rank_and_begins_no_id_or_several_is_no_reply(typed: str) -> None:
    with pytest.raises(ApiError, match="no such reply"):
        reply_of(THREE, typed)


def test_two_replies_of_one_rank_are_told_apart_by_their_ids_alone() -> None:
    equal = ranked((1, FIRST), (1, SECOND), (3, THIRD))
    with pytest.raises(ApiError, match="or more than one"):
        reply_of(equal, "1")
    assert reply_of(equal, "10")["reply_id"] == SECOND
