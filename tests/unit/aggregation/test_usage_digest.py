from collections.abc import Sequence
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.canonical import digest
from shared.messages.aggregation import LineUsage
from shared.usage_digest import usage_digest

Usage = tuple[UUID, LineUsage]


def a_line(line_id: str = "L1", quantity: str = "5", **other: Any) -> LineUsage:
    uses = [
        {"service": "voice.day", "quantity": quantity, "unit": "MIN", "charged": "0.85"},
        {"service": "data", "quantity": "1", "unit": "E34", "charged": "2"},
    ]
    fields = {"line_id": line_id, "services": uses, "recurring_charged": "10.00", "exit_fee": "0"}
    return LineUsage.model_validate({**fields, **other})


def test_the_hash_is_that_of_the_canonical_json() -> None:
    line = a_line(contract_end="2027-01-31")
    form = {
        "buyer_id": "00000000-0000-0000-0000-000000000001",
        "line_id": "L1",
        "services": [
            {"service": "data", "quantity": "1.000000", "unit": "E34", "charged": "2.00"},
            {"service": "voice.day", "quantity": "5.000000", "unit": "MIN", "charged": "0.85"},
        ],
        "recurring_charged": "10.00",
        "contract_end": "2027-01-31",
        "exit_fee": "0.00",
    }
    assert usage_digest([(UUID(int=1), line)]) == digest([form])
    assert usage_digest([]) == sha256(b"[]").hexdigest()


@given(
    st.lists(
        st.builds(
            lambda buyer, line, quantity: (UUID(int=buyer), a_line(line, str(quantity))),
            st.integers(1, 3),
            st.text("ABC", min_size=1, max_size=3),
            st.decimals(0, 9999, places=6),
        ),
        unique_by=lambda one: (one[0], one[1].line_id),
    ).flatmap(lambda usage: st.tuples(st.just(usage), st.permutations(usage)))
)
def test_the_order_of_the_copies_does_not_matter(both: tuple[Sequence[Usage], Sequence[Usage]]) -> None:
    assert usage_digest(both[0]) == usage_digest(both[1])


def test_another_spelling_of_the_same_number_does_not_matter() -> None:
    assert usage_digest([(UUID(int=1), a_line(quantity="5"))]) == usage_digest(
        [(UUID(int=1), a_line(quantity="5.000"))]
    )


@pytest.mark.parametrize(
    "other",
    [
        a_line("L2"),
        a_line(quantity="5.000001"),
        a_line(recurring_charged="10.01"),
        a_line(exit_fee="0.01"),
        a_line(contract_end="2027-01-31"),
    ],
)
def test_any_change_of_a_line_changes_the_hash(other: LineUsage) -> None:
    assert usage_digest([(UUID(int=1), a_line())]) != usage_digest([(UUID(int=1), other)])


def test_another_buyer_changes_the_hash() -> None:
    assert usage_digest([(UUID(int=1), a_line())]) != usage_digest([(UUID(int=2), a_line())])
