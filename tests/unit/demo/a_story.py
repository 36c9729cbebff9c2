"""A small story with defaults, and the same story told by a stranger who writes markup into every name."""

from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from linepool.demo.story import (
    Answered,
    AtUsage,
    Buyer,
    Check,
    Crash,
    Disclosure,
    Intruder,
    Mail,
    Moved,
    Offer,
    Pays,
    PaysMore,
    Rejection,
    Sealed,
    Step,
    Story,
    Verified,
)

NOON = datetime(2026, 5, 4, 12, 0, 9, tzinfo=UTC)


def an_offer(rank: int, total: str, *, selected: bool = False, **changed: Any) -> Offer:
    charged = Decimal("1500.50")
    offer = Offer(
        rank=rank,
        provider=f"Provider {rank}",
        name=f"Invented offer {rank}",
        contract_months=24,
        term_total=Decimal(total),
        charged=charged,
        saving=charged - Decimal(total),
        buyers_paying_more=0,
        worst=None,
        at_80_percent=AtUsage(Decimal("901.01"), 1),
        at_120_percent=AtUsage(Decimal("1703.03"), 2),
        alone_total=Decimal("1404.04"),
        gain_from_group=Decimal("1404.04") - Decimal(total),
        selected=selected,
    )
    return replace(offer, **changed)


def a_story(**changed: Any) -> Story:
    story = Story(
        group="North Line Pool",
        purchase_id="0f6d2f0e-5c1b-4f43-9a53-1c6f5e0f7a11",
        currency="USD",
        tax_basis="net",
        data_set="mlc_churn",
        started_at=NOON,
        ended_at=NOON,
        lines=5000,
        usage_charges_rated=20000,
        providers_listed=3,
        messages=1284,
        accepted_terms="General terms",
        accepted_terms_sha256="9f86" * 16,
        stack=(("Kafka", "4.4.0"), ("PostgreSQL", "18.1")),
        steps=(
            Step(
                NOON,
                "Buyers join",
                "Two organisations join.",
                (
                    Moved("AddBuyer", "aggregation.commands", 2),
                    Moved("GroupAggregated", "aggregation.events", 1),
                ),
            ),
        ),
        offers=(
            an_offer(1, "1245.55", selected=True),
            an_offer(
                2, "1600.60", buyers_paying_more=1, worst=PaysMore("Harbour Freight", Decimal("155.15"))
            ),
        ),
        buyers=(
            Buyer(
                "Northgate Clinics",
                "GB-COH 04512378",
                75,
                Decimal("1000.00"),
                (
                    Pays(Decimal("801.11"), Decimal("198.89"), Decimal("903.03")),
                    Pays(Decimal("944.95"), Decimal("55.05"), Decimal("944.95")),
                ),
            ),
            Buyer(
                "Harbour Freight",
                "XI-LEI 529900T8BM49AURSDO55",
                4925,
                Decimal("500.50"),
                (
                    Pays(Decimal("444.44"), Decimal("56.06"), Decimal("501.01")),
                    Pays(Decimal("655.65"), Decimal("-155.15"), Decimal("655.65")),
                ),
            ),
        ),
        mails=(
            Mail(NOON, "ada@clinics.example", "[Pool] Hello", "Hello Ada,\n\n    1  2\n", "<1@mail.example>"),
        ),
        disclosures=(Disclosure(NOON, "Provider 1", "the whole request", "ab12" * 16, 7, NOON),),
        intruders=(
            Intruder("A stranger", "read an invitation", "invitations.abc", "TopicAuthorizationFailed"),
        ),
        rejections=(Rejection(NOON, "Provider 2", "ReplySubmitted", "late", "It came after the deadline."),),
        attached=("Sites.txt",),
        answered=Answered(NOON, "How wide is the gate?", "Three metres.", 3),
        sealed=Sealed(NOON, 2, "q80Sxo", 4321, 9, 1715, NOON, NOON),
        verified=Verified(
            "Provider 2", "linepool provider verify", ("The receipt is proved.",), ("WRONG: it is not.",)
        ),
        processes=("aggregation", "rfp", "distribution", "bidding", "notification", "opener"),
        crash=Crash(NOON, "the bidding service", "after its commit", Decimal("3.4"), 1284, 0, 0),
        checks=(
            Check("I1", "Nothing is shown too early.", 3, 0, "Every record."),
            Check("I2", "No reply is lost.", 4, 2, "Every receipt."),
            Check("I5", "No reply is read early.", 0, 0, "No seals yet."),
        ),
    )
    return replace(story, **changed)


def told_by_a_stranger(value: Any, text: str) -> Any:
    """Return the same value with this text in place of every text."""
    if isinstance(value, str):
        return text
    if isinstance(value, tuple):
        return tuple(told_by_a_stranger(one, text) for one in value)
    if is_dataclass(value) and not isinstance(value, type):
        changed = {
            field.name: told_by_a_stranger(getattr(value, field.name), text) for field in fields(value)
        }
        return replace(value, **changed)
    return value
