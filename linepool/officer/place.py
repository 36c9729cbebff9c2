"""Where the Kafka is, with which login the officer works, and who they are: options, environment, or what `linepool up` runs."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from deploy.access.broker import AccessError
from linepool.client.connection import Connection
from linepool.demo import state
from linepool.provisioning.place import kept, secret


@dataclass(frozen=True)
class Given:
    """What the command line or the environment names; where no Kafka is named, it is that of the running `linepool up`."""

    bootstrap_servers: str | None
    ca_file: Path | None
    prefix: str | None


def find_officer(given: Given, environment: Mapping[str, str] = os.environ) -> Connection:
    """Return the officer's way to Kafka.

    The password is in LINEPOOL_OFFICER_PASSWORD, or in the file that LINEPOOL_OFFICER_PASSWORD_FILE names.
    Raises NothingRunsError where nothing is named and nothing runs, AccessError where there is no password.
    """
    if given.bootstrap_servers is None:
        running = state.load()
        bootstrap_servers, prefix = running.bootstrap_servers, running.prefix
        ca_file = Path(running.ca_file) if running.ca_file else None
        password = kept(None, "passwords").get("officer")
    else:
        bootstrap_servers, prefix, ca_file = given.bootstrap_servers, given.prefix or "", given.ca_file
        password = secret("LINEPOOL_OFFICER_PASSWORD", environment)
    if not password:
        raise AccessError("the officer's password at Kafka must be in LINEPOOL_OFFICER_PASSWORD")
    return Connection(bootstrap_servers, f"{prefix}officer", password, ca_file, prefix)


def who_verifies(environment: Mapping[str, str] = os.environ) -> UUID:
    """Return the person id of the officer at the keyboard: a finding needs somebody who answers for it."""
    given = environment.get("LINEPOOL_OFFICER_ID")
    try:
        return UUID(given or "")
    except ValueError:
        raise AccessError(
            "LINEPOOL_OFFICER_ID must be your person id, a UUID: a finding says who made it"
        ) from None
