from decimal import Decimal
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from linepool.checker.money import rated
from linepool.rating.evaluate import Reply, evaluate
from linepool.rating.lines import ServiceUsage, UsageLine
from linepool.rating.tariff import Component, OneTime, Per, Recurring, Tariff, TaxBasis, Tier, UsagePrice

SERVICES = ("voice.day", "voice.night")
cents = st.decimals(min_value=0, max_value=500, places=2)
prices = st.decimals(min_value=0, max_value=2, places=4)
quantities = st.decimals(min_value="0.001", max_value=9999, places=3)


def usage_price(service: str) -> st.SearchStrategy[dict[str, Any]]:
    base = {"kind": st.just("usage"), "service": st.just(service), "unit": st.just("MIN")}
    tiers = st.lists(st.integers(min_value=1, max_value=30_000), min_size=0, max_size=3, unique=True).flatmap(
        lambda starts: st.tuples(*(prices for _ in range(len(starts) + 1))).map(
            lambda each: [
                {"from_volume": str(start), "price": str(price)}
                for start, price in zip([0, *sorted(starts)], each, strict=True)
            ]
        )
    )
    return st.one_of(
        st.fixed_dictionaries({**base, "price": prices.map(str)}),
        st.fixed_dictionaries({**base, "tiers": tiers}),
    )


fixed_price = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["recurring", "one_time"]),
        "per": st.sampled_from(["line", "buyer", "group"]),
        "price": cents.map(str),
    }
)
offers = st.tuples(
    st.integers(min_value=1, max_value=48),
    usage_price(SERVICES[0]),
    usage_price(SERVICES[1]),
    st.lists(fixed_price),
).map(
    lambda drawn: {
        "name": "An offer",
        "currency": "EUR",
        "tax_basis": "net",
        "contract_months": drawn[0],
        "components": [drawn[1], drawn[2], *drawn[3]],
    }
)
groups = st.dictionaries(
    st.uuids(),
    st.lists(st.lists(quantities, min_size=2, max_size=2), min_size=1, max_size=4),
    min_size=1,
    max_size=4,
)


def tariff_of(offer: dict[str, Any]) -> Tariff:
    """The offer as the rating package takes it."""
    components: list[Component] = []
    for part in offer["components"]:
        if part["kind"] == "usage":
            tiers = tuple(
                Tier(Decimal(one["from_volume"]), Decimal(one["price"])) for one in part.get("tiers", ())
            )
            price = Decimal(part["price"]) if "price" in part else tiers[0].price
            components.append(UsagePrice(part["service"], part["unit"], price, tiers))
        else:
            kind = Recurring if part["kind"] == "recurring" else OneTime
            components.append(kind(Per(part["per"]), Decimal(part["price"])))
    return Tariff(offer["name"], "EUR", TaxBasis.NET, offer["contract_months"], tuple(components))


@settings(deadline=None)
@given(group=groups, offer=offers, months=st.integers(min_value=1, max_value=12))
def test_the_plain_computation_and_the_rating_package_agree_to_the_cent(
    group: dict[UUID, list[list[Decimal]]], offer: dict[str, Any], months: int
) -> None:
    lines = [
        UsageLine(
            buyer_id=buyer_id,
            line_id=f"L-{number}",
            services=tuple(
                ServiceUsage(service, quantity, "MIN", Decimal("1.00"))
                for service, quantity in zip(SERVICES, used, strict=True)
            ),
        )
        for buyer_id, own in group.items()
        for number, used in enumerate(own)
    ]
    plain = {
        str(buyer_id): [
            {
                "services": [
                    {"service": service, "quantity": str(quantity)}
                    for service, quantity in zip(SERVICES, used, strict=True)
                ]
            }
            for used in own
        ]
        for buyer_id, own in group.items()
    }

    comparison = evaluate(
        lines,
        [Reply(UUID(int=1), 0, tariff_of(offer))],
        currency="EUR",
        tax_basis=TaxBasis.NET,
        period_months=months,
    )

    assert rated(offer, plain, months) == comparison.evaluations[0].term_total
