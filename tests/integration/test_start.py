"""A service that cannot start says why in one sentence and exits with code 1, so that its supervisor tries again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.process import free_port
from deploy.local.services import Services
from deploy.local.stack import Stack

ROOT = Path(__file__).parents[2]


def start(stack: Stack, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run rfp with the stack's environment and some changes until it ends."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("LINEPOOL_")}
    own = Services(stack, ["rfp"]).environment_of("rfp")
    return subprocess.run(
        [sys.executable, "-m", "services.rfp"],
        env=outside | own | changes,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("LINEPOOL_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:{port}", "linepool: Kafka does not let rfp in"),
        (
            "LINEPOOL_POSTGRES_DSN",
            "postgresql://rfp:x@127.0.0.1:{port}/x",
            "linepool: Postgres does not let rfp in",
        ),
        ("LINEPOOL_SECRET", "12", "linepool: these settings are missing or wrong: LINEPOOL_SECRET"),
    ],
)
def test_what_is_away_or_wrong_at_start_is_named_in_one_sentence(
    stack: Stack, variable: str, value: str, sentence: str
) -> None:
    ended = start(stack, **{variable: value.format(port=free_port())})
    assert ended.returncode == 1
    said = [line for line in ended.stderr.splitlines() if line.startswith("linepool: ")]
    assert len(said) == 1
    assert said[0].startswith(sentence)
    assert "Traceback" not in ended.stdout + ended.stderr
