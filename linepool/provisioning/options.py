"""What the commands for access and for providers share: where the Kafka is, and how they speak to a person."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
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

Prefix = Annotated[
    str | None,
    typer.Option(envvar="LINEPOOL_TOPIC_PREFIX", help="What stands before all our names; ends in a dot."),
]
Replicas = Annotated[
    int | None,
    typer.Option(
        envvar="LINEPOOL_KAFKA_REPLICAS",
        min=1,
        help="On how many brokers each topic is kept (default: as many as that Kafka chooses).",
    ),
]
CaFile = Annotated[
    Path | None,
    typer.Option(envvar="LINEPOOL_KAFKA_CA_FILE", help="The authority of its certificate, PEM."),
]


@dataclass(frozen=True)
class Given:
    """Where the Kafka is, as it was given on the command line; the password comes from the environment alone."""

    kafka: Annotated[
        str | None,
        typer.Option(
            envvar="LINEPOOL_KAFKA_BOOTSTRAP_SERVERS",
            help="host:port (default: what `linepool up` runs). The password comes from LINEPOOL_KAFKA_PASSWORD.",
        ),
    ] = None
    username: Annotated[
        str | None,
        typer.Option(envvar="LINEPOOL_KAFKA_USERNAME", help="One who may administer that Kafka."),
    ] = None
    ca_file: CaFile = None
    prefix: Prefix = None
    replicas: Replicas = None

    def broker(self) -> Broker:
        """Return the Kafka that was named, or that of `linepool up`; see `find_broker`."""
        password = os.environ.get("LINEPOOL_KAFKA_PASSWORD")
        return find_broker(
            Asked(self.kafka, self.username, password, self.ca_file, self.prefix, self.replicas)
        )


def in_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take options in groups: of a dataclass among its parameters, each field is an option of its own."""
    groups: dict[str, type] = {}
    options: list[Parameter] = []
    for one in signature(command, eval_str=True).parameters.values():
        if isinstance(one.annotation, type) and is_dataclass(one.annotation):
            groups[one.name] = one.annotation
            options += signature(one.annotation, eval_str=True).parameters.values()
        else:
            options.append(one)

    @wraps(command)
    def run(**given: object) -> None:
        for name, group in groups.items():
            given[name] = group(**{one: given.pop(one) for one in signature(group).parameters})
        command(**given)

    own = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in options]
    run.__annotations__ = {one.name: one.annotation for one in own}
    setattr(run, "__signature__", Signature(own))  # noqa: B010 -- functions declare no such attribute
    return run


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


def say(found: Iterable[str], otherwise: str) -> None:
    """Print each of the sentences, or what holds when there is none."""
    lines = list(found)
    for line in lines:
        console.print(escape(line))
    if not lines:
        console.print(otherwise)
