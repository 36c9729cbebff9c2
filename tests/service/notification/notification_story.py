"""All facts of one purchase that notification reads, as other services say them."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

from services.notification.sealed import public_key
from shared.canonical import canonical_json
from shared.documents import manifest_of, split
from shared.envelope import derived_id
from shared.messages.aggregation import (
    BuyerJoined,
    ContactRecorded,
    CredentialAssigned,
    GroupAggregated,
    GroupOpened,
)
from shared.messages.base import Message
from shared.messages.bidding import (
    ComparisonPart,
    ProviderSelected,
    RepliesCompared,
    RepliesOpened,
    TermsAccepted,
    TermsPresented,
    TermsRejected,
)
from shared.messages.distribution import RequestDistributed
from shared.messages.rfp import GroupQualified, RequestIssued
from shared.sealing import seal_for
from tests.memory import MemoryKafka

PURCHASE = UUID("0f6d2f0e-5c1b-4f43-9a53-1c6f5e0f7a11")
COORDINATOR = UUID("5b2b1f6c-8a3f-4b8e-9a27-3d1a4f6f2c01")
ADA, BEN = (UUID(f"5b2b1f6c-8a3f-4b8e-9a27-3d1a4f6f2c0{n}") for n in (2, 3))
CLINICS, FREIGHT = (UUID(f"b1d3a1d4-02a7-4b8e-8a4e-6c1f2d3e4f0{n}") for n in (1, 2))
WINNER, LOSER = "winner000001", "loser0000002"
WON, LOST = (UUID(f"7d9b5c0a-3f52-5d1c-8a3e-4a0f6f6c2b7{n}") for n in (1, 2))
SNAPSHOT = sha256(b"snapshot").hexdigest()
TERMS = sha256(b"All of them.").hexdigest()
PASSWORD = "7KQ2-M9XD-V4TB-0ZHN-6PRC-WJ1E"
DEADLINE = datetime(2030, 5, 4, 12, 0, tzinfo=UTC)


def cause(message: Message) -> UUID:
    """The id under which a fact of this story is said."""
    return derived_id("story", message.type(), message.subject, message.to_bytes().hex())


def say(kafka: MemoryKafka, *facts: Message) -> None:
    for fact in facts:
        kafka.event(fact, id=cause(fact))


def group_opened(name: str = "North Line Pool") -> GroupOpened:
    return GroupOpened(
        purchase_id=PURCHASE, name=name, currency="EUR", tax_basis="net", coordinator_id=COORDINATOR
    )


def contact(person_id: UUID, name: str, email: str) -> ContactRecorded:
    return ContactRecorded(person_id=person_id, name=name, email=email)


def contacts() -> list[Message]:
    return [
        contact(COORDINATOR, "Cleo Vance", "cleo@pool.example"),
        contact(ADA, "Ada Byron", "ada@clinics.example"),
        contact(BEN, "Ben Adler", "ben@freight.example"),
    ]


def joined(buyer_id: UUID, legal_name: str, contact_id: UUID, number: str) -> BuyerJoined:
    return BuyerJoined.model_validate(
        {
            "purchase_id": PURCHASE,
            "buyer_id": buyer_id,
            "legal_name": legal_name,
            "identifiers": [{"scheme": "GB-COH", "id": number}],
            "contact_id": contact_id,
        }
    )


def credential(number: int = 1, password: str = PASSWORD, *, hours: int = 72) -> CredentialAssigned:
    key = public_key(bytes.fromhex("11" * 32))
    return CredentialAssigned(
        purchase_id=PURCHASE,
        person_id=COORDINATOR,
        number=number,
        state="assigned",
        verifier="$argon2id$v=19$verifier",
        sealed_password=seal_for(key, password.encode(), f"linepool password {PURCHASE} {COORDINATOR}"),
        expires_at=datetime.now(UTC) + timedelta(hours=hours),
    )


def aggregated() -> GroupAggregated:
    return GroupAggregated.model_validate(
        {
            "purchase_id": PURCHASE,
            "name": "North Line Pool",
            "currency": "EUR",
            "tax_basis": "net",
            "coordinator_id": COORDINATOR,
            "buyer_ids": [CLINICS, FREIGHT],
            "reports": {CLINICS: UUID(int=1), FREIGHT: UUID(int=2)},
            "period": {"start": "2025-01-01", "end": "2025-12-31", "months": 12},
            "lines": 3,
            "usage_digest": SNAPSHOT,
            "snapshot": SNAPSHOT,
        }
    )


def group() -> list[Message]:
    return [
        group_opened(),
        joined(CLINICS, "Northgate Clinics Ltd", ADA, "04512378"),
        joined(FREIGHT, "Harbour Freight GmbH", BEN, "09876543"),
        aggregated(),
    ]


def issued(**changes: object) -> RequestIssued:
    return RequestIssued.model_validate(
        {
            "purchase_id": PURCHASE,
            "request_version": 1,
            "title": "Voice lines for two sites",
            "content": manifest_of("request.json", b"{}"),
            "documents": [],
            "snapshot": SNAPSHOT,
            "usage_digest": SNAPSHOT,
            "provider_ids": [WINNER, LOSER],
            "services": [],
            "deadline": DEADLINE,
            "contract_months": 24,
            "mode": "transmit",
            "buyers_shown": "named",
            "currency": "EUR",
            "tax_basis": "net",
            **changes,
        }
    )


def request() -> list[Message]:
    return [
        issued(),
        GroupQualified(purchase_id=PURCHASE, number=1, snapshot=SNAPSHOT, valid_until=DEADLINE),
        RequestDistributed(purchase_id=PURCHASE, request_version=1, invited=2),
    ]


def comparison() -> list[Message]:
    def buyer(buyer_id: UUID, charged: str, total: str, saving: str) -> dict[str, str]:
        return {
            "buyer_id": str(buyer_id),
            "charged_over_term": charged,
            "term_total": total,
            "saving": saving,
        }

    content = canonical_json(
        {
            "currency": "EUR",
            "tax_basis": "net",
            "evaluations": [
                {
                    "rank": 1,
                    "reply_id": str(WON),
                    "contract_months": 24,
                    "charged_over_term": "1500.50",
                    "term_total": "1245.55",
                    "saving": "254.95",
                    "buyers": [
                        buyer(CLINICS, "1000.00", "801.11", "198.89"),
                        buyer(FREIGHT, "500.50", "444.44", "56.06"),
                    ],
                },
                {
                    "rank": 2,
                    "reply_id": str(LOST),
                    "contract_months": 24,
                    "charged_over_term": "1500.50",
                    "term_total": "1456.78",
                    "saving": "43.72",
                    "buyers": [
                        buyer(CLINICS, "1000.00", "901.23", "98.77"),
                        buyer(FREIGHT, "500.50", "555.55", "-55.05"),
                    ],
                },
            ],
            # So that the document takes two parts.
            "not_evaluated": ["x" * 400_000],
        }
    )
    document = manifest_of("comparison.json", content)
    parts = [
        ComparisonPart(purchase_id=PURCHASE, document=document, request_version=1, part=number, data=data)
        for number, data in split(document, content)
    ]
    compared = RepliesCompared.model_validate(
        {
            "purchase_id": PURCHASE,
            "request_version": 1,
            "usage_digest": SNAPSHOT,
            "charged": "1500.50",
            "replies": [
                {"reply_id": WON, "provider_id": WINNER, "rank": 1, "total": "1245.55", "saving": "254.95"},
                {"reply_id": LOST, "provider_id": LOSER, "rank": 2, "total": "1456.78", "saving": "43.72"},
            ],
            "comparison_sha256": document.sha256,
        }
    )
    return [compared, *parts]


def replies_opened() -> RepliesOpened:
    reply = {"revision": 1, "appended_at": DEADLINE, "standing": "evaluated"}
    replies = [
        {"reply_id": WON, "provider_id": WINNER, **reply},
        {"reply_id": LOST, "provider_id": LOSER, **reply},
    ]
    return RepliesOpened.model_validate(
        {"purchase_id": PURCHASE, "request_version": 1, "replies": replies, "declined": []}
    )


def selected() -> ProviderSelected:
    other = {"provider_id": LOSER, "reply_id": LOST, "rank": 2, "reason": "Costs more over the term."}
    return ProviderSelected.model_validate(
        {"purchase_id": PURCHASE, "award": 1, "provider_id": WINNER, "reply_id": WON, "others": [other]}
    )


def terms_presented() -> TermsPresented:
    return TermsPresented(
        purchase_id=PURCHASE,
        award=1,
        provider_id=WINNER,
        title="Terms",
        text="All of them.",
        terms_sha256=TERMS,
    )


def terms_rejected() -> TermsRejected:
    return TermsRejected(
        purchase_id=PURCHASE,
        award=1,
        provider_id=WINNER,
        terms_sha256=TERMS,
        reason="Twelve months are too long.",
    )


def terms_accepted() -> TermsAccepted:
    return TermsAccepted(
        purchase_id=PURCHASE, award=1, provider_id=WINNER, terms_sha256=TERMS, accepted_by=COORDINATOR
    )


def whole_purchase() -> list[Message]:
    return [
        *group(),
        *contacts(),
        credential(),
        *request(),
        replies_opened(),
        *comparison(),
        selected(),
        terms_presented(),
        terms_rejected(),
        terms_accepted(),
    ]
