"""What the bidding service is told by its environment, beyond what every service is told."""

from typing import Annotated, Literal

from pydantic import Field

from shared.runtime import Runtime
from shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """Read from variables with the prefix `LINEPOOL_`."""

    skew_allowance_s: Annotated[float, Field(ge=0)] = 2.0
    """How far the brokers' clocks may be from the database's: so long a box stays shut after its deadline."""
    job_pause_s: Annotated[float, Field(gt=0)] = 1.0
    """How often boxes are looked at when nothing wakes the service."""
    checkpoint_every_s: Annotated[float, Field(gt=0)] = 3600.0
    """How far apart checkpoints over all receipts are, from the group's qualification until the box is closed."""
    terms_patience_s: Annotated[float, Field(gt=0)] = 24 * 3600.0
    """How long terms wait for the parts of their document."""
    seal: Literal["none", "hpke"] = "hpke"
    """How replies to requests that are issued from now on must be sealed."""


def settings_of(runtime: Runtime) -> Settings:
    """Return this service's settings.

    Raises:
        TypeError: they are another service's.
    """
    if not isinstance(runtime.settings, Settings):
        raise TypeError("these are another service's settings")
    return runtime.settings
