"""What the operator hands out to a provider of a running system."""

import json
from pathlib import Path

from shared.signing import RECEIPTS, SEAL_KEYS, signing_key, verifying_key_b64
from tests.integration.system import RealSystem


def bundle(system: RealSystem, provider_id: str, folder: Path) -> Path:
    """Write what the operator hands out."""
    folder.mkdir()
    connection, secrets = system.connections[provider_id], system.stack.secrets
    keys = {
        name: verifying_key_b64(signing_key(bytes.fromhex(secrets[process]), purpose))
        for name, process, purpose in (("receipts", "bidding", RECEIPTS), ("seal_keys", "opener", SEAL_KEYS))
        if process in secrets
    }
    described = {
        "bootstrap_servers": connection.bootstrap_servers,
        "provider_id": provider_id,
        "prefix": connection.prefix,
        "username": connection.username,
        "keys": keys,
    }
    (folder / "linepool.json").write_text(json.dumps(described))
    properties = connection.properties()
    if connection.ca_file:
        (folder / "ca.pem").write_bytes(connection.ca_file.read_bytes())
        properties["ssl.ca.location"] = "ca.pem"
    lines = [f"{name}={value}" for name, value in properties.items()]
    (folder / "client.properties").write_text("\n".join(lines))
    return folder
