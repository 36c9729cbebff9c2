"""Where no custodian is named, nothing says so: messages and the request's content have the bytes that they had before."""

import json

import pytest

from docs.generate import SCHEMAS
from shared.messages import registry
from shared.messages.rfp import DescribeNeed
from tests.contract.released import FILE
from tests.unit.provider.a_request import a_request

NAMING = ("linepool.describe-need.v1", "linepool.need-described.v1", "linepool.request-issued.v1")
CUSTODIAN = {"name": "Meier & Partners", "public_key": "LBs7tagGgU83Le8/swkVNBRSvYHDWTJcuKlVXMPyH00="}
CONTENT_SHA256 = "f14041e0c2e88b1b194532ab80af5b5bb3bc1873722ef26c90edd3ddd80f3010"
"""Of the content that the code before there were custodians made of the same need."""


@pytest.mark.parametrize("type_", NAMING)
def test_a_message_without_a_custodian_has_no_field_for_one(type_: str) -> None:
    released = json.loads(FILE.read_text())["messages"][type_]["example"]
    example = json.loads((SCHEMAS.parent / "examples" / f"{type_}.json").read_text())
    assert example == released
    message = registry[type_].model_validate(example)
    assert json.loads(message.to_bytes()) == released
    assert b"custodian" not in message.to_bytes()
    named = registry[type_].model_validate({**example, "custodian": CUSTODIAN})
    assert json.loads(named.to_bytes()) == {**released, "custodian": CUSTODIAN}


def test_the_content_of_a_request_without_a_custodian_is_what_it_was() -> None:
    assert a_request().presented.content.sha256 == CONTENT_SHA256
    named = a_request(custodian=CUSTODIAN)
    assert json.loads(named.content_json)["need"]["custodian"] == CUSTODIAN


@pytest.mark.parametrize(
    "key",
    [
        "",
        "AAAA",
        CUSTODIAN["public_key"][:-1],
        CUSTODIAN["public_key"].replace("0=", "1="),
        "!" + CUSTODIAN["public_key"][1:],
    ],
)
def test_a_key_has_32_bytes_in_one_spelling(key: str) -> None:
    example = json.loads((SCHEMAS.parent / "examples" / "linepool.describe-need.v1.json").read_text())
    with pytest.raises(ValueError, match="public_key"):
        DescribeNeed.model_validate({**example, "custodian": {**CUSTODIAN, "public_key": key}})
