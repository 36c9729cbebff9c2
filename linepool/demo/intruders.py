"""Three that have no right to what they try: the broker itself denies them."""

import asyncio
import re

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from linepool.client.connection import Connection
from linepool.client.journal import read_all
from linepool.client.orders import open_producer
from linepool.demo.stage import Stage
from linepool.demo.story import Intruder

_HANDSHAKE = re.compile(r"Unexpected Kafka request of type \w+ during SASL handshake")


async def try_to_intrude(stage: Stage) -> tuple[Intruder, ...]:
    """Let all three try, and claim that each was denied."""
    own, other = stage.roles.unlisted[0], stage.roles.bidders[0]
    topic = f"invitations.{other}"
    login = stage.connection(stage.logins[own])
    name = stage.roles.names[own]
    errors = await asyncio.gather(
        _read(login, topic), _write(login, topic), _without_credentials(stage, login)
    )
    tried = (
        (name, "reads another provider's topic", topic),
        (name, "writes an invitation", topic),
        ("A client without credentials", "connects", "-"),
    )
    found = []
    for (who, what, where), error in zip(tried, errors, strict=True):
        stage.tell.claim(f"denied by the broker: {who} {what}: {error}", holds=bool(error))
        found.append(Intruder(who=who, tried=what, topic=where, error=str(error)))
    stage.tell.step("Three intruders are denied", "Not by our code: by the broker's own rules.")
    return tuple(found)


async def _read(login: Connection, topic: str) -> str | None:
    try:
        await read_all(login, [topic], within=5)
    except TopicAuthorizationFailedError as error:
        return _words(error)
    return None


async def _write(login: Connection, topic: str) -> str | None:
    async with open_producer(login) as producer:
        try:
            await producer.send_and_wait(login.topic(topic), b"{}")
        except TopicAuthorizationFailedError as error:
            return _words(error)
    return None


async def _without_credentials(stage: Stage, login: Connection) -> str | None:
    producer = AIOKafkaProducer(bootstrap_servers=login.bootstrap_servers, request_timeout_ms=3000)
    try:
        await producer.start()
    except KafkaError as error:
        return f"{type(error).__name__}; {_in_log(stage) or 'the broker closes the connection'}"
    finally:
        await producer.stop()
    return None


def _in_log(stage: Stage) -> str | None:
    """Return what the broker's own log says about it, where the broker is ours; the client is only cut off."""
    log = stage.stack.folder / "kafka" / "kafka.log"
    if not log.exists():
        return None
    said = _HANDSHAKE.findall(log.read_text("utf-8", "replace"))
    return f"the broker's log: {said[-1]}" if said else None


def _words(error: KafkaError) -> str:
    return str(error)
