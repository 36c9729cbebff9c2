"""What the aggregation service is told by its environment, beyond what every service is told."""

from shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """Read from variables with the prefix `LINEPOOL_`."""

    notification_public_key: str
    """X25519, 32 bytes in base64: only notification can open what is sealed to it."""
