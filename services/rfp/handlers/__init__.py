"""What the rfp service does when a message arrives or a time is due.

`groups` become drafts; `requests` are described, issued and ended, with `attachments` and `questions`; `verifications` qualify
their groups; `registrations` say which providers there are. An order of the coordinator begins in `coordinating`.
"""

from services.rfp.handlers import attachments, groups, questions, registrations, requests, verifications
from services.rfp.handlers.streams import streams, timers

__all__ = [
    "attachments",
    "groups",
    "questions",
    "registrations",
    "requests",
    "streams",
    "timers",
    "verifications",
]
