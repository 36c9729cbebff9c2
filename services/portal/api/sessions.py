"""Signing in and out: with an initial password once, with one's own from then on."""

import asyncio
from datetime import UTC, datetime, timedelta
from time import time
from typing import Annotated, Literal
from uuid import UUID, uuid4

import asyncpg
import structlog
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from services.portal import secrets
from services.portal.api.asking import COOKIE, Db, Portal, SignedIn, ThePortal
from services.portal.api.limits import SIGN_IN_BY_ADDRESS, SIGN_IN_BY_CLIENT, check, client_of
from services.portal.api.problems import Problem
from services.portal.api.sending import send
from services.portal.domain.passwords import as_initial, may_choose
from services.portal.domain.roles import standing
from services.portal.store import accounts, credentials, facts, sessions
from services.portal.store.accounts import Account
from services.portal.store.credentials import Credential
from shared.envelope import Actor
from shared.messages.aggregation import Email
from shared.messages.base import Role
from shared.messages.people import SpendPassword

router = APIRouter(prefix="/v1/sessions")
Secret = Annotated[str, Field(min_length=1, max_length=200)]
Code = Annotated[str, Field(pattern=r"^[0-9]{6}$")]
By = Literal["password", "initial_password", "invitation"]
"""What a session was begun by; a code of the second factor comes beside it."""
_MOST_FAILURES = 10
_FAILED = Problem(
    401, "sign_in_failed", "Mail address, password or code is wrong, or the password is no longer valid."
)


class Asked(BaseModel):
    """A body that people send; unknown fields are refused, and errors never quote it."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class SignIn(Asked):
    """Who one is, and how one proves it."""

    email: Email
    password: Secret
    new_password: Secret | None = None
    """With an initial password: the one to have from now on."""
    code: Code | None = None
    """Of the second factor, where one is enabled."""
    cookie: bool = False
    """Whether a browser shall keep the token, instead of the answer's reader."""


class Signed(BaseModel):
    """A session has begun."""

    session_id: UUID
    person_id: UUID
    token: str | None
    """For `Authorization: Bearer`; None where a cookie was asked for."""
    ends_at: datetime


class OneSession(BaseModel):
    """A session of one's own."""

    session_id: UUID
    began_at: datetime
    seen_at: datetime
    ends_at: datetime
    current: bool


@router.post("", status_code=201)
async def sign_in(body: SignIn, request: Request, response: Response, portal: ThePortal) -> Signed:
    """Sign in. The answer to an unknown address is that to a wrong password, and takes as long."""
    await check(portal, (SIGN_IN_BY_ADDRESS, body.email), (SIGN_IN_BY_CLIENT, client_of(request)))
    known = await accounts.with_email(portal.db, body.email)
    initial = as_initial(body.password)
    person_id = (
        await _sign_in_first(portal, known, initial, body)
        if initial is not None
        else await _sign_in(portal, known, body)
    )
    by: By = "password" if initial is None else "initial_password"
    return await begin(portal, portal.db, person_id, response, cookie=body.cookie, by=by)


async def _sign_in(portal: Portal, known: list[Account], body: SignIn) -> UUID:
    for account in known:
        chosen = next(iter(await credentials.standing(portal.db, account.person_id, "chosen")), None)
        if chosen and await secrets.verifies(chosen.verifier, body.password):
            await demand_code(portal, account.person_id, body.code)
            return account.person_id
    if not known:
        await secrets.verifies(None, body.password)
    raise _FAILED


async def _sign_in_first(portal: Portal, known: list[Account], initial: str, body: SignIn) -> UUID:
    for account in known:
        assigned = await credentials.standing(portal.db, account.person_id, "initial")
        for credential in assigned:
            if await secrets.verifies(credential.verifier, initial):
                await _spend(portal, account, credential, body)
                return account.person_id
        for credential in assigned:
            await credentials.note_failure(portal.db, credential.key, _MOST_FAILURES)
    await secrets.verifies(None, initial)
    raise _FAILED


