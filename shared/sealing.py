"""Keys and secrets that follow from a service's secret, and boxes that only one addressee can open.

HPKE (RFC 9180) with X25519, HKDF-SHA256 and ChaCha20-Poly1305. Keys are derived, so a restored service has the same ones,
and nothing but the secret must be kept.
"""

from base64 import b64decode, b64encode
from datetime import UTC, datetime
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


INITIAL_PASSWORDS = "initial passwords"
"""What notification's key for sealed passwords is derived for."""


def password_info(purchase_id: UUID, person_id: UUID) -> str:
    """Return the `info` of the box that holds this person's initial password in this purchase."""
    return f"linepool password {purchase_id} {person_id}"


def invitation_info(invitation_id: UUID, number: int) -> str:
    """Return the `info` of the box that holds the secret of an invitation's link with this number."""
    return f"linepool invitation {invitation_id} {number}"


def address_code_info(person_id: UUID, number: int) -> str:
    """Return the `info` of the box that holds a person's address code with this number."""
    return f"linepool address code {person_id} {number}"


def offer_info(purchase_id: UUID, request_version: int, provider_id: str, revision: int) -> str:
    """Return the `info` of the box around an offer: it opens for this purchase, version, provider and revision only."""
    return f"linepool offer {purchase_id} {request_version} {provider_id} {revision}"


def custodian_info(purchase_id: UUID, request_version: int, provider_id: str, revision: int) -> str:
    """Return the `info` of the inner box, for the custodian, where an offer is sealed twice; the outer has `offer_info`."""
    return f"linepool offer for custodian {purchase_id} {request_version} {provider_id} {revision}"


def box_key_purpose(purchase_id: UUID, request_version: int) -> str:
    """Return what the opener's key for the replies to this version of the request is derived for."""
    return f"box {purchase_id} {request_version}"


def custodian_key_purpose(purchase_id: UUID, deadline: datetime) -> str:
    """Return what a custodian's key is derived for.

    The deadline is part of it: whoever tells the custodian an earlier one gets a key that opens nothing.
    """
    return f"custodian {purchase_id} {deadline.astimezone(UTC).isoformat()}"


def derive(secret: bytes, purpose: str, length: int) -> bytes:
    """Return `length` bytes that follow from the secret and the purpose (HKDF-SHA256), and tell nothing about either."""
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=f"linepool {purpose}".encode()).derive(
        secret
    )


def private_key(secret: bytes, purpose: str) -> X25519PrivateKey:
    """Return the private key for this purpose; another purpose has another, unrelated key."""
    return X25519PrivateKey.from_private_bytes(derive(secret, f"private key: {purpose}", 32))


def public_key_b64(private: X25519PrivateKey) -> str:
    """Return the public half, its 32 bytes in base64."""
    return b64encode(private.public_key().public_bytes_raw()).decode()


def private_key_b64(private: X25519PrivateKey) -> str:
    """Return the private half, its 32 bytes in base64."""
    return b64encode(private.private_bytes_raw()).decode()


def read_private_key(private_key: str) -> X25519PrivateKey:
    """Return the key whose 32 bytes these are, in base64.

    Raises:
        ValueError: they are not.
    """
    return X25519PrivateKey.from_private_bytes(b64decode(private_key, validate=True))


def can_seal_for(public_key: str) -> bool:
    """Tell whether anything can be sealed for this key (32 bytes in base64); for some points of the curve nothing can."""
    try:
        seal_for(public_key, b"", "")
    except ValueError:
        return False
    return True


def seal_offer(
    content: bytes,
    *,
    purchase_id: UUID,
    request_version: int,
    provider_id: str,
    revision: int,
    opener_key: str,
    custodian_key: str | None = None,
) -> str:
    """Return base64 of the box around an offer; where there is a custodian, its box lies inside that for the opener.

    Raises:
        ValueError: a key is none that can be sealed for.
    """
    about = purchase_id, request_version, provider_id, revision
    if custodian_key is not None:
        content = b64decode(seal_for(custodian_key, content, custodian_info(*about)))
    return seal_for(opener_key, content, offer_info(*about))


def seal_for(public_key: str, content: bytes, info: str) -> str:
    """Return base64 of a box that only the holder of the private key can open, and only with the same `info`.

    Args:
        public_key: 32 bytes in base64.
        content: what the box holds.
        info: what the box is for; it is not in the box, and binds it to that use.

    Raises:
        ValueError: the key is not an X25519 public key in base64.
    """
    key = X25519PublicKey.from_public_bytes(b64decode(public_key, validate=True))
    return b64encode(_SUITE.encrypt(content, key, info=info.encode())).decode()


def open_sealed(private: X25519PrivateKey, box: str, info: str) -> bytes:
    """Return the content of a box that `seal_for` made.

    Raises:
        ValueError: the box is not for this key, not for this `info`, or damaged.
    """
    try:
        sealed = b64decode(box, validate=True)
    except ValueError as error:
        raise ValueError("the box is not in base64") from error
    return open_bytes(private, sealed, info)


def open_bytes(private: X25519PrivateKey, box: bytes, info: str) -> bytes:
    """Return the content of a box whose bytes these are. Raises ValueError as `open_sealed` does."""
    try:
        return _SUITE.decrypt(box, private, info=info.encode())
    except (InvalidTag, ValueError) as error:
        raise ValueError("the box does not open with this key and this purpose") from error
