"""The bidding service with its jobs in steps, and the worker process that evaluates."""

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Executor
from functools import partial

import pytest

from services.bidding.checkpoints import prove_checkpoints, publish_checkpoints
from services.bidding.comparing import compare_opened_boxes, worker_process
from services.bidding.jobs import close_boxes
from services.bidding.judging import judge_held_messages
from services.bidding.opener.opening import Opener
from services.bidding.opening import judge_opened_boxes, tell_of_keys
from shared.runtime import Runtime
from tests.memory import MemoryKafka, Running, open_opener
from tests.service.conftest import start


@pytest.fixture(scope="session")
def worker() -> Iterator[Executor]:
    with worker_process() as started:
        yield started


@pytest.fixture
def desk(bidding: Running, worker: Executor) -> Running:
    """The service with all that its jobs do, one step of each in every round."""
    bidding.steps += [
        judge_held_messages,
        close_boxes,
        partial(compare_opened_boxes, worker=worker),
        publish_checkpoints,
        prove_checkpoints,
    ]
    return bidding


@pytest.fixture
async def opener(database: str) -> AsyncIterator[Opener]:
    """The opener with its own role; it works in every round of `sealing`."""
    async with open_opener(database) as one:
        yield one


@pytest.fixture
async def sealing(
    database: str, kafka: MemoryKafka, worker: Executor, opener: Opener
) -> AsyncIterator[Running]:
    """The service whose replies are sealed, with all that its jobs do, and the opener beside it."""
    async with start("bidding", database, kafka, seal="hpke") as service:

        async def open_what_is_closed(_runtime: Runtime) -> int:
            return await opener.work()

        service.steps += [
            judge_held_messages,
            tell_of_keys,
            close_boxes,
            open_what_is_closed,
            judge_opened_boxes,
            partial(compare_opened_boxes, worker=worker),
        ]
        yield service
