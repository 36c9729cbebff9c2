"""What the notification service reads."""

from shared.streams import Streams

streams = Streams("notification")
aggregation_events = streams.events("aggregation.events")
contacts = streams.events("aggregation.contacts")
credentials = streams.events("aggregation.credentials")
rfp_events = streams.events("rfp.events")
distribution_events = streams.events("distribution.events")
bidding_events = streams.events("bidding.events")
comparisons = streams.events("bidding.comparisons")
