"""What `linepool up` left running, for the commands that come after it. The file holds passwords and is for its owner alone."""

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from deploy.access.model import roles
from deploy.local.paths import data_root
from linepool.client.connection import Connection
from linepool.demo.claimed import holder
from linepool.demo.stage import Stage
from linepool.people import session


class NothingRunsError(Exception):
    """There is no stack that `linepool up` left running."""

    def __init__(self) -> None:
        super().__init__("nothing is running that `linepool up` started; start it first")


@dataclass(frozen=True)
class State:
    """Addresses and logins of the running stack, and the purchase that waits. `dsns` go by service, the opener among them."""

    bootstrap_servers: str
    prefix: str
    ca_file: str
    admin_username: str
    admin_password: str
    admin_dsn: str
    dsns: dict[str, str]
    folder: str
    mail_folder: str
    portal: str
    coordinator_session: str
    """The file of the coordinator's session, for `$LINEPOOL_SESSION`."""
    member_sessions: list[str]
    addresses: dict[str, str] = field(default_factory=dict)
    """Of each process: where it serves `/status`."""

    @property
    def admin(self) -> Connection:
        """A login that may read everything."""
        return Connection(
            self.bootstrap_servers, self.admin_username, self.admin_password, Path(self.ca_file), self.prefix
        )


def place() -> Path:
    """Return the folder of what `linepool up` runs."""
    return data_root() / "up"


def save(stage: Stage) -> None:
    """Write down what runs, and the sessions of the people who are signed in, readable for the owner alone."""
    stack, people = stage.stack, stage.people
    sessions = place() / "sessions"
    session.save(people.coordinator.signed, sessions / "coordinator.json")
    members = [sessions / f"member-{number}.json" for number in range(1, len(people.members) + 1)]
    signed = [people.members[one.buyer_id] for one in people.group.members if one.buyer_id in people.members]
    for kept, member in zip(members, signed, strict=True):
        session.save(member.signed, kept)
    state = State(
        bootstrap_servers=stack.bootstrap_servers,
        prefix=stack.prefix,
        ca_file=str(stack.ca_file),
        admin_username=stack.admin.username,
        admin_password=stack.admin.password,
        admin_dsn=stack.admin_dsn,
        dsns={one.name: stack.dsn(one.name) for one in roles()},
        folder=str(stack.folder),
        mail_folder=str(stack.mail_folder),
        portal=stage.portal,
        coordinator_session=str(sessions / "coordinator.json"),
        member_sessions=[str(kept) for kept in members],
        addresses={name: f"http://127.0.0.1:{stage.services.port(name)}" for name in stage.services.names},
    )
    unfinished = place() / "state.unfinished"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(state), file)
    unfinished.rename(place() / "state.json")


def forget() -> None:
    """Remove what was written down: it runs no longer."""
    shutil.rmtree(place() / "sessions", ignore_errors=True)
    (place() / "state.json").unlink(missing_ok=True)


def load() -> State:
    """Return what runs. Raises NothingRunsError."""
    # What was killed could not remove the file.
    if holder(place()) is None:
        raise NothingRunsError
    try:
        found: dict[str, Any] = json.loads((place() / "state.json").read_text())
    except FileNotFoundError:
        raise NothingRunsError from None
    return State(**found)
