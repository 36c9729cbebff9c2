"""Checks all that a provider was told against bidding's signatures, without asking anybody.

What it finds at once: any answer that was edited, left out, put in or moved, an answer or a checkpoint that bidding did not
sign, and two different ones under one number. What only later notices show: that the newest answers are missing. They are
missed as soon as a later answer, a proof, or the receipt in question goes beyond the end of the chain.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ValidationError

from linepool.receipts.chain import Head, beginning, follow, link_statement
from linepool.receipts.checkpoint import checkpoint_statement, leaf
from linepool.receipts.tree import leaf_hash, root_of
from shared.canonical import canonical_json
from shared.messages.bidding import (
    ChainLink,
    CheckpointPublished,
    InclusionProved,
    MessageRejected,
    ReceiptIssued,
)
from shared.signing import is_signed

Body = Mapping[str, Any]
"""A notice's JSON object."""
Notice = tuple[str, Body]
"""A notice's CloudEvents type, and its body."""
CheckpointId = tuple[str, int]
"""A purchase and the number of one of its checkpoints."""
Kind = Literal[
    "malformed",
    "not_signed",
    "wrong_head",
    "missing",
    "moved",
    "forked",
    "unchained",
    "not_included",
    "not_in_chain",
]
Standing = Literal["proved", "no proof yet", "not reached", "not in the chain"]
"""Of a receipt; `not reached`: its number is above that of the last answer here, as where the notices are older than it."""
ANSWERS = {ReceiptIssued.type(): "message_type", MessageRejected.type(): "reason"}
"""What is in the chain, with a field that only this type has."""
MISSING_NAMED = 100
"""So many missing checkpoints of a purchase are named."""


@dataclass(frozen=True)
class Fault:
    """Something that does not hold: a fixed word for programs, a sentence for people, and what proves it."""

    kind: Kind
    why: str
    number: int | None = None
    """Of the answer, or of the checkpoint where `purchase_id` is set."""
    purchase_id: str | None = None
    evidence: tuple[Body, ...] = ()
    """With `forked` and `not_in_chain`: notices that contradict each other. Where all are signed, bidding cannot deny it."""


@dataclass(frozen=True)
class Verification:
    """What holds, what does not, and what cannot be checked yet."""

    answers: int
    """How many answers the chain holds, up to the first that does not follow from those before."""
    proved: tuple[CheckpointId, ...]
    """Checkpoints that include this chain as far as it went then."""
    faults: tuple[Fault, ...]
    unproved: tuple[CheckpointId, ...]
    """Signed checkpoints without a proof yet: proofs come once the box was opened."""
    receipt: Standing | None = None
    """What is known of the receipt in question, where there is one."""
    receipt_proved_by: CheckpointId | None = None
    """The checkpoint that shows that the receipt was in the chain then."""

    @property
    def ok(self) -> bool:
        """Whether nothing contradicts the signatures; a proof may still be to come."""
        return not self.faults


def verify(
    provider_id: str, notices: Iterable[Notice], verifying_key: str, receipt: Body | None = None
) -> Verification:
    """Check everything that stands on a provider's `notices.<provider id>`, in its order and from its beginning.

    Args:
        provider_id: whose topic it is.
        notices: type and body of each; repetitions are allowed, types that say nothing about receipts are passed over.
        verifying_key: bidding's Ed25519 key for receipts, 32 bytes in base64.
        receipt: a receipt or rejection that must be in the chain, as the provider has kept it.
    """
    ledger = _Ledger(provider_id, verifying_key)
    for type_, body in notices:
        if type_ in ANSWERS:
            ledger.answer(type_, body)
        elif type_ == CheckpointPublished.type():
            ledger.checkpoint(body)
        elif type_ == InclusionProved.type():
            ledger.proof(body)
    return ledger.outcome(receipt)


@dataclass(frozen=True)
class _Checkpoint:
    body: Body
    root: str
    size: int
    after: int
    """The number of the last answer before it."""
    is_late: bool
    """Whether it came after one with a higher number, as may happen after bidding's database was restored."""


