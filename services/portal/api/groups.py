"""Opening a group, and bringing buyers into it: here it is settled which person a name and an address are."""

from itertools import count
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from services.portal.api.asking import InPurchase, Look, Portal, ThePortal, maybe_signed_in
from services.portal.api.limits import MAILS_BY_ADDRESS, MAILS_BY_CLIENT, check, client_of
from services.portal.api.orders import allowed
from services.portal.api.problems import Problem
from services.portal.api.sending import IdempotencyKey, Outcome, Prefer, send, sent_and_answered
from services.portal.api.sessions import Asked
from services.portal.secrets import person_of
from services.portal.store import accounts, facts
from services.portal.store.accounts import Account
from shared.envelope import Actor, derived_id
from shared.messages.aggregation import (
    AddBuyer,
    Contact,
    Email,
    Identifier,
    OpenGroup,
    Phone,
    TaxBasis,
    TimeZone,
)
from shared.messages.base import Currency, Name
from shared.messages.people import InviteBuyer

router = APIRouter(prefix="/v1")


class Person(Asked):
    """A person, as somebody names them."""

    name: Name
    email: Email
    phone: Phone | None = None


class NewGroup(Asked):
    """A group for one purchase."""

    name: Name
    currency: Currency
    tax_basis: TaxBasis
    contact: Person | None = None
    """The coordinator; left out by whoever is signed in."""
    letters_required: bool = False
    time_zone: TimeZone = "UTC"


class Opening(BaseModel):
    """The group's initial password is on its way to its coordinator's mail address."""

    purchase_id: UUID


class NewBuyer(Asked):
    """An organisation that the coordinator adds on its behalf."""

    legal_name: Name
    identifiers: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=5)]
    contact: Person
    buyer_id: UUID | None = None


class NewInvitation(Asked):
    """An organisation that is invited through its contact person."""

    legal_name: Name
    contact: Person
    invitation_id: UUID | None = None


@router.post("/purchases", status_code=202)
async def open_group(body: NewGroup, request: Request, portal: ThePortal) -> Opening:
    """Open a group. Whoever it is: the answer tells nothing about whether the address is known."""
    session = await maybe_signed_in(request, portal)
    purchase_id = uuid4()
    own = await accounts.find(portal.db, session.person_id) if session else None
    if own is not None:
        contact = _contact(own)
    elif body.contact is not None:
        contact = await contact_of(portal, body.contact)
    else:
        raise Problem(422, "contact_needed", "Say who coordinates the group: name and mail address.")
    await check(portal, (MAILS_BY_ADDRESS, contact.email), (MAILS_BY_CLIENT, client_of(request)))
    order = OpenGroup(
        purchase_id=purchase_id,
        name=body.name,
        currency=body.currency,
        tax_basis=body.tax_basis,
        contact=contact,
        letters_required=body.letters_required,
        time_zone=body.time_zone,
    )
    async with portal.transaction() as tx:
        await send(portal, tx, order, Actor(person_id=contact.person_id, role="coordinator"))
    portal.wiring.running().wake()
    return Opening(purchase_id=purchase_id)


async def contact_of(portal: Portal, person: Person) -> Contact:
    """Return the contact of the person who has this address; what is known of them is left as it is."""
    known = await accounts.with_email(portal.db, person.email)
    if known:
        return _contact(known[0])
    secret = portal.settings.secret.get_secret_value()
    for attempt in count():
        person_id = person_of(secret, person.email, attempt)
        # Whoever once had this address and has another one now, or was erased, is somebody else.
        taken = await accounts.find(portal.db, person_id) or await facts.is_erased(portal.db, person_id)
        if not taken:
            return Contact(person_id=person_id, name=person.name, email=person.email, phone=person.phone)
    raise AssertionError("there is always a next attempt")


def _contact(account: Account) -> Contact:
    return Contact(person_id=account.person_id, name=account.name, email=account.email, phone=account.phone)


@router.post("/purchases/{purchase_id}/add-buyer")  # noqa: FAST003 # `look` takes it
async def add_buyer(
    body: NewBuyer,
    look: InPurchase,
    portal: ThePortal,
    response: Response,
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> Outcome:
    """Add an identified organisation on its behalf."""
    order = AddBuyer(
        purchase_id=look.purchase_id,
        buyer_id=body.buyer_id or _new_id("buyer", look, idempotency_key),
        legal_name=body.legal_name,
        identifiers=body.identifiers,
        contact=await contact_of(portal, body.contact),
    )
    actor = await allowed(portal, look, order)
    return await sent_and_answered(portal, order, actor, response, key=idempotency_key, prefer=prefer)


@router.post("/purchases/{purchase_id}/invite-buyer")  # noqa: FAST003 # `look` takes it
async def invite_buyer(
    body: NewInvitation,
    look: InPurchase,
    portal: ThePortal,
    response: Response,
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> Outcome:
    """Invite an organisation: its contact person gets a link that works once."""
    order = InviteBuyer(
        purchase_id=look.purchase_id,
        invitation_id=body.invitation_id or _new_id("invitation", look, idempotency_key),
        legal_name=body.legal_name,
        contact=await contact_of(portal, body.contact),
    )
    actor = await allowed(portal, look, order)
    return await sent_and_answered(portal, order, actor, response, key=idempotency_key, prefer=prefer)


def _new_id(what: str, look: Look, key: str | None) -> UUID:
    return derived_id(what, look.purchase_id, look.standing.person_id, key) if key else uuid4()
