"""What is said of a bad body names the place, and never quotes what the sender wrote."""

import json

import pytest
from pydantic import ValidationError

from shared.bodies import describe
from shared.messages.aggregation import CloseGroup, ReportUsage
from tests.contract.test_messages import EXAMPLES


def said_of(body: dict[str, object]) -> str:
    raw = json.dumps(body).encode()
    with pytest.raises(ValidationError) as caught:
        CloseGroup.model_validate_json(raw)
    return describe(caught.value, raw)


def test_a_made_up_field_s_name_is_not_repeated() -> None:
    said = said_of({"purchase_id": "9d3ee680-4dab-4f95-9a67-7019ab012a0d", "secret-" + "x" * 1_000_000: 1})
    assert said == "body: Extra inputs are not permitted"


def test_many_faults_are_counted_and_the_first_are_named() -> None:
    body = json.loads((EXAMPLES / f"{ReportUsage.type()}.json").read_text())
    body["lines"] = [{"line_id": "L 1"}] * 500
    with pytest.raises(ValidationError) as caught:
        ReportUsage.model_validate_json(json.dumps(body))
    said = describe(caught.value, json.dumps(body).encode())
    assert said.endswith(" more)")
    assert len(said) < 1200
