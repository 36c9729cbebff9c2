"""How a request is frozen: everything it is made of is gathered, checked, and written as documents."""

import asyncio
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from services.rfp import attachments, content, domain, registry, store
from shared.documents import manifest_of, split
from shared.messages.base import Document
from shared.messages.rfp import (
    DeadlinePassed,
    RequestCancelled,
    RequestDocumentPart,
    RequestIssued,
    SetProviderList,
)
from shared.outbox import Publisher
from shared.outcomes import NotYet, Refusal
from shared.usage_digest import usage_digest

Parts = list[tuple[UUID, str]]


@dataclass(frozen=True)
class Frozen:
    """A request with its list and its documents: the content first, then the usage; last what was attached."""

    issue: domain.Issue
    provider_ids: tuple[str, ...]
    documents: tuple[tuple[str, bytes], ...]
    attachments: tuple[Document, ...]


async def freeze(
    tx: asyncpg.Connection, request: domain.Request, publish: Publisher
) -> Frozen | Refusal | NotYet:
    """Gather what the request is made of, or say what is wrong or still missing."""
    issue = domain.may_issue(request, publish.now)
    if isinstance(issue, Refusal | NotYet):
        return issue
    attached = (await attachments.attachments(tx, request.purchase_id)).values()
    if any(not one.complete for one in attached):
        return Refusal("attachment_incomplete", "Parts of an attached document are missing.")
    provider_ids = _listed_before(publish) or await _list_now(tx, issue.listed)
    if isinstance(provider_ids, Refusal):
        return provider_ids
    members = domain.known_members(issue.aggregated, await store.buyers(tx, request.purchase_id))
    if isinstance(members, NotYet):
        return members
    parts = await store.counting_usage(tx, request.purchase_id, list(issue.aggregated.reports.values()))
    # A large group's documents take seconds, which must not hold up the consumer's heartbeats.
    documents = await asyncio.to_thread(_write_documents, issue, members, parts)
    if isinstance(documents, NotYet):
        return documents
    return Frozen(issue, provider_ids, documents, tuple(one.document for one in attached))


async def say_documents(tx: asyncpg.Connection, publish: Publisher, frozen: Frozen) -> list[Document]:
    """Publish the documents in their parts; return their manifests in the same order."""
    purchase_id = frozen.issue.need.purchase_id
    manifests = []
    for name, text in frozen.documents:
        manifest = manifest_of(name, text)
        for number, data in split(manifest, text):
            await publish(_part(purchase_id, manifest, number, data))
        manifests.append(manifest)
    for manifest in frozen.attachments:
        parts = await attachments.parts_of(tx, purchase_id, manifest.name)
        for number, data in enumerate(parts, start=1):
            await publish(_part(purchase_id, manifest, number, data))
        manifests.append(manifest)
    return manifests


def _part(purchase_id: UUID, manifest: Document, number: int, data: str) -> RequestDocumentPart:
    return RequestDocumentPart(
        purchase_id=purchase_id,
        document=manifest,
        request_version=domain.FIRST_VERSION,
        part=number,
        data=data,
    )


def issued(frozen: Frozen, manifests: list[Document]) -> RequestIssued:
    """Return what there is to say of the frozen request."""
    issue = frozen.issue
    return RequestIssued(
        purchase_id=issue.need.purchase_id,
        request_version=domain.FIRST_VERSION,
        title=issue.need.title,
        content=manifests[0],
        documents=tuple(manifests[1:]),
        snapshot=issue.aggregated.snapshot,
        usage_digest=issue.aggregated.usage_digest,
        provider_ids=frozen.provider_ids,
        services=issue.need.services,
        deadline=issue.need.deadline,
        contract_months=issue.need.contract_months,
        mode=issue.need.mode,
        buyers_shown=issue.need.buyers_shown,
        currency=issue.aggregated.currency,
        tax_basis=issue.aggregated.tax_basis,
        custodian=issue.need.custodian,
    )


def was_said(publish: Publisher, said: type[RequestCancelled | DeadlinePassed], purchase_id: UUID) -> bool:
    """Return whether this service said so of the request before its database was restored.

    A cancellation's order is still to come again, and a deadline that is due meanwhile must not be before it; nor may the
    order be before a deadline that had passed first.
    """
    return any(
        event.type == said.type() and event.subject == str(purchase_id)
        for event in publish.adoptions.events.values()
    )


def _listed_before(publish: Publisher) -> tuple[str, ...]:
    """Return the list that this very order froze before a restore: who fits a rule may have changed since."""
    for event in publish.adoptions.of_decision(publish.cause):
        if event.type == RequestIssued.type():
            return RequestIssued.model_validate_json(event.body).provider_ids
    return ()


async def _list_now(tx: asyncpg.Connection, listed: SetProviderList) -> tuple[str, ...] | Refusal:
    candidates: tuple[str, ...] | Refusal = listed.provider_ids
    if listed.rule is not None:
        candidates = domain.freeze_list(listed, await registry.all_providers(tx))
    if isinstance(candidates, Refusal):
        return candidates
    # Who is on the list is decided by the locked rows: a suspension may have been committed since the rule was read.
    return domain.freeze_list(listed, await registry.share_lock_providers(tx, candidates))


def _write_documents(
    issue: domain.Issue, members: tuple[domain.Buyer, ...], parts: Parts
) -> tuple[tuple[str, bytes], ...] | NotYet:
    usage = store.read_usage(parts)
    if usage_digest(usage) != issue.aggregated.usage_digest:
        return NotYet("usage_incomplete", "The group's usage has not arrived completely.")
    return (
        (content.CONTENT, content.request_content(issue.aggregated, members, usage, issue.need)),
        (content.USAGE_LINES, content.usage_lines(members, usage, issue.need.buyers_shown)),
    )
