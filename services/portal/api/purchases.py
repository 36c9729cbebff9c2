"""What people see of their purchases."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated, TypeVar
from urllib.parse import quote
from uuid import UUID

import structlog
from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from services.portal.api.asking import Db, InPurchase, Look, Portal, SignedIn, ThePortal, look, signed_in
from services.portal.api.problems import Problem
from services.portal.domain.facts import newest
from services.portal.domain.roles import standing
from services.portal.domain.seen import group, outcome
from services.portal.domain.seen import history as happened
from services.portal.domain.seen import request as asked
from services.portal.domain.stage import Progress, progress
from services.portal.store import comparisons, facts
from services.portal.store import terms as terms_store
from shared.messages.aggregation import GroupOpened, TaxBasis
from shared.messages.base import Role
from shared.messages.bidding import RepliesCompared, TermsPresented
from shared.messages.rfp import ProviderRegistered

router = APIRouter(prefix="/v1/purchases")
T = TypeVar("T")
_LOOK_EVERY_S = 0.25
_KEEP_ALIVE_S = 15.0
_NOTHING_YET = Problem(404, "not_yet", "There is nothing to see yet.")


class Purchase(BaseModel):
    """A purchase, how far it has come, and who one is in it."""

    purchase_id: UUID
    name: str
    currency: str
    tax_basis: TaxBasis
    time_zone: str
    roles: list[Role]
    buyer_ids: list[UUID]
    """The buyers that one speaks for."""
    progress: Progress


@router.get("")
async def own_purchases(session: SignedIn, db: Db) -> list[Purchase]:
    """The purchases that one belongs to."""
    found = []
    for purchase_id in await facts.purchases_of(db, session.person_id):
        known = await facts.of_purchase(db, purchase_id)
        shown = _purchase(Look(purchase_id, standing(session.person_id, known), known))
        if shown:
            found.append(shown)
    return found


def _purchase(look: Look) -> Purchase | None:
    opened, reached = newest(look.facts, GroupOpened), progress(look.facts)
    if opened is None or reached is None or not look.standing.roles:
        return None
    return Purchase(
        purchase_id=look.purchase_id,
        name=opened.name,
        currency=opened.currency,
        tax_basis=opened.tax_basis,
        time_zone=opened.time_zone,
        roles=sorted(look.standing.roles),
        buyer_ids=sorted(look.standing.buyer_ids),
        progress=reached,
    )


@router.get("/{purchase_id}")  # noqa: FAST003 # `look` takes it
async def one_purchase(look: InPurchase) -> Purchase:
    """One purchase."""
    return _or_nothing_yet(_purchase(look))


@router.get("/{purchase_id}/buyers")  # noqa: FAST003 # as above
async def buyers(look: InPurchase) -> group.SeenBuyers:
    """Who belongs to the group."""
    return group.buyers(look.facts, look.standing)


@router.get("/{purchase_id}/request")  # noqa: FAST003 # as above
async def request(look: InPurchase) -> asked.SeenRequest:
    """The request as it was issued, or as it is drafted so far."""
    return _or_nothing_yet(asked.request(look.facts, look.standing))


@router.get("/{purchase_id}/providers")  # noqa: FAST003 # as above
async def providers(look: InPurchase, db: Db) -> list[asked.SeenProvider]:
    """What each listed provider was shown; for the coordinator and the auditor."""
    if not look.standing.sees_all:
        raise Problem(403, "role_not_allowed", "Only the coordinator and the auditor see the list.")
    names = {one.provider_id: one.name for one in await facts.newest_about_others(db, ProviderRegistered)}
    return asked.providers(look.facts, names)


@router.get("/{purchase_id}/questions")  # noqa: FAST003 # as above
async def questions(look: InPurchase) -> list[asked.SeenQuestion]:
    """What providers asked, and the answers."""
    return asked.questions(look.facts, look.standing)


@router.get("/{purchase_id}/comparison")  # noqa: FAST003 # as above
async def comparison(look: InPurchase, db: Db) -> outcome.SeenComparison:
    """All replies on the group's own usage; a member sees the totals and its own row."""
    compared = newest(look.facts, RepliesCompared)
    with _readable("comparison"):
        document = (
            await comparisons.document(db, look.purchase_id, compared.comparison_sha256) if compared else None
        )
        shown = outcome.comparison(look.facts, document, look.standing)
    return _or_nothing_yet(shown)