@dataclass
class _Ledger:
    provider_id: str
    key: str
    faults: list[Fault] = field(default_factory=list)
    heads: dict[int, bytes] = field(default_factory=dict)
    answers: dict[int, Body] = field(default_factory=dict)
    unbroken: int = 0
    unchained: list[Body] = field(default_factory=list)
    checkpoints: dict[CheckpointId, _Checkpoint] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)
    proofs: dict[CheckpointId, tuple[Body, InclusionProved]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.last = beginning(self.provider_id)
        self.heads[0] = self.last.hash

    def fault(self, kind: Kind, why: str, number: int | None = None, *evidence: Body) -> None:
        self.faults.append(Fault(kind, why, number, evidence=evidence))

    def checkpoint_fault(self, kind: Kind, why: str, of: CheckpointId | None, *evidence: Body) -> None:
        purchase_id, number = of or (None, None)
        self.faults.append(Fault(kind, why, number, purchase_id, evidence))

    def answer(self, type_: str, body: Body) -> None:
        if body.get("chain") is None:
            self._unchained(body)
            return
        link = self._link(body)
        if link is None or any((field in body) != (type_ == of) for of, field in ANSWERS.items()):
            self.fault("malformed", f"an answer after number {self.last.number} is no answer of a chain")
            return
        known = self.answers.get(link.number)
        if known is not None:
            if not _is_same(known, body):
                self.fault("forked", f"answer {link.number} was given in two ways", link.number, known, body)
            return
        signed = self._is_signed(link)
        if not signed:
            self.fault("not_signed", f"answer {link.number} is not signed by bidding", link.number)
        self.answers[link.number] = body
        if self._follows(link, body) and signed and self.unbroken == link.number - 1:
            self.unbroken = link.number

    def _follows(self, link: ChainLink, body: Body) -> bool:
        """Whether the answer is the next one of the chain; what comes after it is judged against what it claims."""
        last, number = self.last, link.number
        if number <= last.number:
            self.fault("moved", f"answer {number} stands behind answer {last.number}", number)
            return False
        self.last = Head(number, bytes.fromhex(link.head))
        self.heads[number] = self.last.hash
        if number > last.number + 1:
            why = f"answers {last.number + 1} to {number - 1} are missing"
            self.fault("missing", why, last.number + 1)
            return False
        if _follow(last, body) != self.last:
            why = f"the head of answer {number} was computed from another one, or after another one"
            self.fault("wrong_head", why, number)
            return False
        return True

    def _is_signed(self, link: ChainLink) -> bool:
        said = link_statement(self.provider_id, link.number, link.head)
        return is_signed(self.key, said, link.signature)

    def _unchained(self, body: Body) -> None:
        if self.last.number == 0:
            self.unchained.append(body)
        elif body not in self.unchained:
            self.fault("unchained", f"an answer after number {self.last.number} is in no chain")

    def _link(self, body: Body) -> ChainLink | None:
        try:
            return ChainLink.model_validate(body["chain"])
        except ValidationError:
            return None

    def checkpoint(self, body: Body) -> None:
        try:
            shape = CheckpointPublished.model_validate(body)
            statement = checkpoint_statement(body)
        except ValueError:
            self.checkpoint_fault("malformed", "a checkpoint is none", None)
            return
        id_ = (str(body["purchase_id"]), shape.number)
        known = self.checkpoints.get(id_)
        if known is not None:
            if not _is_same(known.body, body):
                self.checkpoint_fault(
                    "forked", f"checkpoint {shape.number} was said in two ways", id_, known.body, body
                )
            return
        if not is_signed(self.key, statement, shape.signature):
            self.checkpoint_fault(
                "not_signed", f"checkpoint {shape.number} is not signed by bidding", id_, body
            )
        newest = self.newest.get(id_[0], 0)
        self.checkpoints[id_] = _Checkpoint(
            body, shape.root, shape.size, self.last.number, is_late=shape.number < newest
        )
        self.newest[id_[0]] = max(newest, shape.number)

    def proof(self, body: Body) -> None:
        try:
            proof = InclusionProved.model_validate(body)
        except ValidationError:
            self.checkpoint_fault("malformed", "a proof is none", None)
            return
        id_ = (str(body["purchase_id"]), proof.checkpoint)
        known = self.proofs.get(id_)
        if known is None:
            self.proofs[id_] = (body, proof)
        elif not _is_same(known[0], body):
            why = f"inclusion under checkpoint {proof.checkpoint} was proved in two ways"
            self.checkpoint_fault("forked", why, id_, known[0], body)

    def outcome(self, receipt: Body | None) -> Verification:
        for purchase_id, newest in self.newest.items():
            # A number may be anything; what is missing is named as far as it can be read.
            known = sum(id_[0] == purchase_id for id_ in self.checkpoints)
            for number in range(1, min(newest, known + MISSING_NAMED)):
                if (purchase_id, number) not in self.checkpoints:
                    self.checkpoint_fault("missing", f"checkpoint {number} is missing", (purchase_id, number))
        proved = tuple(
            id_ for id_, (body, proof) in self.proofs.items() if self._is_included(id_, body, proof)
        )
        verdict, by = self._of_receipt(receipt, proved) if receipt is not None else (None, None)
        return Verification(
            answers=self.unbroken,
            proved=proved,
            faults=tuple(self.faults),
            unproved=tuple(id_ for id_ in self.checkpoints if id_ not in self.proofs),
            receipt=verdict,
            receipt_proved_by=by,
        )

    def _is_included(self, id_: CheckpointId, body: Body, proof: InclusionProved) -> bool:
        purchase_id, number = id_
        checkpoint = self.checkpoints.get(id_)
        if checkpoint is None:
            self.checkpoint_fault("missing", f"checkpoint {number} has a proof, and is missing", id_, body)
            return False
        head = Head(proof.chain_number, bytes.fromhex(proof.chain_head))
        data = leaf(bytes.fromhex(proof.salt), self.provider_id, purchase_id, number, head)
        root = root_of(leaf_hash(data), proof.leaf, [bytes.fromhex(one) for one in proof.path])
        if (
            checkpoint.size != 1 << len(proof.path)
            or proof.leaf >= checkpoint.size
            or root.hex() != checkpoint.root
        ):
            why = f"the proof does not lead to the root of checkpoint {number}"
            self.checkpoint_fault("not_included", why, id_, checkpoint.body, body)
            return False
        return self._covers(id_, checkpoint, head, body)

    def _covers(self, id_: CheckpointId, checkpoint: _Checkpoint, head: Head, body: Body) -> bool:
        """Whether the proved head is that of this chain, as far as it went when the checkpoint was made."""
        evidence = [checkpoint.body, body]
        if head.number not in self.heads:
            why = f"checkpoint {id_[1]} covers {head.number} answers, and the last here is {self.last.number}"
            self.checkpoint_fault("missing", why, id_, *evidence)
        elif self.heads[head.number] != head.hash:
            if head.number in self.answers:
                evidence.append(self.answers[head.number])
            why = f"checkpoint {id_[1]} covers another chain than this one"
            self.checkpoint_fault("forked", why, id_, *evidence)
        elif head.number > checkpoint.after or (head.number < checkpoint.after and not checkpoint.is_late):
            why = f"checkpoint {id_[1]} covers {head.number} answers, and stands behind {checkpoint.after}"
            self.checkpoint_fault("moved", why, id_, *evidence)
        else:
            return True
        return False

    def _of_receipt(
        self, receipt: Body, proved: tuple[CheckpointId, ...]
    ) -> tuple[Standing, CheckpointId | None]:
        link = self._link(receipt) if receipt.get("chain") is not None else None
        known = None if link is None else self.answers.get(link.number)
        if link is not None and link.number > self.last.number and self._is_signed(link):
            why = (
                f"the receipt is answer {link.number}, and the last here is {self.last.number}: "
                "fetch the newer notices, and verify again"
            )
            self.fault("missing", why, link.number, receipt)
            return "not reached", None
        if link is None or known is None or not _is_same(known, receipt):
            signed = link is not None and self._is_signed(link)
            why = "the receipt is not in the chain" + (", and signed" if signed else ", and not signed")
            evidence = (receipt,) if known is None else (known, receipt)
            self.fault("not_in_chain", why, link.number if link else None, *evidence)
            return "not in the chain", None
        own = str(receipt.get("purchase_id"))
        after = [id_ for id_, one in self.checkpoints.items() if one.after >= link.number]
        # Every checkpoint covers the whole chain, whichever purchase it is of; the first of its own says it first.
        first_own = [id_ for id_ in after if id_[0] == own][:1]
        by = next((id_ for id_ in [*first_own, *after] if id_ in proved), None)
        return ("proved", by) if by is not None else ("no proof yet", None)


def _follow(head: Head, body: Body) -> Head | None:
    try:
        return follow(head, body)
    except (TypeError, ValueError, RecursionError):
        return None


def _is_same(one: Body, other: Body) -> bool:
    """Whether both are the same JSON; 1 and true are not."""
    try:
        return canonical_json(one) == canonical_json(other)
    except (TypeError, ValueError, RecursionError):
        return False
