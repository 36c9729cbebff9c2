"""What the rfp service is told by its environment: what every service is told."""

from shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """Read from variables with the prefix `LINEPOOL_`."""
