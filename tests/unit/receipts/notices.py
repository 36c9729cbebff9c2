"""A provider's notices as bidding says them: answers in a chain, checkpoints, and their proofs."""

import json
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from linepool.receipts.chain import Head, beginning, follow, link_statement
from linepool.receipts.checkpoint import LEAVES, Tree, checkpoint_statement, grow
from linepool.receipts.verify import Notice, Verification, verify
from shared.messages.bidding import CheckpointPublished, InclusionProved, MessageRejected, ReceiptIssued
from shared.signing import RECEIPTS, sign, signing_key, verifying_key_b64

SECRET = bytes(range(32))
KEY = signing_key(SECRET, RECEIPTS)
VERIFYING = verifying_key_b64(KEY)
PROVIDER, OTHER = "aikoaikoaiko", "briobriobrio"
PURCHASE, OTHER_PURCHASE = UUID(int=1), UUID(int=2)
BEGIN = datetime(2026, 6, 1, 12, tzinfo=UTC)


@dataclass
class Desk:
    """Answers one provider."""

    provider_id: str = PROVIDER
    others: int = 2
    notices: list[Notice] = field(default_factory=list)
    trees: dict[tuple[UUID, int], Tree] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.head = beginning(self.provider_id)

    def answer(self, *, rejected: bool = False, purchase: UUID = PURCHASE) -> dict[str, Any]:
        number = self.head.number + 1
        body: dict[str, Any] = {
            "purchase_id": str(purchase),
            "message_id": f"message-{number}",
            "sha256": f"{number:064x}",
            "appended_at": (BEGIN + timedelta(seconds=number)).isoformat().replace("+00:00", "Z"),
        }
        if rejected:
            body |= {"reason": "late", "detail": "It was appended at the deadline or after it."}
        else:
            body |= {"message_type": "linepool.reply-submitted.v1", "reply_id": str(UUID(int=number))}
        self.head = follow(self.head, body)
        said = link_statement(self.provider_id, number, self.head.hash.hex())
        body["chain"] = {"number": number, "head": self.head.hash.hex(), "signature": sign(KEY, said)}
        self.notices.append((MessageRejected.type() if rejected else ReceiptIssued.type(), body))
        return body

    def checkpoint(self, number: int, *, purchase: UUID = PURCHASE) -> dict[str, Any]:
        heads = {f"other{one:07d}": Head(one, bytes(32)) for one in range(self.others)}
        tree = grow(SECRET, purchase, number, heads | {self.provider_id: self.head})
        self.trees[purchase, number] = tree
        body: dict[str, Any] = {
            "purchase_id": str(purchase),
            "number": number,
            "made_at": (BEGIN + timedelta(hours=number)).isoformat().replace("+00:00", "Z"),
            "size": LEAVES,
            "root": tree.root.hex(),
        }
        body["signature"] = sign(KEY, checkpoint_statement(body))
        self.notices.append((CheckpointPublished.type(), body))
        return body

    def prove(self, number: int, *, purchase: UUID = PURCHASE, of: str | None = None) -> dict[str, Any]:
        proof = self.trees[purchase, number].proof(of or self.provider_id)
        body = {
            "purchase_id": str(purchase),
            "checkpoint": number,
            "chain_number": proof.head.number,
            "chain_head": proof.head.hash.hex(),
            "salt": proof.salt.hex(),
            "leaf": proof.place,
            "path": [one.hex() for one in proof.beside],
        }
        self.notices.append((InclusionProved.type(), body))
        return body


def a_whole_purchase() -> Desk:
    """Nine answers, checkpoints before, between and after them, and all proofs: the last checkpoint covers everything."""
    desk = Desk()
    desk.checkpoint(1)
    for number in range(2, 5):
        for one in range(3):
            desk.answer(rejected=one == number - 2)
        desk.checkpoint(number)
    for number in range(1, 5):
        desk.prove(number)
    return desk


def check(notices: list[Notice], receipt: dict[str, Any] | None = None) -> Verification:
    return verify(PROVIDER, notices, VERIFYING, receipt)


def copied(notices: list[Notice]) -> list[Notice]:
    return [(type_, deepcopy(dict(body))) for type_, body in notices]


def is_answer(notice: Notice) -> bool:
    return notice[0] in {ReceiptIssued.type(), MessageRejected.type()}


def spelled(notices: list[Notice]) -> str:
    return json.dumps(notices, sort_keys=True)
