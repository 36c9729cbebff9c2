"""One purchase, told from its facts: builders with defaults for the tests of notification."""

from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from uuid import UUID

from services.notification.domain.comparison import ComparedBuyer, ComparedReply, Comparison
from services.notification.domain.known import Buyer, Fact, Known, Request
from shared.messages.aggregation import Identifier
from shared.messages.base import Message
from shared.messages.bidding import ProviderSelected, RankedReply, RepliesCompared, Unsuccessful

PURCHASE = UUID("0f6d2f0e-5c1b-4f43-9a53-1c6f5e0f7a11")
COORDINATOR = UUID("5b2b1f6c-8a3f-4b8e-9a27-3d1a4f6f2c01")
ADA, BEN = (UUID(f"5b2b1f6c-8a3f-4b8e-9a27-3d1a4f6f2c0{n}") for n in (2, 3))
CLINICS, FREIGHT = (UUID(f"b1d3a1d4-02a7-4b8e-8a4e-6c1f2d3e4f0{n}") for n in (1, 2))
WINNER, LOSER = "winner000001", "loser0000002"
WON, LOST = (UUID(f"7d9b5c0a-3f52-5d1c-8a3e-4a0f6f6c2b7{n}") for n in (1, 2))
NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
COMPARISON_SHA256 = sha256(b"comparison").hexdigest()
TERMS_SHA256 = sha256(b"terms").hexdigest()
SNAPSHOT = sha256(b"snapshot").hexdigest()

CLINICS_BUYER = Buyer(CLINICS, "Northgate Clinics Ltd", (Identifier(scheme="GB-COH", id="04512378"),), ADA)
FREIGHT_BUYER = Buyer(
    FREIGHT, "Harbour Freight GmbH", (Identifier(scheme="XI-LEI", id="529900T8BM49AURSDO55"),), BEN
)


def a_fact(message: Message) -> Fact:
    return Fact(UUID(int=len(message.type())), message)


def everything_known(*buyers: Buyer, awards_told: frozenset[int] = frozenset({1})) -> Known:
    members = buyers or (CLINICS_BUYER, FREIGHT_BUYER)
    return Known(
        purchase_id=PURCHASE,
        coordinator_id=COORDINATOR,
        member_ids=tuple(buyer.buyer_id for buyer in members),
        buyers={buyer.buyer_id: buyer for buyer in members},
        requests={1: Request("Voice lines for two sites", NOON, None)},
        comparisons={COMPARISON_SHA256: a_comparison()},
        awards_told=awards_told,
    )


def a_comparison() -> Comparison:
    def reply(rank: int, reply_id: UUID, clinics: str, freight: str) -> ComparedReply:
        rows = [(CLINICS, "1000.00", clinics), (FREIGHT, "500.50", freight)]
        return ComparedReply.model_validate(
            {
                "rank": rank,
                "reply_id": reply_id,
                "contract_months": 24,
                "charged_over_term": "1500.50",
                "term_total": str(_d(clinics) + _d(freight)),
                "saving": str(_d("1500.50") - _d(clinics) - _d(freight)),
                "buyers": [
                    ComparedBuyer.model_validate(
                        {
                            "buyer_id": buyer_id,
                            "charged_over_term": charged,
                            "term_total": total,
                            "saving": str(_d(charged) - _d(total)),
                        }
                    )
                    for buyer_id, charged, total in rows
                ],
            }
        )

    return Comparison(
        currency="EUR",
        tax_basis="net",
        evaluations=(reply(2, LOST, "901.23", "555.55"), reply(1, WON, "801.11", "444.44")),
    )


def replies_compared() -> RepliesCompared:
    return RepliesCompared.model_validate(
        {
            "purchase_id": PURCHASE,
            "request_version": 1,
            "usage_digest": SNAPSHOT,
            "charged": "1500.50",
            "replies": [
                RankedReply.model_validate(
                    {
                        "reply_id": WON,
                        "provider_id": WINNER,
                        "rank": 1,
                        "total": "1245.55",
                        "saving": "254.95",
                    }
                ),
                RankedReply.model_validate(
                    {"reply_id": LOST, "provider_id": LOSER, "rank": 2, "total": "1456.78", "saving": "43.72"}
                ),
            ],
            "comparison_sha256": COMPARISON_SHA256,
        }
    )


def provider_selected() -> ProviderSelected:
    return ProviderSelected(
        purchase_id=PURCHASE,
        award=1,
        provider_id=WINNER,
        reply_id=WON,
        others=(Unsuccessful(provider_id=LOSER, reply_id=LOST, rank=2, reason="Costs more over the term."),),
    )


def _d(text: str) -> Decimal:
    return Decimal(text)
