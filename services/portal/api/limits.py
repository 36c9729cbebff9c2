"""How often things may be tried: what is limited is counted by keyed hashes, whether or not it exists."""

from dataclasses import dataclass
from hashlib import sha256
from hmac import digest

from fastapi import Request

from services.portal.api.asking import Portal
from services.portal.api.problems import Problem
from services.portal.store import attempts

_SHOWN = 12


@dataclass(frozen=True)
class Limit:
    """At most so many in so many seconds."""

    what: str
    most: int
    seconds: int


SIGN_IN_BY_ADDRESS = Limit("sign-in", 10, 900)
SIGN_IN_BY_CLIENT = Limit("sign-in from", 100, 900)
SECRETS_BY_CLIENT = Limit("secret from", 30, 900)
MAILS_BY_ADDRESS = Limit("mail to", 5, 3600)
MAILS_BY_CLIENT = Limit("mail from", 30, 3600)


async def check(portal: Portal, *limited: tuple[Limit, str]) -> None:
    """Answer 429 where any of these was tried too often; otherwise count them as tried."""
    keys = [(limit, _masked(portal, f"{limit.what} {about.lower()}")) for limit, about in limited]
    async with portal.transaction() as tx:
        # Otherwise many who ask at the same time, of several portals too, would all find that there is room for one more.
        await attempts.lock(tx, [key for _, key in keys])
        for limit, key in keys:
            if await attempts.count(tx, key, limit.seconds) >= limit.most:
                raise Problem(
                    429,
                    "too_many_attempts",
                    "Too many attempts; try again later.",
                    headers={"Retry-After": str(limit.seconds)},
                )
        for _, key in keys:
            await attempts.note(tx, key)


def client_of(request: Request) -> str:
    """Return the address that a request comes from; behind a proxy, uvicorn's FORWARDED_ALLOW_IPS must name it.

    Where it is asked for, a refusal's line in the log says it by a keyed hash, so that one client's attempts are seen as one's.
    """
    client = request.client.host if request.client else "unknown"
    portal: Portal = request.app.state.portal
    request.state.client = _masked(portal, f"client {client}")[:_SHOWN]
    return client


def _masked(portal: Portal, about: str) -> str:
    return digest(portal.settings.secret.get_secret_value(), about.encode(), sha256).hex()
