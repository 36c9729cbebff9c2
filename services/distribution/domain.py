"""The gate's decisions: when a version of a request may be shown, to whom, and what exactly they see."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from itertools import islice, product
from typing import Literal
from uuid import UUID

from shared.documents import join
from shared.messages.base import AboutPurchase, Document
from shared.messages.distribution import (
    AccessOffered,
    CancellationPresented,
    PresentedDocumentPart,
    ProviderInvited,
    RequestPresented,
)
from shared.messages.rfp import Mode

INLINE_BYTES = 400_000
"""Content up to this size travels inside the invitation: even with each byte escaped it stays under 1 MiB."""
MOST_COMBINATIONS = 1024
"""A document of which parts came in several variants is tried in at most so many combinations."""

Seal = Literal["none", "hpke"]


@dataclass(frozen=True)
class Qualification:
    """The group's verification under one number, for exactly one snapshot."""

    number: int
    snapshot: str
    valid_until: datetime
    lapsed: bool

    def holds(self, snapshot: str, at: datetime) -> bool:
        """Tell whether it covers this snapshot at this time."""
        return self.snapshot == snapshot and not self.lapsed and self.valid_until > at


@dataclass(frozen=True)
class BidBox:
    """Replies to the version can be taken; how they must be sealed."""

    seal: Seal
    public_key: str | None = None
    key_signature: str | None = None


@dataclass(frozen=True)
class Request:
    """One version of the request, with what else is known about exactly this version.

    `documents` starts with the content. `incomplete` are the positions whose right bytes are not all here.
    """

    purchase_id: UUID
    version: int
    title: str
    deadline: datetime
    mode: Mode
    snapshot: str
    documents: tuple[Document, ...]
    incomplete: frozenset[int]
    provider_ids: tuple[str, ...]
    box: BidBox | None
    opened: bool


@dataclass(frozen=True)
class Gate:
    """What is known about a purchase: `requests` and `qualifications` are sorted by their numbers."""

    purchase_id: UUID
    cancellation_reason: str | None
    deadline_passed: bool
    requests: tuple[Request, ...]
    qualifications: tuple[Qualification, ...]

    @property
    def cancelled(self) -> bool:
        """Tell whether the purchase was called off."""
        return self.cancellation_reason is not None

    def runs(self, at: datetime) -> bool:
        """Tell whether anything may still be presented, but for a cancellation."""
        over = self.cancelled or self.deadline_passed
        return not over and any(request.deadline > at for request in self.requests)


@dataclass(frozen=True)
class Said:
    """What a restored service finds that it had already said about opening a version.

    `qualification` is None where only invitations got out, and no fact about them. `completed` means that
    `RequestDistributed` got out too, so that nobody but `invited` was invited.
    """

    at: datetime
    invited: frozenset[str]
    qualification: int | None
    completed: bool


@dataclass(frozen=True)
class Ready:
    """The version may be shown, by this qualification."""

    qualification: int


@dataclass(frozen=True)
class Waiting:
    """Facts are missing that may still come."""

    waits_for: tuple[str, ...]


@dataclass(frozen=True)
class Shut:
    """The version will never be shown, or was shown already."""

    reason: Literal["open already", "cancelled", "deadline passed", "superseded"]


def judge(gate: Gate, request: Request, now: datetime, said: Said | None) -> Ready | Waiting | Shut:
    """Decide whether a version of the request may be shown at `now`.

    Where the service had decided before (`said`), what came after that decision changes nothing.
    """
    if request.opened:
        return Shut("open already")
    if said is None and (reason := _shut_by(gate, request, now)):
        return Shut(reason)
    qualification = _qualification(gate, request, now, said)
    waits_for = [_name(position, request) for position in sorted(request.incomplete)]
    if request.box is None:
        waits_for.append("bid box")
    if qualification is None:
        waits_for.append("qualification")
    if waits_for or qualification is None:
        return Waiting(tuple(waits_for))
    return Ready(qualification)


def _shut_by(
    gate: Gate, request: Request, now: datetime
) -> Literal["cancelled", "deadline passed", "superseded"] | None:
    if gate.cancelled:
        return "cancelled"
    if gate.deadline_passed or request.deadline <= now:
        return "deadline passed"
    if any(other.version > request.version for other in gate.requests):
        return "superseded"
    return None


