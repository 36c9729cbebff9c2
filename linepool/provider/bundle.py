"""What the operator hands to a provider: who it is, how it connects, and which keys it can believe."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from linepool.client.connection import Connection
from linepool.provider.errors import BundleError
from shared.messages.base import ProviderId


class Keys(BaseModel):
    """Ed25519 keys, each 32 bytes in base64, that check signatures; None where the bundle does not name it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    receipts: str | None = None
    """Bidding's: of receipts and checkpoints."""
    seal_keys: str | None = None
    """The opener's: of the keys that offers are sealed to."""


class _Described(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    bootstrap_servers: str
    provider_id: ProviderId
    username: str
    prefix: str = ""
    keys: Keys = Keys()


@dataclass(frozen=True)
class Bundle:
    """A provider's way in."""

    connection: Connection
    provider_id: str
    keys: Keys = field(default_factory=Keys)

    @classmethod
    def read(cls, folder: Path) -> "Bundle":
        """Read `linepool.json` and `client.properties`; files that these name are looked for beside them.

        Raises:
            BundleError: a file is missing, or is not what it must be.
        """
        described = _described(folder / "linepool.json")
        properties = _properties(folder / "client.properties")
        try:
            connection = Connection(
                bootstrap_servers=described.bootstrap_servers,
                username=described.username,
                prefix=described.prefix,
                **_login(folder, properties),
            )
        except (TypeError, ValueError) as error:
            raise BundleError(f"{folder / 'client.properties'} names no complete login") from error
        return cls(connection, described.provider_id, described.keys)


def _described(file: Path) -> _Described:
    try:
        return _Described.model_validate(json.loads(file.read_text("utf-8")))
    except OSError as error:
        raise BundleError(f"{file} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, fault["loc"])) for fault in error.errors())
        raise BundleError(f"{file} is not a bundle's description; see {fields}") from error
    except ValueError as error:
        raise BundleError(f"{file} is not JSON") from error


def _properties(file: Path) -> dict[str, str]:
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{file} cannot be read") from error
    pairs = (
        line.partition("=") for line in lines if line.strip() and not line.lstrip().startswith(("#", "!"))
    )
    return {name.strip(): value.strip() for name, _, value in pairs}


def _login(folder: Path, properties: dict[str, str]) -> dict[str, Any]:
    """Return the login under `Connection`'s names."""
    found: dict[str, Any] = {}
    if password := properties.get("sasl.password"):
        found["password"] = password
    named = {
        "ca_file": properties.get("ssl.ca.location"),
        "certificate_file": properties.get("ssl.certificate.location"),
        "key_file": properties.get("ssl.key.location"),
    }
    found |= {name: _beside(folder, value) for name, value in named.items() if value}
    if "ca_file" not in found and (folder / "ca.pem").exists():
        found["ca_file"] = folder / "ca.pem"
    return found


def _beside(folder: Path, name: str) -> Path:
    # A bundle that was moved or mailed still works: what it names lies in it.
    inside = folder / Path(name).name
    return inside if inside.exists() else Path(name)
