"""What the rfp service is told by its environment, beyond what every service is told."""

from typing import Annotated, Literal

from pydantic import Field

from shared.messages.rfp import Level, QualificationPolicy
from shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """Read from variables with the prefix `LINEPOOL_`. The policy holds for every group that is closed from then on."""

    qualification_coordinator_level: Level = "registry_matched"
    qualification_buyer_level: Level = "registry_matched"
    qualification_buyers: Annotated[int, Field(ge=1)] | Literal["all"] = 1
    """How many buyers must be verified; in a group that has fewer, all of them."""

    @property
    def policy(self) -> QualificationPolicy:
        """What is asked for before a group is qualified."""
        return QualificationPolicy(
            coordinator_level=self.qualification_coordinator_level,
            buyer_level=self.qualification_buyer_level,
            buyers=self.qualification_buyers,
        )