def _qualification(gate: Gate, request: Request, now: datetime, said: Said | None) -> int | None:
    # The first that holds, so that a later one that overtakes other facts gives the same ledger.
    if said is None:
        return next((one.number for one in gate.qualifications if one.holds(request.snapshot, now)), None)
    for one in gate.qualifications:
        if (
            said.qualification in {None, one.number}
            and one.snapshot == request.snapshot
            and one.valid_until > said.at
        ):
            return one.number
    return None


def _name(position: int, request: Request) -> str:
    return "content" if position == 0 else request.documents[position].name


def invited(gate: Gate, request: Request, suspended: AbstractSet[str], said: Said | None) -> list[str]:
    """Return who is shown the version, sorted: the listed providers who are not suspended.

    Whoever was invited before a restore stays invited. An opening of which not all got out is only completed
    for others while the purchase still runs.
    """
    others_too = said is None or not (said.completed or gate.cancelled or gate.deadline_passed)
    already: AbstractSet[str] = said.invited if said else frozenset()
    return sorted(
        one for one in request.provider_ids if one in already or (others_too and one not in suspended)
    )


def fitting_parts(document: Document, variants: Mapping[int, Sequence[str]]) -> tuple[str, ...] | None:
    """Return the parts, in order, that together are the document; None where no combination is.

    `variants` maps a part's number to every different data that came for it, in base64.
    """
    numbers = range(1, document.parts + 1)
    if any(not variants.get(number) for number in numbers):
        return None
    for parts in islice(product(*(variants[number] for number in numbers)), MOST_COMBINATIONS):
        try:
            join(document, parts)
        except ValueError:
            continue
        return parts
    return None


def invitation(request: Request, box: BidBox, parts: Sequence[Sequence[str]]) -> list[AboutPurchase]:
    """Return the whole request, in the order in which it is put before a provider; the same for everyone.

    `parts` are the base64 parts of each of the request's documents.
    """
    content = request.documents[0]
    text = _inline(content, parts[0])
    shown = RequestPresented(
        purchase_id=request.purchase_id,
        request_version=request.version,
        title=request.title,
        deadline=request.deadline,
        mode=request.mode,
        seal=box.seal,
        public_key=box.public_key,
        key_signature=box.key_signature,
        content=content,
        content_json=text,
        documents=request.documents[1:],
    )
    followed_by = [
        PresentedDocumentPart(
            purchase_id=request.purchase_id,
            document=document,
            request_version=request.version,
            part=number,
            data=data,
        )
        for position, document in enumerate(request.documents)
        if position > 0 or text is None
        for number, data in enumerate(parts[position], start=1)
    ]
    return [shown, *followed_by]


def offer(request: Request) -> AccessOffered:
    """Return what an invitation says that only offers access: nothing of the content but its hash."""
    return AccessOffered(
        purchase_id=request.purchase_id,
        request_version=request.version,
        title=request.title,
        deadline=request.deadline,
        content_sha256=request.documents[0].sha256,
    )


def _inline(content: Document, parts: Sequence[str]) -> str | None:
    if content.size > INLINE_BYTES:
        return None
    try:
        return join(content, parts).decode()
    except UnicodeDecodeError:
        return None


def invitation_fact(request: Request, qualification: int, provider_id: str) -> ProviderInvited:
    """Return the ledger's entry as a fact."""
    return ProviderInvited(
        purchase_id=request.purchase_id,
        request_version=request.version,
        provider_id=provider_id,
        mode=request.mode,
        content_sha256=request.documents[0].sha256,
        qualification=qualification,
    )


def cancellation(gate: Gate) -> CancellationPresented | None:
    """Return what everyone is told who was shown anything; None where the purchase was not called off."""
    if gate.cancellation_reason is None:
        return None
    return CancellationPresented(purchase_id=gate.purchase_id, reason=gate.cancellation_reason)


def data_sha256(data: str) -> str:
    """Return the hash by which different data for the same part are told apart."""
    return sha256(data.encode()).hexdigest()
