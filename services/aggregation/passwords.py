"""The initial password of a group: derived, so that it is the same after a restore; kept nowhere, sent only sealed."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from argon2 import profiles
from argon2.low_level import hash_secret

from shared.sealing import derive, password_info, seal_for

VALID_FOR = timedelta(hours=72)
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CHARACTERS = 26  # of 5 bits each: 130 bits
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


def initial_password(secret: bytes, decision: Decision) -> str:
    """Return the 26 characters of Crockford's base32 that follow from the secret and this assignment."""
    raw = int.from_bytes(derive(secret, f"initial password {_purpose(decision)}", 17))
    return "".join(_CROCKFORD[(raw >> 5 * place) & 31] for place in range(_CHARACTERS))


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
