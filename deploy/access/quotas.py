"""How much of a broker a user may take: DescribeClientQuotas and AlterClientQuotas (KIP-546), which no client here offers.

The requests are put together by hand and sent over a connection of aiokafka, which knows how to log in.
"""

import asyncio
import math
import ssl
from collections.abc import AsyncIterator, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, ClassVar, TypeVar

from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.admin import DescribeClientQuotasRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Float64, Int16, Int32, Schema, String

from deploy.access.broker import AccessError, Broker

T = TypeVar("T")
Quotas = Mapping[str, float]
_TEXT = String("utf-8")
_ENTITY = Array(("entity_type", _TEXT), ("entity_name", _TEXT))
_ANY_NAME = 2


class _AlterClientQuotasResponse(Response):  # type: ignore[misc] # aiokafka publishes no type hints
    API_KEY = 49
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("entries", Array(("error_code", Int16), ("error_message", _TEXT), ("entity", _ENTITY))),
    )


class _AlterClientQuotasRequest(RequestStruct):  # type: ignore[misc] # as above
    API_KEY = 49
    API_VERSION = 0
    RESPONSE_TYPE = _AlterClientQuotasResponse
    SCHEMA = Schema(
        (
            "entries",
            Array(
                ("entity", _ENTITY), ("ops", Array(("key", _TEXT), ("value", Float64), ("remove", Boolean)))
            ),
        ),
        ("validate_only", Boolean),
    )


class AlterClientQuotas(Request[_AlterClientQuotasRequest]):  # type: ignore[misc] # as above
    """Set or (None) remove quotas of some users."""

    API_KEY: ClassVar[int] = 49

    def __init__(self, changes: Mapping[str, Mapping[str, float | None]]) -> None:
        self._entries = [
            ([("user", user)], [(key, value or 0.0, value is None) for key, value in quotas.items()])
            for user, quotas in changes.items()
        ]

    def build(self, request_struct_class: type[_AlterClientQuotasRequest]) -> _AlterClientQuotasRequest:
        """Return the request as it is sent."""
        return request_struct_class(self._entries, False)


def user_quotas(broker: Broker) -> dict[str, dict[str, float]]:
    """Return the quotas of every user that has some of its own.

    Raises AccessError, a sentence, when the broker is away or refuses.
    """
    return _run(_user_quotas(broker))


def change_user_quotas(broker: Broker, changes: Mapping[str, Mapping[str, float | None]]) -> None:
    """Set or (None) remove quotas by user and Kafka's name of the quota. Raises as `user_quotas`."""
    if changes:
        _run(_change(broker, changes))


def same(one: Quotas, other: Quotas) -> bool:
    """Tell whether two sets of quotas are the same; the broker gives back floating point."""
    return one.keys() == other.keys() and all(math.isclose(one[name], other[name]) for name in one)


async def _user_quotas(broker: Broker) -> dict[str, dict[str, float]]:
    async with open_connection(broker) as connection:
        answer = await connection.send(DescribeClientQuotasRequest([("user", _ANY_NAME, None)], strict=True))
    _check(answer.error_code, "telling the quotas")
    return {entity[0][1]: dict(values) for entity, values in answer.entries if entity[0][1] is not None}


async def _change(broker: Broker, changes: Mapping[str, Mapping[str, float | None]]) -> None:
    async with open_connection(broker) as connection:
        answer = await connection.send(AlterClientQuotas(changes))
    for error_code, _message, _entity in answer.entries:
        _check(error_code, "changing the quotas")


@asynccontextmanager
async def open_connection(broker: Broker) -> AsyncIterator[AIOKafkaConnection]:
    """Connect to the first server that answers. Raises AccessError when none does."""
    context = ssl.create_default_context(cafile=broker.ca_file)
    refusal = "no server is named"
    for server in broker.bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            connection = await create_conn(
                host.strip("[]"),
                int(port),
                client_id="linepool-access",
                security_protocol="SASL_SSL",
                ssl_context=context,
                sasl_mechanism="SCRAM-SHA-512",
                sasl_plain_username=broker.admin.username,
                sasl_plain_password=broker.admin.password,
            )
        except (OSError, KafkaError) as error:
            refusal = type(error).__name__
            continue
        try:
            yield connection
        except KafkaError as error:
            raise AccessError(
                f"Kafka at {broker.bootstrap_servers} went away: {type(error).__name__}"
            ) from error
        finally:
            await connection.close()
        return
    raise AccessError(f"Kafka at {broker.bootstrap_servers} does not let us in: {refusal}")


def _check(error_code: int, what: str) -> None:
    if error_code:
        raise AccessError(f"Kafka refuses {what}: {for_code(error_code).__name__}")


def _run(work: Coroutine[Any, Any, T]) -> T:
    # A thread of its own: the caller may have an event loop running.
    with ThreadPoolExecutor(max_workers=1) as alone:
        return alone.submit(asyncio.run, work).result()
