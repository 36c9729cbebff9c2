"""What the rfp service reads, and what its handlers may ask for beside the message."""

from typing import Annotated

from faststream import Context

from shared.messages.rfp import QualificationPolicy
from shared.streams import Streams
from shared.timers import Timers

streams = Streams("rfp")
timers = Timers()
commands = streams.commands("rfp.commands")
verifications = streams.commands("rfp.verifications", role="officer")
registrations = streams.commands("rfp.registrations", role="operator")
aggregation_events = streams.events("aggregation.events")
aggregation_usage = streams.events("aggregation.usage")
bidding_events = streams.events("bidding.events")

Policy = Annotated[QualificationPolicy, Context("policy")]
"""What the operator asks for before a group is qualified."""
