"""What an operator makes before the chart is installed: a database, the Secrets, and the values."""

from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from deploy.access.model import kafka_users, roles
from deploy.local.mail import LocalMail
from deploy.local.services import MAIL_FROM
from deploy.local.sources import ForeignPostgres, from_environment
from deploy.local.stack import Stack, _stack
from shared.sealing import INITIAL_PASSWORDS, private_key, public_key_b64
from tests.deploy.rendering import Object

PREFIX = "linepool-"
CA_SECRET = "kafka-ca"
FASTER = {
    "LINEPOOL_MAIL_RETRY_S": 0.5,
    "LINEPOOL_MAIL_RETRY_MAX_S": 2,
    # A mail that was being sent when its process died goes again when this time, times ten, is over.
    "LINEPOOL_SMTP_TIMEOUT_S": 0.5,
    "LINEPOOL_COMMAND_PATIENCE_S": 30,
}
"""The tests wait for mails and for orders in the middle of faults; all else is as the chart sets it."""


@asynccontextmanager
async def foreign_stack(
    environment: Mapping[str, str], folder: Path, name: str, address: str
) -> AsyncIterator[Stack]:
    """Use the Kafka and the Postgres that the environment names, with a prefix and a database of our own.

    Nothing is made there yet but the empty database: users, topics, rules and roles are for the chart's Jobs. Mails
    are taken at `address`, on this machine. Topics and users stay when this ends.
    """
    found = from_environment(environment)
    database = name.replace("-", "_")
    dsn = urlunsplit(urlsplit(found.postgres.admin_dsn)._replace(path=f"/{database}"))
    mail = LocalMail(folder / "mail", address)
    admin = await asyncpg.connect(found.postgres.admin_dsn)
    await admin.execute(f"CREATE DATABASE {database}")
    try:
        mail.start()
        yield _stack(replace(found, postgres=ForeignPostgres(dsn)), mail, folder, f"{name}.")
    finally:
        mail.stop()
        await admin.execute(f"DROP DATABASE {database} WITH (FORCE)")
        await admin.close()


def secrets_of(stack: Stack) -> list[Object]:
    """Return the Secrets, as docs/operations.md lists their keys."""
    content: dict[str, dict[str, str]] = {
        f"{PREFIX}{user.name}": {"kafka-password": stack.passwords[user.name]} for user in kafka_users()
    }
    for one in roles():
        content.setdefault(f"{PREFIX}{one.name}", {}).update(
            {
                "postgres-dsn": stack.dsn(one.name),
                "postgres-password": stack.role_passwords[one.name],
                "secret": stack.secrets[one.name],
            }
        )
    content[f"{PREFIX}keda"]["username"] = stack.login("keda").username
    content[f"{PREFIX}kafka-admin"] = {"username": stack.admin.username, "password": stack.admin.password}
    content[f"{PREFIX}postgres-admin"] = {"dsn": stack.admin_dsn}
    content[CA_SECRET] = {"ca.crt": stack.ca_file.read_text()}
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name},
            "data": {key: b64encode(value.encode()).decode() for key, value in keys.items()},
        }
        for name, keys in content.items()
    ]


def values_of(stack: Stack, image: str) -> dict[str, Any]:
    """Return the values of a release with its own Kafka and Postgres."""
    repository, _, tag = image.rpartition(":")
    public_key = public_key_b64(private_key(bytes.fromhex(stack.secrets["notification"]), INITIAL_PASSWORDS))
    return {
        "image": {"repository": repository, "tag": tag},
        "topicPrefix": stack.prefix,
        "kafka": {
            "bootstrapServers": stack.services_bootstrap,
            "ca": {"existingSecret": CA_SECRET},
            "access": {"enabled": True},
        },
        "postgres": {"port": urlsplit(stack.admin_dsn).port or 5432, "roles": {"enabled": True}},
        "notificationPublicKey": public_key,
        "smtp": {
            "host": stack.smtp_host,
            "port": stack.smtp_port,
            "security": "none",
            "from": MAIL_FROM,
        },
        "portal": {"url": "https://linepool.invalid"},
        "environment": FASTER,
    }
