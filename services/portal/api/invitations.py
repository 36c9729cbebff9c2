"""Invitations: whoever has the link's secret looks at the invitation, and accepts it once."""

from datetime import datetime
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from services.portal import secrets
from services.portal.api.asking import Portal, ThePortal
from services.portal.api.limits import SECRETS_BY_CLIENT, check, client_of
from services.portal.api.problems import Problem
from services.portal.api.sending import send
from services.portal.api.sessions import Asked, Code, Secret, Signed, begin, choose, demand_code
from services.portal.domain.facts import newest, of_type
from services.portal.domain.passwords import as_initial
from services.portal.store import accounts, credentials, facts, sessions
from services.portal.store.credentials import Credential
from shared.envelope import Actor
from shared.messages.aggregation import GroupOpened, Identifier
from shared.messages.base import Name
from shared.messages.people import BuyerInvited, JoinGroup

router = APIRouter(prefix="/v1/invitations")
_UNKNOWN = Problem(
    404, "invitation_unknown", "This link is not valid, or no longer: ask the coordinator for a new one."
)


class Link(Asked):
    """An invitation's link."""

    secret: Secret


class Invitation(BaseModel):
    """What an invited person is told before they accept."""

    group: str
    legal_name: str
    expires_at: datetime
    has_password: bool
    """Whether they have a password of their own, and need not choose one."""


class Acceptance(Link):
    """The organisation that joins, and how its contact person will sign in."""

    legal_name: Name
    identifiers: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=5)]
    new_password: Secret | None = None
    code: Code | None = None
    cookie: bool = False


class Joined(Signed):
    """The order to join is sent, and a session has begun; `/v1/orders/{order_id}` says what came of it."""

    order_id: UUID
    purchase_id: UUID
    buyer_id: UUID


@router.post("/look")
async def look_at_invitation(body: Link, request: Request, portal: ThePortal) -> Invitation:
    """Look at an invitation."""
    await check(portal, (SECRETS_BY_CLIENT, client_of(request)))
    credential = await _invitation(portal, body.secret)
    if credential.purchase_id is None:
        raise _UNKNOWN
    known = await facts.of_purchase(portal.db, credential.purchase_id)
    opened = newest(known, GroupOpened)
    invited = [
        one for _, one in of_type(known, BuyerInvited) if one.invitation_id == credential.invitation_id
    ]
    if opened is None or not invited or credential.expires_at is None:
        raise _UNKNOWN
    return Invitation(
        group=opened.name,
        legal_name=invited[-1].legal_name,
        expires_at=credential.expires_at,
        has_password=bool(await credentials.standing(portal.db, credential.person_id, "chosen")),
    )


@router.post("/accept", status_code=202)
async def accept_invitation(
    body: Acceptance, request: Request, response: Response, portal: ThePortal
) -> Joined:
    """Accept an invitation, and sign in."""
    await check(portal, (SECRETS_BY_CLIENT, client_of(request)))
    credential = await _invitation(portal, body.secret)
    if credential.purchase_id is None or credential.invitation_id is None:
        raise _UNKNOWN
    account = await accounts.find(portal.db, credential.person_id)
    if account is None:
        raise _UNKNOWN
    await demand_code(portal, account.person_id, body.code)
    verifier = await choose(portal, account, body.new_password)
    order = JoinGroup(
        purchase_id=credential.purchase_id,
        invitation_id=credential.invitation_id,
        number=credential.number,
        buyer_id=uuid4(),
        legal_name=body.legal_name,
        identifiers=body.identifiers,
        verifier=verifier,
    )
    async with portal.transaction() as tx:
        if not await credentials.use(tx, credential.key, credential.number):
            raise _UNKNOWN
        if verifier is not None:
            await sessions.end_others(tx, account.person_id, None)
        order_id = await send(portal, tx, order, Actor(person_id=account.person_id, role="member"))
        signed = await begin(portal, tx, account.person_id, response, cookie=body.cookie, by="invitation")
    portal.wiring.running().wake()
    return Joined(
        **signed.model_dump(), order_id=order_id, purchase_id=order.purchase_id, buyer_id=order.buyer_id
    )


async def _invitation(portal: Portal, secret: str) -> Credential:
    read = as_initial(secret)  # A link's secret has the form of an initial password.
    found = await credentials.invitation(portal.db, secrets.digest(read)) if read else None
    if found is None:
        raise _UNKNOWN
    return found
