"""Tariffs as JSON: strict reading that names the field at fault, and writing.

    {"name": "...", "currency": "EUR", "tax_basis": "net", "contract_months": 24, "components": [
      {"kind": "recurring", "per": "line", "unit": "MON", "price": "4.50"},
      {"kind": "one_time", "per": "group", "price": "900.00"},
      {"kind": "usage", "service": "voice.day", "unit": "MIN", "price": "0.15",
       "tiers": [{"from_volume": "50000", "price": "0.13"}]}]}

Numbers that are money or quantities are strings. `per` is line, buyer or group. `tiers` may be left out.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar

from linepool.rating.lines import SERVICE_CODE, UNIT_CODE
from linepool.rating.money import MONEY_DECIMALS, PRICE_DECIMALS, QUANTITY_DECIMALS, parse_decimal
from linepool.rating.tariff import Component, OneTime, Per, Recurring, Tariff, TaxBasis, Tier, UsagePrice

MAXIMUM_COMPONENTS = 200
MAXIMUM_TIERS = 50
MAXIMUM_NAME = 200
MAXIMUM_CONTRACT_MONTHS = 120
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)

Choice = TypeVar("Choice", bound=StrEnum)


class TariffError(ValueError):
    """A tariff is not acceptable. `field` is the path of the field at fault, such as components[2].price."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field} {reason}")
        self.field = field
        self.reason = reason


def parse_tariff(document: object) -> Tariff:
    """Read a tariff from decoded JSON of any origin; unknown fields are refused.

    Raises:
        TariffError: the first field found at fault, by its path, and why.
    """
    fields = _object(
        document, "tariff", required={"name", "currency", "tax_basis", "contract_months", "components"}
    )
    name = fields["name"]
    if not isinstance(name, str) or not 0 < len(name) <= MAXIMUM_NAME or not name.isprintable():
        raise TariffError("name", f"must have 1 to {MAXIMUM_NAME} printable characters")
    months = fields["contract_months"]
    if type(months) is not int or not 0 < months <= MAXIMUM_CONTRACT_MONTHS:
        raise TariffError("contract_months", f"must be a whole number from 1 to {MAXIMUM_CONTRACT_MONTHS}")
    components = tuple(
        _component(item, f"components[{index}]")
        for index, item in enumerate(
            _items(fields["components"], "components", least=1, most=MAXIMUM_COMPONENTS)
        )
    )
    priced: set[str] = set()
    for index, component in enumerate(components):
        if isinstance(component, UsagePrice):
            if component.service in priced:
                raise TariffError(f"components[{index}].service", f"prices {component.service} a second time")
            priced.add(component.service)
    return Tariff(
        name=name,
        currency=_matching(fields["currency"], "currency", _CURRENCY, "an ISO 4217 code such as EUR"),
        tax_basis=_one_of(fields["tax_basis"], "tax_basis", TaxBasis),
        contract_months=months,
        components=components,
    )


def tariff_document(tariff: Tariff) -> dict[str, object]:
    """Write a tariff so that `parse_tariff` reads the same tariff back and JSON can carry it."""
    return {
        "name": tariff.name,
        "currency": tariff.currency,
        "tax_basis": tariff.tax_basis.value,
        "contract_months": tariff.contract_months,
        "components": [_component_document(component) for component in tariff.components],
    }


def _component(value: object, path: str) -> Component:
    kind = value.get("kind") if isinstance(value, Mapping) else None
    match kind:
        case "recurring":
            fields = _object(value, path, required={"kind", "per", "unit", "price"})
            if fields["unit"] != "MON":
                raise TariffError(f"{path}.unit", "must be MON, a recurring price is per month")
            return Recurring(
                _one_of(fields["per"], f"{path}.per", Per), _money(fields["price"], f"{path}.price")
            )
        case "one_time":
            fields = _object(value, path, required={"kind", "per", "price"})
            return OneTime(
                _one_of(fields["per"], f"{path}.per", Per), _money(fields["price"], f"{path}.price")
            )
        case "usage":
            return _usage_price(value, path)
        case _:
            _object(value, path, required={"kind"}, others=True)
            raise TariffError(f"{path}.kind", "must be recurring, one_time or usage")


def _usage_price(value: object, path: str) -> UsagePrice:
    fields = _object(value, path, required={"kind", "service", "unit", "price"}, optional={"tiers"})
    tiers: list[Tier] = []
    reached = Decimal(0)
    for index, item in enumerate(
        _items(fields.get("tiers", []), f"{path}.tiers", least=0, most=MAXIMUM_TIERS)
    ):
        tier_path = f"{path}.tiers[{index}]"
        tier = _object(item, tier_path, required={"from_volume", "price"})
        from_volume = _decimal(tier["from_volume"], f"{tier_path}.from_volume", QUANTITY_DECIMALS)
        if from_volume <= reached:
            raise TariffError(f"{tier_path}.from_volume", "must be above zero and above the tier before")
        reached = from_volume
        tiers.append(Tier(from_volume, _decimal(tier["price"], f"{tier_path}.price", PRICE_DECIMALS)))
    return UsagePrice(
        service=_matching(
            fields["service"], f"{path}.service", SERVICE_CODE, "a service code such as voice.day"
        ),
        unit=_matching(fields["unit"], f"{path}.unit", UNIT_CODE, "a UN/ECE Rec 20 code such as MIN"),
        price=_decimal(fields["price"], f"{path}.price", PRICE_DECIMALS),
        tiers=tuple(tiers),
    )


def _component_document(component: Component) -> dict[str, object]:
    price = format(component.price, "f")
    match component:
        case Recurring():
            return {"kind": "recurring", "per": component.per.value, "unit": "MON", "price": price}
        case OneTime():
            return {"kind": "one_time", "per": component.per.value, "price": price}
        case UsagePrice():
            written: dict[str, object] = {
                "kind": "usage",
                "service": component.service,
                "unit": component.unit,
                "price": price,
            }
            if component.tiers:
                written["tiers"] = [
                    {"from_volume": format(tier.from_volume, "f"), "price": format(tier.price, "f")}
                    for tier in component.tiers
                ]
            return written


def _object(
    value: object,
    path: str,
    *,
    required: set[str],
    optional: frozenset[str] | set[str] = frozenset(),
    others: bool = False,
) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise TariffError(path, "must be an object")
    missing = sorted(required - value.keys())
    if missing:
        raise TariffError(path, f"lacks {missing[0]}")
    # An unknown name came from outside and is not repeated: the error may be logged or mailed.
    if not others and value.keys() - required - optional:
        raise TariffError(path, f"has a field that is none of {', '.join(sorted(required | optional))}")
    return value


def _items(value: object, path: str, *, least: int, most: int) -> list[object]:
    if not isinstance(value, list) or not least <= len(value) <= most:
        raise TariffError(path, f"must be a list of {least} to {most} items")
    return value


def _matching(value: object, path: str, pattern: re.Pattern[str], expected: str) -> str:
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise TariffError(path, f"must be {expected}")
    return value


def _one_of(value: object, path: str, choices: type[Choice]) -> Choice:
    for choice in choices:
        if value == choice.value:
            return choice
    raise TariffError(path, f"must be {' or '.join(choices)}")


def _money(value: object, path: str) -> Decimal:
    return _decimal(value, path, MONEY_DECIMALS)


def _decimal(value: object, path: str, decimals: int) -> Decimal:
    try:
        return parse_decimal(value, decimals=decimals)
    except ValueError as error:
        raise TariffError(path, str(error)) from None
