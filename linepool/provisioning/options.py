"""What the commands for access and for providers share: where the Kafka is, and how they speak to a person."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException
from rich.console import Console
from rich.markup import escape

from deploy.access.broker import AccessError, Broker
from linepool.demo.state import NothingRunsError
from linepool.provisioning.place import Asked, find_broker

console = Console(highlight=False, soft_wrap=True)

Kafka = Annotated[
    str | None,
    typer.Option(
        "--kafka",
        envvar="LINEPOOL_KAFKA_BOOTSTRAP_SERVERS",
        help="host:port (default: what `linepool up` runs). The password comes from LINEPOOL_KAFKA_PASSWORD.",
    ),
]
Username = Annotated[
    str | None,
    typer.Option(envvar="LINEPOOL_KAFKA_USERNAME", help="One who may administer that Kafka."),
]
CaFile = Annotated[
    Path | None,
    typer.Option(envvar="LINEPOOL_KAFKA_CA_FILE", help="The authority of its certificate, PEM."),
]
Prefix = Annotated[
    str | None,
    typer.Option(envvar="LINEPOOL_TOPIC_PREFIX", help="What stands before all our names; ends in a dot."),
]


@contextmanager
def one_sentence() -> Iterator[None]:
    """Say in one sentence what went wrong, and exit with 1."""
    try:
        yield
    except KafkaException as error:
        reason = error.args[0]
        _fail(f"Kafka refuses: {reason.str() if hasattr(reason, 'str') else reason}")
    except (AccessError, NothingRunsError, KafkaError, OSError, TimeoutError) as error:
        _fail(str(error) or type(error).__name__)


def _fail(text: str) -> None:
    sys.stderr.write(f"linepool: {' '.join(text.split())}\n")
    raise typer.Exit(1)


class Given:
    """Where the Kafka is, as it was given on the command line."""

    def __init__(
        self, kafka: str | None, username: str | None, ca_file: Path | None, prefix: str | None
    ) -> None:
        self.asked = Asked(kafka, username, os.environ.get("LINEPOOL_KAFKA_PASSWORD"), ca_file, prefix)


def named_broker(kafka: str | None, username: str | None, ca_file: Path | None, prefix: str | None) -> Broker:
    """Return the Kafka that was named, or that of `linepool up`; see `find_broker`."""
    return find_broker(Given(kafka, username, ca_file, prefix).asked)


def say(found: Iterable[str], otherwise: str) -> None:
    """Print each of the sentences, or what holds when there is none."""
    lines = list(found)
    for line in lines:
        console.print(escape(line))
    if not lines:
        console.print(otherwise)
