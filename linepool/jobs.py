"""What an installer runs inside the image before the processes: `python -m linepool.jobs access`, `roles`, `migrate NAME`.

The image has neither the demonstration nor the local stack, so these know only access rules and migrations. All they
are told stands in the environment; each may run as often as one likes, and exits with 1 and one sentence if it fails.
"""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import asyncpg
import typer
from confluent_kafka import KafkaException

from deploy.access.apply import apply_access
from deploy.access.broker import AccessError, Broker
from deploy.access.login import Login
from deploy.access.model import kafka_users, roles
from deploy.access.postgres import apply_roles
from linepool import operating
from shared.migrations import MigrationError
from shared.sealing import INITIAL_PASSWORDS, private_key, public_key_b64

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
_ERRORS = (
    AccessError,
    KafkaException,
    MigrationError,
    operating.OperatingError,
    asyncpg.PostgresError,
    OSError,
    ValueError,
)


class MissingError(ValueError):
    """A variable or a file is not there; the text is one sentence."""


@app.command()
def access() -> None:
    """Bring the broker to what deploy/access/ says: LINEPOOL_KAFKA_*, LINEPOOL_TOPIC_PREFIX, LINEPOOL_PASSWORDS."""
    ca_file = os.environ.get("LINEPOOL_KAFKA_CA_FILE")
    replicas = os.environ.get("LINEPOOL_KAFKA_REPLICAS")
    broker = Broker(
        _given("LINEPOOL_KAFKA_BOOTSTRAP_SERVERS"),
        Login(_given("LINEPOOL_KAFKA_USERNAME"), _given("LINEPOOL_KAFKA_PASSWORD")),
        Path(ca_file) if ca_file else None,
        os.environ.get("LINEPOOL_TOPIC_PREFIX", ""),
        int(replicas) if replicas else None,
    )
    difference = apply_access(broker, _passwords([user.name for user in kafka_users()]))
    for sentence in (*difference.repairs(), *(f"left alone: {one}" for one in difference.left_alone())):
        typer.echo(sentence)


@app.command(name="roles")
def make_roles() -> None:
    """Make the roles and schemas: LINEPOOL_POSTGRES_DSN of one who may, LINEPOOL_PASSWORDS."""
    passwords = _passwords([principal.role for principal in roles() if principal.role])
    asyncio.run(apply_roles(_given("LINEPOOL_POSTGRES_DSN"), passwords))


@app.command()
def migrate(name: str) -> None:
    """Bring one schema up to date: LINEPOOL_POSTGRES_DSN of its own role."""
    for applied in asyncio.run(_migrate(_given("LINEPOOL_POSTGRES_DSN"), name)):
        typer.echo(f"applied {applied}")


@app.command(name="public-key")
def public_key() -> None:
    """Print the key that aggregation seals to, from notification's LINEPOOL_SECRET (hex)."""
    secret = bytes.fromhex(_given("LINEPOOL_SECRET"))
    typer.echo(public_key_b64(private_key(secret, INITIAL_PASSWORDS)))


async def _migrate(dsn: str, name: str) -> list[str]:
    async with operating.database(dsn, name, among=operating.process_names()) as connection:
        return await operating.migrate(connection, name)


def _given(variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        raise MissingError(f"{variable} is not set")
    return value


def _passwords(names: list[str]) -> Mapping[str, str]:
    """Return what stands in the folder LINEPOOL_PASSWORDS, one file for each name."""
    folder = Path(_given("LINEPOOL_PASSWORDS"))
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise MissingError(f"{folder} lacks the passwords of {', '.join(missing)}")
    return {name: (folder / name).read_text("utf-8").strip() for name in names}


def main() -> None:
    """Run one of the commands."""
    try:
        app()
    except _ERRORS as error:
        sys.stderr.write(f"linepool: {' '.join(str(error).split()) or type(error).__name__}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
