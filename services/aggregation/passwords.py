"""Initial passwords, links and codes: derived, so that they are the same after a restore; kept nowhere, sent only sealed."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from hmac import digest
from uuid import UUID

from argon2 import profiles
from argon2.low_level import hash_secret

from shared.sealing import address_code_info, derive, invitation_info, password_info, seal_for

VALID_FOR = timedelta(hours=72)
LINK_VALID_FOR = timedelta(days=14)
CODE_VALID_FOR = timedelta(minutes=30)
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CHARACTERS = 26  # of 5 bits each: 130 bits
_CODE_CHARACTERS = 8  # 40 bits, which live half an hour and are tried a few times
# A hash takes 64 MiB; two at a time keep the process within its memory whatever arrives.
_HASHING = asyncio.Semaphore(2)


@dataclass(frozen=True)
class Assigned:
    """What may leave the service of a password: how to check it, and a box that only notification opens."""

    verifier: str
    sealed: str


@dataclass(frozen=True)
class Decision:
    """Which assignment a password belongs to."""

    purchase_id: UUID
    person_id: UUID
    cause: UUID

    @property
    def info(self) -> str:
        """What the box is for, as its reader must say it too."""
        return password_info(self.purchase_id, self.person_id)


@dataclass(frozen=True)
class Assigner:
    """Assigns passwords: from this service's secret, for notification's key (32 bytes in base64)."""

    secret: bytes = field(repr=False)
    notification_public_key: str

    async def assign(self, decision: Decision) -> Assigned:
        """Derive the password and return it in its two harmless forms; the hash is computed in a thread."""
        password = initial_password(self.secret, decision)
        async with _HASHING:
            verifier = await asyncio.to_thread(_verifier, password, _salt(self.secret, decision))
        return Assigned(verifier, seal_for(self.notification_public_key, password.encode(), decision.info))

    def link(self, invitation_id: UUID, number: int) -> Assigned:
        """Derive the secret of an invitation's link; it has so many bits that its SHA-256 is enough to check it by."""
        info = invitation_info(invitation_id, number)
        secret = _crockford(self.secret, f"invitation {invitation_id} {number}", _CHARACTERS)
        sealed = seal_for(self.notification_public_key, secret.encode(), info)
        return Assigned(sha256(secret.encode()).hexdigest(), sealed)

    async def address_code(self, person_id: UUID, number: int) -> Assigned:
        """Derive a code to an address that is not yet confirmed."""
        info = address_code_info(person_id, number)
        code = _crockford(self.secret, f"address code {person_id} {number}", _CODE_CHARACTERS)
        salt = derive(
            self.secret, f"address code salt {person_id} {number}", profiles.RFC_9106_LOW_MEMORY.salt_len
        )
        async with _HASHING:
            verifier = await asyncio.to_thread(_verifier, code, salt)
        return Assigned(verifier, seal_for(self.notification_public_key, code.encode(), info))

    def address_digest(self, email: str) -> str:
        """Return by what an address is recognised again; it tells nobody the address."""
        return digest(derive(self.secret, "mail addresses", 32), email.lower().encode(), sha256).hex()


def initial_password(secret: bytes, decision: Decision) -> str:
    """Return the 26 characters of Crockford's base32 that follow from the secret and this assignment."""
    return _crockford(secret, f"initial password {_purpose(decision)}", _CHARACTERS)


def _crockford(secret: bytes, purpose: str, characters: int) -> str:
    raw = int.from_bytes(derive(secret, purpose, -(-5 * characters // 8)))
    return "".join(_CROCKFORD[(raw >> 5 * place) & 31] for place in range(characters))


def _salt(secret: bytes, decision: Decision) -> bytes:
    # Derived as well, so that a replay says the same verifier; it is still unique and unknown before.
    profile = profiles.RFC_9106_LOW_MEMORY
    return derive(secret, f"password salt {_purpose(decision)}", profile.salt_len)


def _purpose(decision: Decision) -> str:
    return f"{decision.purchase_id} {decision.person_id} {decision.cause}"


def _verifier(password: str, salt: bytes) -> str:
    profile = profiles.RFC_9106_LOW_MEMORY
    return hash_secret(
        password.encode(),
        salt,
        time_cost=profile.time_cost,
        memory_cost=profile.memory_cost,
        parallelism=profile.parallelism,
        hash_len=profile.hash_len,
        type=profile.type,
        version=profile.version,
    ).decode()
