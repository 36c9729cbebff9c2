"""Named points at which a test kills the process, to prove that nothing is lost or doubled there.

`LINEPOOL_CRASH_AT=after_commit:3` kills this process with SIGKILL when it passes `after_commit` for the third time;
`LINEPOOL_CRASH_ONCE` names a file that must not exist yet, so that the restarted process passes.
"""

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Literal, get_args

Point = Literal[
    "before_inbox",
    "after_inbox",
    "before_business",
    "after_business",
    "before_outbox",
    "after_outbox",
    "before_commit",
    "after_commit",
    "before_send",
    "after_send",
    "before_ack",
    "after_ack",
    "before_offset",
    "after_offset",
]
POINTS: tuple[Point, ...] = get_args(Point)
_passed: Counter[str] = Counter()


def crash(point: Point) -> None:
    """Kill this process here if the environment asks for it; do nothing otherwise."""
    wanted = os.environ.get("LINEPOOL_CRASH_AT")
    if not wanted:
        return
    name, _, count = wanted.partition(":")
    _passed[point] += 1
    if point != name or _passed[point] != int(count or 1):
        return
    if once := os.environ.get("LINEPOOL_CRASH_ONCE"):
        marker = Path(once)
        if marker.exists():
            return
        marker.write_text(f"{wanted}\n")
    os.kill(os.getpid(), signal.SIGKILL)
