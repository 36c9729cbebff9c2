"""The key that signs receipts and checkpoints; it follows from this service's secret."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.runtime import Runtime
from shared.settings import ServiceSettings
from shared.signing import RECEIPTS, signing_key


def receipt_key(of: Runtime | ServiceSettings) -> Ed25519PrivateKey:
    """Return the key of this service."""
    settings = of.settings if isinstance(of, Runtime) else of
    return signing_key(settings.secret.get_secret_value(), RECEIPTS)
