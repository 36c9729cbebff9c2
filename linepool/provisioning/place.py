"""Where the Kafka is, and with which logins and keys the operator works: options, environment, or what `linepool up` runs."""

import getpass
import json
import os
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import NAMESPACE_URL, UUID, uuid5

from deploy.access.broker import AccessError, Broker
from deploy.access.login import Login
from linepool.client.connection import Connection
from linepool.demo import state
from shared.signing import RECEIPTS, SEAL_KEYS, signing_key, verifying_key_b64


@dataclass(frozen=True)
class Asked:
    """What was given by options or environment; what is None is that of the running `linepool up`."""

    bootstrap_servers: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    prefix: str | None = None
    replicas: int | None = None


@dataclass(frozen=True)
class VerifyingKeys:
    """With which providers check what we sign; Ed25519 public keys, 32 bytes in base64."""

    receipts: str
    seal_keys: str

    def as_json(self) -> dict[str, str]:
        """Return them as they stand in a bundle."""
        return {"receipts": self.receipts, "seal_keys": self.seal_keys}


def find_broker(asked: Asked) -> Broker:
    """Return the Kafka and the login of one who may administer it.

    Raises NothingRunsError where nothing is named and nothing runs, AccessError where something is named and not all of it.
    """
    if asked.bootstrap_servers is None:
        running = state.load()
        ca_file = Path(running.ca_file) if running.ca_file else None
        login = Login(running.admin_username, running.admin_password)
        return Broker(running.bootstrap_servers, login, ca_file, running.prefix)
    if not asked.username or not asked.password:
        raise AccessError(
            "a Kafka is named without a login: LINEPOOL_KAFKA_USERNAME and LINEPOOL_KAFKA_PASSWORD must be set"
        )
    try:
        return Broker(
            asked.bootstrap_servers,
            Login(asked.username, asked.password),
            asked.ca_file,
            asked.prefix or "",
            asked.replicas,
        )
    except ValueError as error:
        raise AccessError(str(error)) from None


def find_operator(broker: Broker, environment: Mapping[str, str] = os.environ) -> Connection:
    """Return the operator's way to that Kafka.

    Raises AccessError where its password is neither in LINEPOOL_OPERATOR_PASSWORD nor known from `linepool up`.
    """
    password = environment.get("LINEPOOL_OPERATOR_PASSWORD") or kept(broker, "passwords").get("operator")
    if not password:
        raise AccessError("the operator's password at Kafka must be in LINEPOOL_OPERATOR_PASSWORD")
    return Connection(
        broker.bootstrap_servers, broker.prefix + "operator", password, broker.ca_file, broker.prefix
    )


def who_operates(environment: Mapping[str, str] = os.environ) -> UUID:
    """Return the id of the person at the keyboard: LINEPOOL_OPERATOR_ID, or one that follows from the login name."""
    given = environment.get("LINEPOOL_OPERATOR_ID")
    if given is None:
        return uuid5(NAMESPACE_URL, f"linepool operator {getpass.getuser()}")
    try:
        return UUID(given)
    except ValueError:
        raise AccessError("LINEPOOL_OPERATOR_ID must be a UUID") from None


def find_keys(
    file: Path | None, broker: Broker | None = None, environment: Mapping[str, str] = os.environ
) -> VerifyingKeys:
    """Return the verifying keys: from a file that `linepool keys` wrote, or from the secrets that they follow from.

    The secrets are in LINEPOOL_BIDDING_SECRET and LINEPOOL_OPENER_SECRET, or in the files that these variables with
    `_FILE` behind them name (32 bytes in hex), or those of the running `linepool up`.
    """
    if file is not None:
        return _read_keys(file)
    names = {"bidding": "LINEPOOL_BIDDING_SECRET", "opener": "LINEPOOL_OPENER_SECRET"}
    secrets = {who: found for who, name in names.items() if (found := secret(name, environment))}
    if not secrets:
        secrets = kept(broker, "secrets")
    missing = [name for who, name in names.items() if who not in secrets]
    if missing:
        raise AccessError(f"the verifying keys follow from {' and '.join(missing)}, which must be set")
    try:
        raw = {who: bytes.fromhex(secrets[who]) for who in names}
    except ValueError:
        raise AccessError("a secret is 32 bytes in hex") from None
    return VerifyingKeys(
        verifying_key_b64(signing_key(raw["bidding"], RECEIPTS)),
        verifying_key_b64(signing_key(raw["opener"], SEAL_KEYS)),
    )


def secret(name: str, environment: Mapping[str, str]) -> str | None:
    """Return a secret from its variable, or from the file that this variable with `_FILE` behind it names."""
    if file := environment.get(f"{name}_FILE"):
        return Path(file).read_text().strip()
    return environment.get(name)


def _read_keys(file: Path) -> VerifyingKeys:
    try:
        found = json.loads(file.read_text())
        keys = VerifyingKeys(found["receipts"], found["seal_keys"])
        lengths = {len(b64decode(key, validate=True)) for key in (keys.receipts, keys.seal_keys)}
    except (ValueError, KeyError, TypeError):
        lengths = set()
    if lengths != {32}:
        raise AccessError(f"{file} does not hold what `linepool keys` writes")
    return keys


def kept(broker: Broker | None, what: str) -> dict[str, str]:
    """Return passwords or secrets of what `linepool up` runs, if that is the Kafka asked for."""
    try:
        running = state.load()
    except state.NothingRunsError:
        return {}
    if broker is not None and running.bootstrap_servers != broker.bootstrap_servers:
        return {}
    found: dict[str, dict[str, str]] = json.loads((Path(running.folder) / "passwords.json").read_text())
    return found[what]
