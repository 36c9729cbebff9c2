"""Who takes part in the demonstration, and what they bring."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from linepool.demo.bids import invented_offers, revised
from linepool.demo.own_usage import UsageFileError
from linepool.demo.scenario import PUBLIC_CHARGED, Asked, ScenarioError, scenario
from linepool.rating.money import total
from linepool.tables.writing import csv_text
from linepool.usage.reports import months
from linepool.usage.template import TEMPLATE
from shared.messages.providers import UsagePrice

MIXED = (
    "line_id,voice.day:MIN,voice.day:charge,data.mobile:4L,data.mobile:charge\n"
    "a,100,15.00,4000,16.00\nb,50,7.50,,\nc,,,,\nd,10,1.50,100,0.40\n"
)


def usage_file(folder: Path, text: str) -> Path:
    file = folder / "usage.csv"
    file.write_text(text)
    return file


def test_by_default_5000_public_lines_are_spread_over_40_buyers_and_none_is_lost() -> None:
    made = scenario(Asked())
    lines = [line for member in made.group.members for line in member.lines]
    assert len(made.group.members) == 40
    assert len({line.line_id for line in lines}) == 5000
    assert total(use.charged for line in lines for use in line.services) == PUBLIC_CHARGED
    assert made.is_default
    assert len(made.other_group.members) == 2


@pytest.mark.parametrize(
    ("number", "bidders", "declines", "unlisted"),
    [(2, 1, False, 1), (3, 1, True, 1), (5, 3, True, 1), (6, 3, True, 2), (12, 9, True, 2)],
)
def test_every_number_of_providers_has_a_bidder_and_one_that_is_not_listed(
    number: int, bidders: int, *, declines: bool, unlisted: int
) -> None:
    roles = scenario(Asked(providers=number)).providers
    assert (len(roles.bidders), roles.decliner is not None, len(roles.unlisted)) == (
        bidders,
        declines,
        unlisted,
    )
    assert sorted(roles.everyone) == sorted((*roles.listed, *roles.unlisted))
    assert len(set(roles.everyone)) == number


def test_a_usage_file_brings_its_own_buyers(tmp_path: Path) -> None:
    made = scenario(Asked(usage=usage_file(tmp_path, csv_text(TEMPLATE))))
    assert [member.legal_name for member in made.group.members] == ["Example Library", "Example Town Hall"]
    assert made.period == months(date(2026, 1, 1), 1)
    assert not made.is_default


def test_buyers_cannot_be_asked_for_when_the_file_names_its_own(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="names its own buyers"):
        scenario(Asked(usage=usage_file(tmp_path, csv_text(TEMPLATE)), buyers=3))


def test_more_buyers_than_lines_are_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="4 lines cannot be spread over 5 buyers"):
        scenario(Asked(usage=usage_file(tmp_path, MIXED), buyers=5))


def test_an_error_in_the_file_names_line_and_column(tmp_path: Path) -> None:
    with pytest.raises(UsageFileError, match=r"line 3, column data\.mobile:4L"):
        scenario(Asked(usage=usage_file(tmp_path, MIXED.replace("b,50,7.50,,", "b,50,7.50,,1.00"))))


def test_a_line_that_used_nothing_says_so_with_a_quantity_of_zero(tmp_path: Path) -> None:
    made = scenario(Asked(usage=usage_file(tmp_path, MIXED), buyers=2))
    lines = {line.line_id: line for member in made.group.members for line in member.lines}
    assert [(use.quantity, use.charged) for use in lines["c"].services] == [(Decimal(0), Decimal("0.00"))]


@pytest.mark.parametrize(
    ("today", "months", "start", "end"),
    [
        (date(2026, 3, 15), 1, date(2026, 2, 1), date(2026, 2, 28)),
        (date(2026, 1, 1), 1, date(2025, 12, 1), date(2025, 12, 31)),
        (date(2026, 2, 1), 3, date(2025, 11, 1), date(2026, 1, 31)),
    ],
)
def test_the_period_is_the_last_whole_months(today: date, months: int, start: date, end: date) -> None:
    period = scenario(Asked(months=months), today=today).period
    assert (period.start, period.end, period.months) == (start, end, months)


def test_offers_price_every_service_of_any_usage(tmp_path: Path) -> None:
    made = scenario(Asked(usage=usage_file(tmp_path, MIXED), buyers=2))
    for offer in invented_offers(made.lines, currency="EUR", tax_basis="net", number=7):
        priced = {part.service: part.unit for part in offer.components if isinstance(part, UsagePrice)}
        assert priced == {"voice.day": "MIN", "data.mobile": "4L"}


def test_from_the_fourth_offer_on_the_same_tariffs_are_a_little_dearer() -> None:
    lines = scenario(Asked()).lines
    offers = invented_offers(lines, currency="EUR", tax_basis="net", number=5)
    first, fourth = (
        [part.price for part in offers[place].components if isinstance(part, UsagePrice) and part.price]
        for place in (0, 3)
    )
    assert all(later > earlier for earlier, later in zip(first, fourth, strict=True))
    assert len({offer.name for offer in offers}) == 5


def test_a_revised_offer_is_cheaper_and_priced_for_the_same() -> None:
    lines = scenario(Asked()).lines
    offer = invented_offers(lines, currency="EUR", tax_basis="net", number=1)[0]
    pairs = zip(offer.components, revised(offer).components, strict=True)
    assert all(
        later.price < earlier.price
        for earlier, later in pairs
        if isinstance(earlier, UsagePrice) and isinstance(later, UsagePrice) and earlier.price and later.price
    )
