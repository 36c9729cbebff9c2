"""Oneself: how one is reached, one's password and second factor."""

from time import time
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from services.portal import secrets
from services.portal.api.asking import Db, Portal, SignedIn, ThePortal
from services.portal.api.groups import Person
from services.portal.api.limits import (
    MAILS_BY_ADDRESS,
    MAILS_BY_CLIENT,
    SECRETS_BY_CLIENT,
    SIGN_IN_BY_ADDRESS,
    check,
    client_of,
)
from services.portal.api.problems import Problem
from services.portal.api.sending import Outcome, answered, send, sent_and_answered
from services.portal.api.sessions import Asked, Code, Secret, choose, demand_code
from services.portal.domain.roles import standing
from services.portal.store import accounts, credentials, facts, sessions
from services.portal.store.accounts import Account
from shared.envelope import Actor
from shared.messages.aggregation import Contact, Email
from shared.messages.base import Role
from shared.messages.people import (
    ChangeContact,
    ChangePassword,
    ConfirmAddress,
    DisableSecondFactor,
    EnableSecondFactor,
    ReissuePassword,
    RequestAddressCode,
)

router = APIRouter(prefix="/v1")
_AS: Role = "member"
"""Orders about oneself need no role in a purchase; the least one is said."""
_MOST_FAILURES = 5


class Me(BaseModel):
    """Oneself."""

    person_id: UUID
    name: str
    email: str
    phone: str | None
    unconfirmed_email: str | None
    second_factor: bool


class NewPassword(Asked):
    """One's password, and the one to have from now on."""

    current: Secret
    new_password: Secret
    code: Code | None = None


class Forgotten(Asked):
    """Where one is reached."""

    email: Email


class AddressCode(Asked):
    """The code that was mailed to one's new address."""

    code: Secret


class FactorSecret(BaseModel):
    """The secret of a second factor that is not enabled yet."""

    secret: str
    uri: str
    """For an authenticator, as a link or a QR code."""


class FactorCode(Asked):
    """A code of the second factor."""

    code: Code


async def _own(db: Db, person_id: UUID) -> Account:
    account = await accounts.find(db, person_id)
    if account is None:
        raise Problem(404, "person_unknown", "Nothing is known of you yet; try again in a moment.")
    return account


@router.get("/me")
async def me(session: SignedIn, db: Db) -> Me:
    """Oneself."""
    account = await _own(db, session.person_id)
    enabled = await credentials.standing(db, session.person_id, "second_factor")
    return Me(
        person_id=account.person_id,
        name=account.name,
        email=account.email,
        phone=account.phone,
        unconfirmed_email=account.unconfirmed_email,
        second_factor=bool(enabled),
    )


@router.put("/me/contact")
async def change_contact(body: Person, session: SignedIn, portal: ThePortal, response: Response) -> Outcome:
    """Say how one is reached; a new address counts once the code that is mailed there has come back."""
    await check(portal, (MAILS_BY_ADDRESS, body.email))
    account = await _own(portal.db, session.person_id)
    contact = Contact(person_id=session.person_id, name=body.name, email=account.email, phone=body.phone)
    new_email = body.email if body.email.lower() != account.email.lower() else None
    order = ChangeContact(person_id=session.person_id, contact=contact, new_email=new_email)
    return await sent_and_answered(portal, order, _oneself(session.person_id), response)


@router.post("/me/address-code")
async def request_address_code(session: SignedIn, portal: ThePortal, response: Response, db: Db) -> Outcome:
    """Ask for a new code to the address that is not yet confirmed."""
    account = await _own(db, session.person_id)
    await check(portal, (MAILS_BY_ADDRESS, account.unconfirmed_email or account.email))
    order = RequestAddressCode(person_id=session.person_id)
    return await sent_and_answered(portal, order, _oneself(session.person_id), response)


@router.post("/me/address")
async def confirm_address(
    body: AddressCode, session: SignedIn, portal: ThePortal, request: Request, response: Response
) -> Outcome:
    """Confirm the new address by the code that was mailed there."""
    await check(portal, (SECRETS_BY_CLIENT, client_of(request)))
    account = await _own(portal.db, session.person_id)
    for assigned in await credentials.standing(portal.db, session.person_id, "address_code"):
        if await secrets.verifies(assigned.verifier, body.code.strip().upper()):
            contact = Contact(
                person_id=session.person_id,
                name=account.name,
                email=account.unconfirmed_email or account.email,
                phone=account.phone,
            )
            order = ConfirmAddress(person_id=session.person_id, number=assigned.number, contact=contact)
            return await sent_and_answered(portal, order, _oneself(session.person_id), response)
        await credentials.note_failure(portal.db, assigned.key, _MOST_FAILURES)
    raise Problem(403, "code_wrong", "The code is wrong, or no longer valid: ask for a new one.")


