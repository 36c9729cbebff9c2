"""Secrets as the portal handles them: passwords are checked in a thread, tokens are random, time-based secrets derived."""

import asyncio
from base64 import b32encode
from hashlib import sha256
from secrets import token_urlsafe
from uuid import UUID

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from shared.sealing import derive

_HASHER = PasswordHasher()
# A hash takes 64 MiB; two at a time keep the process within its memory whatever arrives.
_HASHING = asyncio.Semaphore(2)
_NOBODY = _HASHER.hash(token_urlsafe(32))
STEP_S = 30


async def verifier_of(password: str) -> str:
    """Return the argon2id string by which a password is checked."""
    async with _HASHING:
        return await asyncio.to_thread(_HASHER.hash, password)


async def verifies(verifier: str | None, password: str) -> bool:
    """Whether this is the password; without a verifier it is not, which takes as long to find out."""
    async with _HASHING:
        matches = await asyncio.to_thread(_matches, verifier or _NOBODY, password)
    return matches and verifier is not None


def _matches(verifier: str, password: str) -> bool:
    try:
        return _HASHER.verify(verifier, password)
    except (VerificationError, InvalidHashError):
        return False


def new_token() -> str:
    """Return 256 random bits for a session."""
    return token_urlsafe(32)


def digest(secret: str) -> str:
    """Return the SHA-256 of a secret with so many random bits that nothing slower is needed."""
    return sha256(secret.encode()).hexdigest()


def person_of(secret: bytes, email: str, attempt: int) -> UUID:
    """Return the id of a new person with this address: the same whoever names them, and telling nobody the address."""
    return UUID(bytes=derive(secret, f"person {email.lower()} {attempt}", 16), version=4)


def second_factor(secret: bytes, person_id: UUID, number: int) -> pyotp.TOTP:
    """Return a person's time-based codes (RFC 6238), from the portal's secret, so that a rebuilt portal has the same."""
    return pyotp.TOTP(
        b32encode(derive(secret, f"second factor {person_id} {number}", 20)).decode(), interval=STEP_S
    )


def step_of(codes: pyotp.TOTP, code: str, now: float) -> int | None:
    """Return the time step that a code belongs to, one before and after now allowed, or None."""
    steps = (int(now // STEP_S) + shift for shift in (-1, 0, 1))
    return next((step for step in steps if pyotp.utils.strings_equal(codes.generate_otp(step), code)), None)
