"""The bidding service with its jobs in steps, and the worker process that evaluates."""

from collections.abc import Iterator
from concurrent.futures import Executor
from functools import partial

import pytest

from services.bidding.checkpoints import prove_checkpoints, publish_checkpoints
from services.bidding.comparing import compare_opened_boxes, worker_process
from services.bidding.jobs import close_boxes
from services.bidding.judging import judge_held_messages
from tests.memory import Running


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
