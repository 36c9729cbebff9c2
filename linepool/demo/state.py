"""What `linepool up` left running, for the commands that come after it. The file holds passwords and is for its owner alone."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from deploy.access.model import services
from deploy.local.paths import data_root
from linepool.client.connection import Connection
from linepool.demo.claimed import holder
from linepool.demo.comparing import Compared
from linepool.demo.stage import Stage


class NothingRunsError(Exception):
    """There is no stack that `linepool up` left running."""

    def __init__(self) -> None:
        super().__init__("nothing is running that `linepool up` started; start it first")


@dataclass(frozen=True)
class RankedReply:
    """A reply that can be selected."""

    reply_id: str
    rank: int
    provider_id: str
    provider: str
    offer: str
    total: str


@dataclass(frozen=True)
class State:
    """Addresses and logins of the running stack, and the purchase that waits. `dsns` go by service."""

    bootstrap_servers: str
    prefix: str
    ca_file: str
    admin_username: str
    admin_password: str
    portal_username: str
    portal_password: str
    admin_dsn: str
    dsns: dict[str, str]
    folder: str
    mail_folder: str
    purchase_id: str
    coordinator_id: str
    currency: str
    replies: list[RankedReply]

    @property
    def purchase(self) -> UUID:
        """The purchase's id."""
        return UUID(self.purchase_id)

    @property
    def admin(self) -> Connection:
        """A login that may read everything."""
        return self._connection(self.admin_username, self.admin_password)

    @property
    def portal(self) -> Connection:
        """The portal's login, for people's orders."""
        return self._connection(self.portal_username, self.portal_password)

    def _connection(self, username: str, password: str) -> Connection:
        return Connection(self.bootstrap_servers, username, password, Path(self.ca_file), self.prefix)


def place() -> Path:
    """Return the folder of what `linepool up` runs."""
    return data_root() / "up"


def save(stage: Stage, compared: Compared) -> None:
    """Write down what runs, readable for the owner alone."""
    stack, group = stage.stack, stage.scenario.group
    portal = stack.login("portal")
    state = State(
        bootstrap_servers=stack.bootstrap_servers,
        prefix=stack.prefix,
        ca_file=str(stack.ca_file),
        admin_username=stack.admin.username,
        admin_password=stack.admin.password,
        portal_username=portal.username,
        portal_password=portal.password,
        admin_dsn=stack.admin_dsn,
        dsns={service.name: stack.dsn(service.name) for service in services()},
        folder=str(stack.folder),
        mail_folder=str(stack.mail_folder),
        purchase_id=str(group.purchase_id),
        coordinator_id=str(group.coordinator.person_id),
        currency=stage.scenario.currency,
        replies=[
            RankedReply(
                reply_id=str(one.reply_id),
                rank=one.rank,
                provider_id=(provider_id := compared.comparison.provider_of(one.reply_id)),
                provider=stage.roles.names[provider_id],
                offer=one.tariff_name,
                total=str(one.term_total),
            )
            for one in compared.comparison.evaluations
        ],
    )
    unfinished = place() / "state.unfinished"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(state), file)
    unfinished.rename(place() / "state.json")


def forget() -> None:
    """Remove what was written down: it runs no longer."""
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
    return State(**{**found, "replies": [RankedReply(**one) for one in found["replies"]]})
