"""When a letter of agency is enough, and when a group is large enough."""

from datetime import UTC, date, datetime, timedelta
from typing import Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.aggregation.domain import evidence, minimum
from services.aggregation.domain.groups import Group
from services.aggregation.domain.minimum import Minimum, Size
from shared.messages.evidence import Agency

NOW = datetime(2026, 6, 1, tzinfo=UTC)
TODAY = date(2026, 6, 1)
AAL, BEL = UUID(int=1), UUID(int=2)
GROUP = Group(UUID(int=9), "Towns", "EUR", "net", UUID(int=8), closed=False, letters_required=True)


def an_agency(*services: str, first: int = -1, last: int = 1) -> Agency:
    return Agency(
        services=services,
        valid_from=TODAY + timedelta(days=first),
        valid_until=TODAY + timedelta(days=last),
        signed_on=TODAY + timedelta(days=first),
    )


@pytest.mark.parametrize(
    ("services", "used", "enough"),
    [
        (("voice",), {"voice.day", "voice.night.weekend", "voice"}, True),
        (("voice.day",), {"voice.day"}, True),
        (("voice.day",), {"voice"}, False),
        (("voice",), {"voicemail"}, False),
        (("voice", "data"), {"voice.day", "data.mobile"}, True),
        (("voice", "data"), {"voice.day", "sms"}, False),
        (("voice",), set(), True),
    ],
)
def test_a_letter_covers_the_services_that_it_names_and_what_is_below_them(
    services: tuple[str, ...], used: set[str], enough: bool
) -> None:
    assert evidence.is_enough(an_agency(*services), used, TODAY) == enough


@given(st.integers(-5, 5), st.integers(0, 5))
def test_a_letter_is_valid_on_its_first_and_last_day_and_between(first: int, days: int) -> None:
    agency = an_agency("voice", first=first, last=first + days)
    assert evidence.is_enough(agency, {"voice.day"}, TODAY) == (first <= 0 <= first + days)


@given(st.sets(st.sampled_from([AAL, BEL])), st.booleans())
def test_every_member_needs_a_letter_where_letters_are_required(having: set[UUID], required: bool) -> None:
    group = GROUP if required else Group(*list(vars(GROUP).values())[:5], closed=False)
    letters = {buyer_id: an_agency("voice") for buyer_id in having}
    refusal = evidence.may_close(group, {AAL: {"voice.day"}, BEL: {"voice.day"}}, letters, TODAY)
    assert (refusal is None) == (not required or having == {AAL, BEL})


sizes = st.builds(Size, st.integers(0, 5), st.integers(0, 5))


@given(sizes, sizes, st.integers(-3, 3), st.sampled_from(["coordinator_decides", "dissolve"]))
def test_a_group_closes_at_its_minimum_always_and_below_it_only_by_its_coordinator_in_the_end(
    needed: Size, size: Size, hours: int, otherwise: Literal["coordinator_decides", "dissolve"]
) -> None:
    rule = Minimum(needed, NOW + timedelta(hours=hours), otherwise)
    reached = size.buyers >= needed.buyers and size.lines >= needed.lines
    refusal = minimum.may_close(rule, size, NOW)
    assert minimum.is_reached(rule, size) == reached
    assert (refusal is None) == (reached or (hours <= 0 and otherwise == "coordinator_decides"))
    assert minimum.may_close(None, size, NOW) is None