async def _spend(portal: Portal, account: Account, credential: Credential, body: SignIn) -> None:
    await demand_code(portal, account.person_id, body.code)
    verifier = await choose(portal, account, body.new_password)
    if credential.purchase_id is None:
        raise LookupError("an initial password belongs to a purchase")
    who = standing(account.person_id, await facts.of_purchase(portal.db, credential.purchase_id))
    role: Role = next((one for one in ("coordinator", "member", "auditor") if one in who.roles), "member")
    order = SpendPassword(purchase_id=credential.purchase_id, number=credential.number, verifier=verifier)
    async with portal.transaction() as tx:
        if not await credentials.use(tx, credential.key, credential.number):
            raise _FAILED
        if verifier is not None:
            await sessions.end_others(tx, account.person_id, None)
        await send(portal, tx, order, Actor(person_id=account.person_id, role=role))


async def choose(portal: Portal, account: Account, password: str | None) -> str | None:
    """Return how the chosen password is checked; None keeps the one that the person has, who must have one then."""
    if password is None:
        if await credentials.standing(portal.db, account.person_id, "chosen"):
            return None
        raise Problem(403, "new_password_needed", "Choose a password of your own: send it as `new_password`.")
    # To weigh a password takes some milliseconds of computing, in which others are answered.
    refusal = await asyncio.to_thread(may_choose, password, account.email)
    if refusal is not None:
        raise Problem(422, refusal.reason, refusal.detail)
    return await secrets.verifier_of(password)


async def demand_code(portal: Portal, person_id: UUID, code: str | None) -> None:
    """Answer 401 unless the person's second factor, where one is enabled, gives this code now, for the first time."""
    for enabled in await credentials.standing(portal.db, person_id, "second_factor"):
        if code is None:
            raise Problem(401, "code_needed", "Send the code of your second factor as `code`.")
        codes = secrets.second_factor(portal.settings.secret.get_secret_value(), person_id, enabled.number)
        step = secrets.step_of(codes, code, time())
        if step is None or not await credentials.use_step(portal.db, person_id, step):
            raise _FAILED


async def begin(
    portal: Portal, db: asyncpg.Connection, person_id: UUID, response: Response, *, cookie: bool, by: By
) -> Signed:
    """Begin a session of somebody who has proved who they are."""
    token, now = secrets.new_token(), datetime.now(UTC)
    ends_at = now + timedelta(hours=portal.settings.session_hours)
    session = sessions.Session(uuid4(), person_id, now, now, ends_at)
    await sessions.begin(db, session, secrets.digest(token))
    structlog.get_logger().info(
        "signed in", person=str(person_id), session=str(session.session_id), by=by, cookie=cookie
    )
    if cookie:
        response.set_cookie(
            COOKIE, token, secure=True, httponly=True, samesite="strict", path="/", expires=ends_at
        )
    return Signed(
        session_id=session.session_id, person_id=person_id, token=None if cookie else token, ends_at=ends_at
    )


@router.get("")
async def own_sessions(session: SignedIn, db: Db) -> list[OneSession]:
    """Where one is signed in."""
    return [
        OneSession(
            session_id=one.session_id,
            began_at=one.began_at,
            seen_at=one.seen_at,
            ends_at=one.ends_at,
            current=one.session_id == session.session_id,
        )
        for one in await sessions.of_person(db, session.person_id)
    ]


@router.delete("/current", status_code=204)
async def sign_out(session: SignedIn, db: Db, response: Response) -> None:
    """Sign out."""
    await sessions.end(db, session.person_id, session.session_id)
    structlog.get_logger().info("signed out", person=str(session.person_id), session=str(session.session_id))
    response.delete_cookie(COOKIE, secure=True, httponly=True, samesite="strict", path="/")


@router.delete("/{session_id}", status_code=204)
async def end_session(session_id: UUID, session: SignedIn, db: Db) -> None:
    """End a session of one's own somewhere else."""
    if not await sessions.end(db, session.person_id, session_id):
        raise Problem(404, "session_unknown", "You have no such session.")
    structlog.get_logger().info("signed out", person=str(session.person_id), session=str(session_id))
