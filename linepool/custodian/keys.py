"""One secret in one file, and a key pair for each purchase and deadline that follows from it."""

import json
import os
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_bytes
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from shared.sealing import custodian_key_purpose, private_key

SECRET_BYTES = 32


class CustodianError(Exception):
    """What was asked for is not done; the text is one sentence for people."""


def make_secret(file: Path) -> None:
    """Make a secret in a new file that nobody else can read.

    Raises:
        CustodianError: the file is there already, or cannot be written.
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise CustodianError(f"{file} cannot be made ({error.strerror}).") from error
    with os.fdopen(descriptor, "w") as output:
        json.dump({"custodian_secret": b64encode(token_bytes(SECRET_BYTES)).decode()}, output)
        output.write("\n")


def read_secret(file: Path) -> bytes:
    """Return the secret in a file.

    Raises:
        CustodianError: it cannot be read, holds no secret, or others may read it.
    """
    try:
        if file.stat().st_mode & 0o077:
            raise CustodianError(f"{file} can be read by others; make it yours alone: chmod 600 {file}")
        secret = b64decode(json.loads(file.read_text())["custodian_secret"], validate=True)
    except OSError as error:
        raise CustodianError(f"{file} cannot be read ({error.strerror}).") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CustodianError(f"{file} holds no custodian's secret.") from error
    if len(secret) != SECRET_BYTES:
        raise CustodianError(f"{file} holds no custodian's secret.")
    return secret


def key_for(secret: bytes, purchase_id: UUID, deadline: datetime) -> X25519PrivateKey:
    """Return the private key for a purchase whose replies count until this deadline; any other has another key."""
    return private_key(secret, custodian_key_purpose(purchase_id, deadline))


def released_key(secret: bytes, purchase_id: UUID, deadline: datetime, now: datetime) -> X25519PrivateKey:
    """Return the private key that may be handed over now.

    Raises:
        CustodianError: the deadline, by which the key was made, has not passed.
    """
    if now < deadline:
        until = f"{deadline.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        raise CustodianError(f"The deadline is {until}; the key is released after it and not before.")
    return key_for(secret, purchase_id, deadline)
