"""What the portal is told by its environment, beyond what every service is told."""

from typing import Annotated

from pydantic import Field

from shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """Read from variables with the prefix `LINEPOOL_`. `http_port` serves `/v1` beside the health of the process."""

    session_hours: Annotated[int, Field(ge=1, le=720)] = 12
    """A session ends so long after it began, and after half of that without a request."""
    order_wait_s: Annotated[float, Field(ge=0, le=30)] = 5.0
    """How long a request waits for what its order leads to, before it is told where to look."""
