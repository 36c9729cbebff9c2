"""Does one thing at Kafka with the officer's login; what goes wrong is said in one sentence."""

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn, TypeVar
from uuid import UUID

import typer
from aiokafka.errors import KafkaError

from deploy.access.broker import AccessError
from linepool.client.authorities import Officer, open_officer
from linepool.demo.state import NothingRunsError
from linepool.officer.place import Given, find_officer
from linepool.officer.telling import visible

T = TypeVar("T")
NOBODY = UUID(int=0)


def at_kafka(
    given: Given,
    task: Callable[[Officer], Awaitable[T]],
    *,
    person_id: UUID = NOBODY,
    reads: tuple[str, ...] = (),
) -> T:
    """Do something at Kafka with the officer's login; `reads` are topics beside those that it always reads."""

    async def at() -> T:
        async with open_officer(find_officer(given), person_id, also=reads) as officer:
            return await task(officer)

    with one_sentence():
        return asyncio.run(at())
    raise AssertionError


@contextmanager
def one_sentence() -> Iterator[None]:
    """Say in one sentence what went wrong, and exit with 1."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        yield
    except (AccessError, NothingRunsError, KafkaError, OSError, TimeoutError) as error:
        fail(str(error) or type(error).__name__)


def fail(text: str) -> NoReturn:
    """Say what went wrong, and exit with 1."""
    sys.stderr.write(f"linepool: {visible(' '.join(text.split()))}\n")
    raise typer.Exit(1)


def write_json(value: object) -> None:
    """Write for programs."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")
