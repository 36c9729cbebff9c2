"""What the notification service does when a fact arrives.

`purchases`: what becomes of a purchase is kept, and told (`telling`) when all that it takes is known. `people`: how persons are
reached, the secrets that are sent to them, and what changes about them.
"""

from services.notification.handlers import people, purchases
from services.notification.handlers.streams import streams

__all__ = ["people", "purchases", "streams"]
