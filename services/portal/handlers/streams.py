"""What the portal reads."""

from shared.streams import Streams

streams = Streams("portal")
aggregation_events = streams.events("aggregation.events")
contacts = streams.events("aggregation.contacts")
credentials = streams.events("aggregation.credentials")
rfp_events = streams.events("rfp.events")
distribution_events = streams.events("distribution.events")
bidding_events = streams.events("bidding.events")
comparisons = streams.events("bidding.comparisons")
notification_events = streams.events("notification.events")