@router.get("/{purchase_id}/award")  # noqa: FAST003 # as above
async def award(look: InPurchase) -> outcome.SeenAward:
    """The award that stands."""
    return _or_nothing_yet(outcome.award(look.facts))


@router.get("/{purchase_id}/terms")  # noqa: FAST003 # as above
async def terms(look: InPurchase) -> outcome.SeenTerms:
    """The newest terms, and what became of them."""
    return _or_nothing_yet(outcome.terms(look.facts))


@router.get("/{purchase_id}/terms/document", response_class=Response)  # noqa: FAST003 # as above
async def terms_document(look: InPurchase, db: Db) -> Response:
    """The document that belongs to the newest terms, as the provider sent it, and not before its hash is right."""
    presented = _or_nothing_yet(newest(look.facts, TermsPresented))
    if presented.document is None:
        raise Problem(404, "no_document", "These terms are their text alone: no document belongs to them.")
    about = (look.purchase_id, presented.terms_sha256, presented.document)
    if await terms_store.count_parts(db, *about) < presented.document.parts:
        raise _NOTHING_YET
    # Read twice, so that nothing is handed out that is not what the terms cite, and it is never in memory as a whole.
    with _readable("terms"):
        async for _ in terms_store.read(db, *about):
            pass
    # A browser must neither show nor run what a stranger sent.
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(presented.document.name, safe='')}",
        # Whoever gets less than this knows that something broke in the middle.
        "Content-Length": str(presented.document.size),
    }
    content = terms_store.read(db, *about)
    return StreamingResponse(content, headers=headers, media_type="application/octet-stream")


@router.get("/{purchase_id}/history")  # noqa: FAST003 # as above
async def history(look: InPurchase) -> list[happened.SeenFact]:
    """What happened."""
    return happened.history(look.facts, look.standing)


LastEventId = Annotated[UUID | None, Header()]


@router.get("/{purchase_id}/progress", response_class=StreamingResponse)  # noqa: FAST003 # as above
async def follow(
    purchase: InPurchase, request: Request, portal: ThePortal, last_event_id: LastEventId = None
) -> StreamingResponse:
    """Follow a purchase: its history as server-sent events, from the beginning or after `Last-Event-ID`."""
    return StreamingResponse(
        _follow(portal, request, purchase.purchase_id, last_event_id), media_type="text/event-stream"
    )


async def _follow(
    portal: Portal, request: Request, purchase_id: UUID, last: UUID | None
) -> AsyncIterator[str]:
    quiet, after = 0.0, 0
    while not await request.is_disconnected():
        try:
            # Asked again each time: whoever is signed out, or has left the group, hears no more.
            session = await signed_in(request, portal)
            now = await look(purchase_id, session, portal.db)
        except Problem:
            return
        if last is not None:
            after, last = next((fact.number or 0 for fact in now.facts if fact.event_id == last), 0), None
        for one in happened.history((fact for fact in now.facts if (fact.number or 0) > after), now.standing):
            yield f"id: {one.id}\nevent: fact\ndata: {one.model_dump_json()}\n\n"
            quiet = 0.0
        after = max((fact.number or 0 for fact in now.facts), default=after)
        if quiet >= _KEEP_ALIVE_S:
            yield ": still here\n\n"
            quiet = 0.0
        await asyncio.sleep(_LOOK_EVERY_S)
        quiet += _LOOK_EVERY_S


@contextmanager
def _readable(what: str) -> Iterator[None]:
    """Answer 500 where a document is not what was announced, and tell whoever runs the portal."""
    try:
        yield
    except (ValueError, KeyError) as error:
        structlog.get_logger().error(f"{what} cannot be read", error=type(error).__name__)
        detail = (
            f"The {what} cannot be read here. Whoever runs Linepool has been told; what was sent is not lost."
        )
        raise Problem(500, f"{what}_unreadable", detail) from None


def _or_nothing_yet(shown: T | None) -> T:
    if shown is None:
        raise _NOTHING_YET
    return shown
