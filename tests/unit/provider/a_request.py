"""A request as rfp compiles it and distribution presents it, and keys to seal to."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from linepool.provider.bundle import Keys
from linepool.provider.request import Request
from services.rfp.content import CONTENT, USAGE_LINES, request_content, usage_lines
from services.rfp.domain import Buyer
from shared.documents import manifest_of
from shared.messages.aggregation import BillingPreferences, GroupAggregated, Identifier, LineUsage, Period
from shared.messages.distribution import RequestPresented
from shared.messages.providers import Offer
from shared.messages.rfp import DescribeNeed
from shared.sealing import box_key_purpose, private_key, public_key_b64
from shared.signing import SEAL_KEYS, seal_key_statement, sign, signing_key, verifying_key_b64

PURCHASE = UUID("0198c0de-0000-7000-8000-000000000001")
BUYERS = (UUID(int=11), UUID(int=12))
PROVIDER = "aikoaikoaiko"
SECRET = b"s" * 32
KEYS = Keys(seal_keys=verifying_key_b64(signing_key(SECRET, SEAL_KEYS)))
BOX_KEY = private_key(SECRET, box_key_purpose(PURCHASE, 1))


def need(**changes: Any) -> DescribeNeed:
    return DescribeNeed.model_validate(
        {
            "purchase_id": PURCHASE,
            "title": "Lines for two towns",
            "description": "All fixed lines.",
            "services": [
                {"service": "voice.day", "unit": "MIN", "description": "Calls by day"},
                {"service": "data", "unit": "E34", "description": "Mobile data"},
            ],
            "places": ["Aal", "Bel"],
            "deadline": datetime(2026, 6, 1, 12, tzinfo=UTC),
            "contract_months": 24,
            "mode": "transmit",
            "buyers_shown": "named",
            **changes,
        }
    )


def a_line(name: str, **used: str) -> LineUsage:
    units = {"voice.day": "MIN", "voice.night": "MIN", "data": "E34"}
    services = [
        {"service": code, "quantity": quantity, "unit": units[code], "charged": "1.00"}
        for code, quantity in ((name.replace("_", "."), quantity) for name, quantity in used.items())
    ]
    return LineUsage.model_validate(
        {"line_id": name, "services": services, "recurring_charged": "10.00", "exit_fee": "0.00"}
    )


USAGE = (
    (BUYERS[0], a_line("L1", voice_day="120.5", data="3")),
    (BUYERS[0], a_line("L2", voice_day="79.5")),
    (BUYERS[1], a_line("L3", voice_day="1000", voice_night="10")),
)


def a_request(
    *, sealed: bool = False, documents: Mapping[str, bytes] | None = None, **changes: Any
) -> Request:
    asked = need(**changes)
    members = [
        Buyer(BUYERS[0], "Town <b>One</b>", (Identifier(scheme="GB-COH", id="123"),), UUID(int=1)),
        Buyer(BUYERS[1], "=Town Two", (Identifier(scheme="GB-COH", id="124"),), UUID(int=2)),
    ]
    aggregated = GroupAggregated.model_construct(
        purchase_id=PURCHASE,
        name="Harbour towns",
        currency="EUR",
        tax_basis="net",
        period=Period.model_validate({"start": "2026-05-01", "end": "2026-05-31", "months": 1}),
        usage_digest="a" * 64,
        billing_preferences={
            BUYERS[0]: BillingPreferences(format="ubl", frequency="monthly", payment_days=30, medium="peppol")
        },
    )
    content = request_content(aggregated, members, USAGE, asked)
    further = {USAGE_LINES: usage_lines(members, USAGE, asked.buyers_shown), **(documents or {})}
    key = public_key_b64(BOX_KEY)
    presented = RequestPresented(
        purchase_id=PURCHASE,
        request_version=1,
        title=asked.title,
        deadline=asked.deadline,
        mode="transmit",
        seal="hpke" if sealed else "none",
        public_key=key if sealed else None,
        key_signature=sign(signing_key(SECRET, SEAL_KEYS), seal_key_statement(PURCHASE, 1, key))
        if sealed
        else None,
        content=manifest_of(CONTENT, content),
        content_json=content.decode(),
        documents=tuple(manifest_of(name, one) for name, one in further.items()),
    )
    return Request.of(presented, content, further)


def an_offer(*components: dict[str, Any], **changes: Any) -> Offer:
    prices = components or (
        {"kind": "recurring", "per": "line", "price": Decimal("4.50")},
        {"kind": "usage", "service": "voice.day", "unit": "MIN", "price": Decimal("0.10")},
        {"kind": "usage", "service": "data", "unit": "E34", "price": Decimal("2.00")},
        {"kind": "usage", "service": "voice.night", "unit": "MIN", "price": Decimal("0.05")},
    )
    return Offer.model_validate(
        {
            "name": "Offer",
            "currency": "EUR",
            "tax_basis": "net",
            "contract_months": 24,
            "components": prices,
            "billing": "One UBL invoice a month.",
            **changes,
        }
    )