@router.post("/password")
async def change_password(
    body: NewPassword, session: SignedIn, portal: ThePortal, response: Response
) -> Outcome:
    """Choose another password; all other sessions end."""
    account = await _own(portal.db, session.person_id)
    await check(portal, (SIGN_IN_BY_ADDRESS, account.email))
    chosen = next(iter(await credentials.standing(portal.db, session.person_id, "chosen")), None)
    if not await secrets.verifies(chosen.verifier if chosen else None, body.current) or chosen is None:
        raise Problem(403, "password_wrong", "That is not your password.")
    await demand_code(portal, session.person_id, body.code)
    verifier = await choose(portal, account, body.new_password)
    order = ChangePassword(person_id=session.person_id, verifier=verifier or "")
    async with portal.transaction() as tx:
        # Of two who replace the same password at once, the first one does: the order is named after what it replaces.
        order_id = await _replace_password(portal, tx, order, chosen.number)
        await sessions.end_others(tx, session.person_id, session.session_id)
    return await answered(portal, order_id, response)


async def _replace_password(
    portal: Portal, tx: asyncpg.Connection, order: ChangePassword, replaced: int
) -> UUID:
    try:
        return await send(portal, tx, order, _oneself(order.person_id), key=f"change of password {replaced}")
    except Problem as problem:
        detail = "This password was changed already, somewhere else; sign in with the new one."
        raise Problem(409, "password_changed_already", detail) from problem


@router.post("/password/reissue", status_code=202)
async def reissue_password(body: Forgotten, request: Request, portal: ThePortal) -> None:
    """Ask for a new initial password. The answer is the same whether or not the address is known."""
    await check(portal, (MAILS_BY_ADDRESS, body.email), (MAILS_BY_CLIENT, client_of(request)))
    async with portal.transaction() as tx:
        for account in await accounts.with_email(tx, body.email):
            purchase_id = await _purchase_with(tx, account.person_id)
            if purchase_id is not None:
                order = ReissuePassword(purchase_id=purchase_id)
                await send(portal, tx, order, _oneself(account.person_id))
    portal.wiring.running().wake()


async def _purchase_with(tx: asyncpg.Connection, person_id: UUID) -> UUID | None:
    """Return the purchase for which a new password may be asked: one that had one, or one that the person belongs to."""
    for purchase_id in await credentials.purchases_with_password(tx, person_id):
        return purchase_id
    for purchase_id in await facts.purchases_of(tx, person_id):
        if standing(person_id, await facts.of_purchase(tx, purchase_id)).roles:
            return purchase_id
    return None


@router.post("/second-factor")
async def prepare_second_factor(session: SignedIn, portal: ThePortal, db: Db) -> FactorSecret:
    """Return the secret for an authenticator; it is asked for once a first code is confirmed."""
    account = await _own(db, session.person_id)
    codes = secrets.second_factor(
        _secret(portal), session.person_id, await _next_number(db, session.person_id)
    )
    return FactorSecret(
        secret=codes.secret, uri=codes.provisioning_uri(name=account.email, issuer_name="Linepool")
    )


@router.post("/second-factor/confirm")
async def enable_second_factor(
    body: FactorCode, session: SignedIn, portal: ThePortal, db: Db, response: Response, request: Request
) -> Outcome:
    """Let one's sign-in ask for a code from now on."""
    await check(portal, (SECRETS_BY_CLIENT, client_of(request)))
    number = await _next_number(db, session.person_id)
    step = secrets.step_of(
        secrets.second_factor(_secret(portal), session.person_id, number), body.code, time()
    )
    if step is None or not await credentials.use_step(db, session.person_id, step):
        raise Problem(403, "code_wrong", "The code is wrong, or was used before.")
    order = EnableSecondFactor(person_id=session.person_id, number=number)
    return await sent_and_answered(portal, order, _oneself(session.person_id), response)


@router.post("/second-factor/disable")
async def disable_second_factor(
    body: FactorCode, session: SignedIn, portal: ThePortal, response: Response, request: Request
) -> Outcome:
    """Ask for no code any more."""
    await check(portal, (SECRETS_BY_CLIENT, client_of(request)))
    await demand_code(portal, session.person_id, body.code)
    order = DisableSecondFactor(person_id=session.person_id)
    return await sent_and_answered(portal, order, _oneself(session.person_id), response)


def _secret(portal: Portal) -> bytes:
    return portal.settings.secret.get_secret_value()


async def _next_number(db: Db, person_id: UUID) -> int:
    return 1 + await credentials.newest_number(db, f"{person_id}/second-factor")


def _oneself(person_id: UUID) -> Actor:
    return Actor(person_id=person_id, role=_AS)
