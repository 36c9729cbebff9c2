import copy
import json
from typing import Any

import pytest

from linepool.demo.offers import invented_tariffs
from linepool.rating.tariff import TaxBasis
from linepool.rating.tariff_document import TariffError, parse_tariff, tariff_document

DOCUMENT: dict[str, Any] = {
    "name": "Group tariff",
    "currency": "EUR",
    "tax_basis": "net",
    "contract_months": 24,
    "components": [
        {"kind": "recurring", "per": "line", "unit": "MON", "price": "4.50"},
        {"kind": "one_time", "per": "group", "price": "900.00"},
        {
            "kind": "usage",
            "service": "voice.day",
            "unit": "MIN",
            "price": "0.15",
            "tiers": [{"from_volume": "50000", "price": "0.13"}, {"from_volume": "90000", "price": "0.11"}],
        },
    ],
}


def changed(path: str, value: object) -> dict[str, Any]:
    """Return the document with the field at a dotted path set to a value, or taken out when it is `...`."""
    document = copy.deepcopy(DOCUMENT)
    *parents, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    at: Any = document
    for step in parents:
        at = at[step]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return document


def test_a_tariff_written_as_json_is_read_back_unchanged() -> None:
    assert tariff_document(parse_tariff(DOCUMENT)) == DOCUMENT
    for tariff in invented_tariffs("USD", TaxBasis.GROSS):
        assert parse_tariff(json.loads(json.dumps(tariff_document(tariff)))) == tariff


@pytest.mark.parametrize(
    ("path", "value", "field", "reason"),
    [
        ("name", "", "name", "must have 1 to 200 printable characters"),
        ("name", "a\nb", "name", "must have 1 to 200 printable characters"),
        ("name", ..., "tariff", "lacks name"),
        ("currency", "eur", "currency", "must be an ISO 4217 code such as EUR"),
        ("currency", ["EUR"], "currency", "must be an ISO 4217 code such as EUR"),
        ("tax_basis", "tax_free", "tax_basis", "must be net or gross"),
        ("contract_months", 0, "contract_months", "must be a whole number from 1 to 120"),
        ("contract_months", True, "contract_months", "must be a whole number from 1 to 120"),
        ("contract_months", "24", "contract_months", "must be a whole number from 1 to 120"),
        ("discount", "5", "tariff", "has a field that is none of components, contract_months, currency"),
        ("components", [], "components", "must be a list of 1 to 200 items"),
        ("components", {}, "components", "must be a list of 1 to 200 items"),
        ("components.0", "free", "components[0]", "must be an object"),
        ("components.0", {"kind": ["usage"]}, "components[0].kind", "must be recurring, one_time or usage"),
        ("components.0.kind", "rental", "components[0].kind", "must be recurring, one_time or usage"),
        ("components.0.kind", ..., "components[0]", "lacks kind"),
        ("components.0.per", "site", "components[0].per", "must be line or buyer or group"),
        ("components.0.unit", "ANN", "components[0].unit", "must be MON, a recurring price is per month"),
        ("components.0.price", "4.505", "components[0].price", "must have at most 2 decimals"),
        ("components.0.price", 4.5, "components[0].price", "must be a string with a decimal number"),
        ("components.0.note", "x", "components[0]", "has a field that is none of kind, per, price, unit"),
        ("components.1.price", "-1", "components[1].price", "must not be negative"),
        (
            "components.2.service",
            "Voice Day",
            "components[2].service",
            "must be a service code such as voice.day",
        ),
        ("components.2.unit", "minutes", "components[2].unit", "must be a UN/ECE Rec 20 code such as MIN"),
        ("components.2.price", "1e9", "components[2].price", "must be written without an exponent"),
        ("components.2.tiers", None, "components[2].tiers", "must be a list of 0 to 50 items"),
        ("components.2.tiers.0.price", "NaN", "components[2].tiers[0].price", "must be a finite number"),
        (
            "components.2.tiers.0.from_volume",
            "0",
            "components[2].tiers[0].from_volume",
            "must be above zero and",
        ),
        (
            "components.2.tiers.1.from_volume",
            "50000",
            "components[2].tiers[1].from_volume",
            "must be above zero",
        ),
        (
            "components.2.tiers.1.upto",
            "1",
            "components[2].tiers[1]",
            "has a field that is none of from_volume",
        ),
    ],
)
def test_a_fault_is_named_by_its_field(path: str, value: object, field: str, reason: str) -> None:
    with pytest.raises(TariffError) as caught:
        parse_tariff(changed(path, value))
    assert caught.value.field == field
    assert caught.value.reason.startswith(reason)


def test_a_service_priced_twice_is_refused() -> None:
    document = copy.deepcopy(DOCUMENT)
    document["components"].append({"kind": "usage", "service": "voice.day", "unit": "MIN", "price": "0"})
    with pytest.raises(TariffError, match=r"^components\[3\]\.service prices voice\.day a second time$"):
        parse_tariff(document)


@pytest.mark.parametrize("document", [None, [], "tariff", 5])
def test_what_is_not_an_object_is_no_tariff(document: object) -> None:
    with pytest.raises(TariffError, match=r"^tariff must be an object$"):
        parse_tariff(document)


def test_an_unknown_field_is_not_repeated_in_the_error() -> None:
    with pytest.raises(TariffError) as caught:
        parse_tariff(DOCUMENT | {"alice@example.org": 1})
    assert "alice" not in str(caught.value)
