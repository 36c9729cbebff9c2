"""What the aggregation service does when a message arrives or a time is due.

`groups` form and close; their members report their `usage` and file `evidence`; with a `minimum` they must become large enough,
or are given up. `invitations` bring members; `people` have passwords and addresses, and a `second_factor`; `auditors` read along;
`erasure` forgets persons.
"""

from services.aggregation.handlers import (
    auditors,
    erasure,
    evidence,
    groups,
    invitations,
    minimum,
    people,
    second_factor,
    usage,
)
from services.aggregation.handlers.streams import streams, timers

__all__ = [
    "auditors",
    "erasure",
    "evidence",
    "groups",
    "invitations",
    "minimum",
    "people",
    "second_factor",
    "streams",
    "timers",
    "usage",
]
