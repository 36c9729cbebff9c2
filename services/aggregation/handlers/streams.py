"""What the aggregation service reads, and what its handlers may ask for beside the message."""

from typing import Annotated

from faststream import Context

from services.aggregation.passwords import Assigner
from shared.streams import Streams
from shared.timers import Timers

streams = Streams("aggregation")
commands = streams.commands("aggregation.commands")
timers = Timers()
rfp_events = streams.events("rfp.events")
bidding_events = streams.events("bidding.events")
administration = streams.commands("aggregation.administration", role="operator")

Passwords = Annotated[Assigner, Context("assigner")]
