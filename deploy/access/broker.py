"""A Kafka, the login of one who may administer it, and the calls that this project makes of it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from deploy.access.login import Login, admin_client
from deploy.access.model import check_prefix

T = TypeVar("T")
PATIENCE_SECONDS = 30.0
TRANSIENT = {
    KafkaError._TRANSPORT,  # noqa: SLF001 -- confluent-kafka names its public error codes with an underscore
    KafkaError._TIMED_OUT,  # noqa: SLF001 -- as above
    KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001 -- as above
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_CONTROLLER,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 -- as above
    KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001 -- as above
    # What the client says while it knows no leader for any of the partitions.
    KafkaError._NOENT,  # noqa: SLF001 -- as above
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    # A broker that has just restarted counts leader epochs behind what the client has heard.
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.FENCED_LEADER_EPOCH,
}


class AccessError(Exception):
    """The broker is not, or cannot be, what it should be; the text is one sentence."""


@dataclass(frozen=True)
class Broker:
    """Where a Kafka is, who administers it, and the prefix that stands before all our names there.

    `replicas` is on how many of its brokers each topic of ours is kept; None: on as many as it chooses.
    """

    bootstrap_servers: str
    admin: Login
    ca_file: Path | None = None
    prefix: str = ""
    replicas: int | None = None

    def __post_init__(self) -> None:
        check_prefix(self.prefix)
        if self.replicas is not None and self.replicas < 1:
            raise ValueError(f"a topic is kept on one broker or more, unlike {self.replicas}")

    def client(self) -> AdminClient:
        """Return a new client for administration."""
        return admin_client(self.bootstrap_servers, self.admin, self.ca_file)


def results(futures: Mapping[Any, Any], *accepted: int) -> list[Any]:
    """Return what each of the broker's answers brought. Raises KafkaException, save for codes that are accepted."""
    found = []
    for future in futures.values():
        try:
            found.append(future.result(PATIENCE_SECONDS))
        except KafkaException as error:
            if code(error) not in accepted:
                raise
    return found


def code(error: KafkaException) -> int | None:
    """Return Kafka's number for an error."""
    reason = error.args[0]
    return reason.code() if isinstance(reason, KafkaError) else None


def patiently(step: Callable[[], T]) -> T:
    """Take a step again while brokers are away or one does not know yet what another has accepted."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return step()
        except KafkaException as error:
            if code(error) not in TRANSIENT or time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def wait_until(condition: Callable[[], bool], failure: str) -> None:
    """Wait until a condition holds. Raises AccessError with this sentence when it does not in time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise AccessError(f"{failure} within {PATIENCE_SECONDS:.0f} s")
        time.sleep(0.05)
