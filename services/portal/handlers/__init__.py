"""What the portal does when something arrives: it keeps `facts`, `comparisons`, and `accounts` with how to check secrets."""

from services.portal.handlers import accounts, comparisons, facts
from services.portal.handlers.streams import streams

__all__ = ["accounts", "comparisons", "facts", "streams"]
