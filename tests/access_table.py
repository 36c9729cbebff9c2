"""Who may do what at Kafka, written by hand after the design's table; nothing here is derived from deploy/access/.

A service also reads what it writes: after a restore it reads its own stream back.
"""

SERVICES = {"aggregation", "rfp", "distribution", "bidding", "notification", "portal"}
PEOPLE = {"officer", "operator"}
MONITORS = {"lag-exporter", "keda"}
EVERYONE = SERVICES | PEOPLE | MONITORS

# topic: (who writes, who reads)
INTERNAL: dict[str, tuple[set[str], set[str]]] = {
    "aggregation.commands": ({"portal"}, {"aggregation"}),
    "rfp.commands": ({"portal"}, {"rfp"}),
    "bidding.commands": ({"portal"}, {"bidding"}),
    "aggregation.administration": ({"operator"}, {"aggregation"}),
    "rfp.verifications": ({"officer"}, {"rfp"}),
    "rfp.registrations": ({"operator"}, {"rfp"}),
    "aggregation.events": (
        {"aggregation"},
        {"aggregation", "rfp", "bidding", "notification", "portal", "officer", "operator"},
    ),
    "aggregation.evidence": ({"aggregation"}, {"aggregation", "officer"}),
    "aggregation.usage": ({"aggregation"}, {"aggregation", "rfp", "bidding"}),
    "aggregation.contacts": ({"aggregation"}, {"aggregation", "notification", "portal", "officer"}),
    "aggregation.credentials": ({"aggregation"}, {"aggregation", "notification", "portal"}),
    "rfp.events": (
        {"rfp"},
        {"rfp", "aggregation", "distribution", "bidding", "notification", "portal", "officer", "operator"},
    ),
    "rfp.documents": ({"rfp"}, {"rfp", "distribution"}),
    "distribution.events": ({"distribution"}, {"distribution", "notification", "portal"}),
    "bidding.events": (
        {"bidding"},
        {"bidding", "aggregation", "rfp", "distribution", "notification", "portal"},
    ),
    "bidding.comparisons": ({"bidding"}, {"bidding", "notification", "portal"}),
    "notification.events": ({"notification"}, {"notification", "portal"}),
}
# The same for every topic that begins so: the dot is part of it.
OF_PROVIDERS: dict[str, tuple[set[str], set[str]]] = {
    "invitations.": ({"distribution"}, {"distribution"}),
    "replies.": (set(), {"bidding"}),
    "notices.": ({"bidding", "notification"}, {"bidding", "notification"}),
}
# What a monitor sees the names and offsets of: none of the topics of providers.
SEEN_BY_MONITORS = dict.fromkeys(
    MONITORS, ("aggregation.", "rfp.", "distribution.", "bidding.", "notification.")
)
GROUPS_SEEN_BY_MONITORS = ("aggregation.", "rfp.", "distribution.", "bidding.", "notification.", "portal.")


def may_write(who: str, topic: str) -> bool:
    """Tell whether a principal (`providers.<id>` for a provider) may write a topic."""
    if who.startswith("providers."):
        return topic == "replies." + who.removeprefix("providers.")
    return who in _entry(topic)[0]


def may_read(who: str, topic: str) -> bool:
    """Tell whether a principal may read a topic."""
    if who.startswith("providers."):
        pid = who.removeprefix("providers.")
        return topic in {f"invitations.{pid}", f"notices.{pid}"}
    return who in _entry(topic)[1]


def may_see(who: str, topic: str) -> bool:
    """Tell whether a principal may know of a topic and of its offsets."""
    return (
        may_write(who, topic) or may_read(who, topic) or topic.startswith(SEEN_BY_MONITORS.get(who, ("\n",)))
    )


def may_join(who: str, group: str) -> bool:
    """Tell whether a principal may use a consumer group."""
    return who not in MONITORS and group.startswith(f"{who}.")


def may_see_group(who: str, group: str) -> bool:
    """Tell whether a principal may know of a consumer group and of its offsets."""
    return may_join(who, group) or (who in MONITORS and group.startswith(GROUPS_SEEN_BY_MONITORS))


def _entry(topic: str) -> tuple[set[str], set[str]]:
    kinds = (entry for beginning, entry in OF_PROVIDERS.items() if topic.startswith(beginning))
    return INTERNAL.get(topic) or next(kinds, (set(), set()))
