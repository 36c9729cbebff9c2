"""What the opener is told by its environment, beyond what every process is told. It has no login at Kafka."""

from typing import Annotated

from pydantic import Field

from shared.settings import ProcessSettings


class Settings(ProcessSettings):
    """Read from variables with the prefix `LINEPOOL_`. `secret` is in no other process: every box's key follows from it."""

    skew_allowance_s: Annotated[float, Field(ge=0)] = 2.0
    """So long after its deadline no box is opened, whatever bidding says; as in bidding."""
    opener_pause_s: Annotated[float, Field(gt=0)] = 0.25
    """How often boxes are looked at."""
