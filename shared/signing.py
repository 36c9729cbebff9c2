"""Signatures that anyone can check: Ed25519 (RFC 8032), with keys that follow from a service's secret.

A statement names what it is for, so that a signature of one kind cannot stand for another.
"""

from base64 import b64decode, b64encode
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shared.sealing import derive

RECEIPTS = "receipts"
"""What bidding's key for receipts and checkpoints is derived for."""
SEAL_KEYS = "seal keys"
"""What the opener's key for signing the keys of boxes is derived for."""


def signing_key(secret: bytes, purpose: str) -> Ed25519PrivateKey:
    """Return the signing key for this purpose; another purpose has another, unrelated key."""
    return Ed25519PrivateKey.from_private_bytes(derive(secret, f"signing key: {purpose}", 32))


def verifying_key_b64(key: Ed25519PrivateKey) -> str:
    """Return the public half, its 32 bytes in base64."""
    return b64encode(key.public_key().public_bytes_raw()).decode()


def statement(kind: str, *parts: object) -> bytes:
    """Return the bytes that are signed: the kind of statement and its parts, a line each; no part may hold a line break."""
    lines = ["linepool " + kind, *map(str, parts)]
    if any("\n" in line for line in lines):
        raise ValueError("a part of a statement has no line break")
    return "\n".join(lines).encode()


def seal_key_statement(purchase_id: UUID, request_version: int, public_key: str) -> bytes:
    """Return what the opener signs of a box's key (base64), so that nobody can put another key in its place."""
    return statement("seal key", purchase_id, request_version, public_key)


def sign(key: Ed25519PrivateKey, said: bytes) -> str:
    """Return base64 of the signature."""
    return b64encode(key.sign(said)).decode()


def is_signed(verifying_key: str, said: bytes, signature: str) -> bool:
    """Tell whether the holder of the key (32 bytes in base64) signed this; whatever is malformed is not signed."""
    try:
        public = Ed25519PublicKey.from_public_bytes(b64decode(verifying_key, validate=True))
        raw = b64decode(signature, validate=True)
        public.verify(raw, said)
    except (InvalidSignature, ValueError):
        return False
    # The last character holds bits that decoding drops: only one spelling counts.
    return b64encode(raw).decode() == signature
