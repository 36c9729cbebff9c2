"""Initial passwords come sealed for this service; only here is the box opened, at the moment of sending."""

from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from shared import sealing


def sealing_key(secret: bytes) -> X25519PrivateKey:
    """Return the key that initial passwords are sealed for, derived from this service's secret."""
    return sealing.private_key(secret, sealing.INITIAL_PASSWORDS)


def public_key(secret: bytes) -> str:
    """Return, in base64, what the aggregation service seals with."""
    return sealing.public_key_b64(sealing_key(secret))


def open_password(key: X25519PrivateKey, box: str, *, purchase_id: UUID, person_id: UUID) -> str:
    """Return the password.

    Raises:
        ValueError: the box is not for this key, purchase and person.
    """
    return sealing.open_sealed(key, box, sealing.password_info(purchase_id, person_id)).decode()
