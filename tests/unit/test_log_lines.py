"""What a process writes: one JSON object a line, of our own lines and the libraries', whatever is written into it."""

import json
import subprocess
import sys
from datetime import UTC, datetime

HOSTILE = 'Ada\r\n{"event": "signed in", "level": "info"}\n\x1b[2K\u2028"'
PROGRAM = f"""
import logging
import structlog
from shared.logs import set_up_logging

set_up_logging("portal")
structlog.get_logger().info("refused", reason={HOSTILE!r})
logging.getLogger("a library").warning("failed: %s", {HOSTILE!r})
"""


def test_a_line_is_one_json_object_in_utc_whatever_is_written_into_it() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=True, timeout=60)
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    own, library = (json.loads(line) for line in lines)
    assert (own["event"], own["reason"]) == ("refused", HOSTILE)
    assert library["event"] == f"failed: {HOSTILE}"
    for line in (own, library):
        assert line["service"] == "portal"
        at = datetime.fromisoformat(line["timestamp"])
        assert at.utcoffset() == datetime.now(UTC).utcoffset()
    assert b"\x1b" not in done.stdout
