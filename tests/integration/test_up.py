"""What `linepool up` leaves running: its people's sessions, its topics and tables, and how it is stopped."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local.paths import data_root
from linepool.tables.writing import csv_text
from linepool.usage.template import TEMPLATE

PATIENCE = 60.0


@dataclass(frozen=True)
class Terminal:
    """Somebody types in a folder. Nothing of what runs or is kept is another's."""

    folder: Path

    def run(self, *command: str, session: str = "", fails: bool = False) -> str:
        """Run `linepool`; return what it prints, which on failure is what it says on standard error."""
        environment = {
            **os.environ,
            "HOME": str(self.folder),
            "LINEPOOL_HOME": str(self.folder / "linepool"),
            "LINEPOOL_SESSION": session,
        }
        done = subprocess.run(
            [sys.executable, "-m", "linepool", *command],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        assert (done.returncode != 0) == fails, (command, done.stdout, done.stderr)
        return done.stderr if fails else done.stdout

    def until(self, says: Callable[[], str]) -> str:
        """Run a command until it succeeds."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return says()
            except AssertionError:
                if time.monotonic() > deadline:
                    raise


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    home = tmp_path / "linepool"
    home.mkdir()
    # What was downloaded for other stacks serves here too.
    for downloaded in data_root().glob("kafka-*"):
        (home / downloaded.name).symlink_to(downloaded)
    (tmp_path / "usage.csv").write_text(csv_text(TEMPLATE))
    terminal = Terminal(tmp_path)
    yield terminal
    terminal.run("down")


@pytest.mark.timeout(1200)
def test_what_up_leaves_running_is_looked_into_and_the_purchase_goes_on_to_its_end(
    terminal: Terminal,
) -> None:
    said = terminal.run("up", "--usage", "usage.csv", "--providers", "3", "--reply-seconds", "90")
    coordinator = re.findall(r"export LINEPOOL_SESSION=(\S+)", said)[0]
    member = re.findall(r" LINEPOOL_SESSION=(\S+) linepool compare", said)[0]
    assert Path(coordinator).stat().st_mode & 0o077 == 0
    assert "running already" in terminal.run("up", fails=True)

    _choose(terminal, coordinator, member)
    _look(terminal)

    assert "stopped" in terminal.run("down")
    assert not Path(coordinator).exists()
    assert "nothing is running" in terminal.run("topics", fails=True)
    assert "Nothing was running" in terminal.run("down")


def _choose(terminal: Terminal, coordinator: str, member: str) -> None:
    """What the program told its user to type, and what a member may not."""
    assert "Telecom services for the group" in terminal.run("request", "show", session=coordinator)
    compared = terminal.run("compare", session=coordinator)
    assert "Example Library" in compared
    assert "Example Town Hall" in compared
    own = terminal.run("compare", session=member)
    assert "Example Library" in own
    assert "Example Town Hall" not in own
    assert "role" in terminal.run("select", "1", "--reason", "Dearer.", session=member, fails=True)
    assert "is selected" in terminal.run("select", "1", "--reason", "Dearer.", session=coordinator)
    shown = terminal.until(lambda: terminal.run("terms", "show", session=coordinator))
    digest = re.findall(r"SHA-256 ([0-9a-f]{64})", shown)[0]
    assert "accepted" in terminal.run("terms", "accept", digest[:8], session=coordinator)
    assert "complete" in terminal.run("group", "list", session=coordinator)


def _look(terminal: Terminal) -> None:
    """The topics and tables, as an operator looks at them."""
    listed = terminal.run("topics")
    assert re.search(r"bidding\.events +[1-9]\d* +\w+", listed)
    assert len(re.findall(r"invitations\.", listed)) == 3
    shown = terminal.run("topics", "bidding.events", "--body", "--last", "3")
    assert "TermsAccepted" in shown
    assert '"terms_sha256"' in shown
    assert "there is no topic bidding.nothing" in terminal.run("topics", "bidding.nothing", fails=True)
    assert re.search(r"disclosures +[1-9]", terminal.run("tables", "distribution"))
    assert "kind=granted" in terminal.run("tables", "distribution", "disclosures")
    assert "has no table nothing" in terminal.run("tables", "distribution", "nothing", fails=True)
    assert "there is no service nobody" in terminal.run("tables", "nobody", fails=True)
    assert re.search(r"opened_boxes +1", terminal.run("tables", "opener"))
