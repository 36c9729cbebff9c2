"""Secrets come sealed for this service; only here is a box opened, at the moment of sending."""

from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from services.notification.domain.mails import Mail
from services.notification.letters import AddressCode, InitialPassword, InvitationLink
from shared import sealing


def sealing_key(secret: bytes) -> X25519PrivateKey:
    """Return the key that secrets are sealed for, derived from this service's secret."""
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


def opened(key: X25519PrivateKey, mail: Mail, portal_url: str) -> str | None:
    """Return what a mail brings as its reader sees it: a password, a link, a code; None for a mail that brings nothing.

    Raises:
        ValueError: the box is not for this key, not for this mail's person, or it has left the mail.
    """
    match mail.letter:
        case InitialPassword() if mail.purchase_id is not None:
            return open_password(key, _box(mail), purchase_id=mail.purchase_id, person_id=mail.person_id)
        case InvitationLink(invitation_id=invitation_id, number=number):
            info = sealing.invitation_info(invitation_id, number)
            return f"{portal_url}/join/{sealing.open_sealed(key, _box(mail), info).decode()}"
        case AddressCode(number=number):
            info = sealing.address_code_info(mail.person_id, number)
            return sealing.open_sealed(key, _box(mail), info).decode()
        case _:
            return None


def _box(mail: Mail) -> str:
    if mail.sealed is None:
        raise ValueError("the box has left the mail")
    return mail.sealed.box
