"""Requests of Kafka's protocol, sent as they are: whatever a client may try, with the broker's own answer to each.

Every method tries one operation on many topics or groups and returns Kafka's error code for each (0: it was done, None:
the broker leaves it out of its answer). Structures that aiokafka lacks are those of Kafka's message definitions.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar

from aiokafka.conn import AIOKafkaConnection
from aiokafka.protocol.admin import (
    AlterConfigsRequest,
    CreateAclsRequest,
    CreatePartitionsRequest,
    CreateTopicsRequest,
    DeleteAclsRequest,
    DeleteGroupsRequest,
    DeleteRecordsRequest,
    DeleteTopicsRequest,
    DescribeAclsRequest,
    DescribeClientQuotasRequest,
    DescribeConfigsRequest,
    ListGroupsRequest,
    ListPartitionReassignmentsRequest,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.commit import OffsetCommitRequest, OffsetFetchRequest
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import (
    AddPartitionsToTxnRequest,
    EndTxnRequest,
    InitProducerIdRequest,
)
from aiokafka.protocol.types import (
    Array,
    Boolean,
    Bytes,
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Schema,
    String,
    TaggedFields,
)
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from deploy.access.quotas import AlterClientQuotas

Codes = dict[str, int | None]
TOPIC, BROKER = 2, 4
_TEXT, _COMPACT = String("utf-8"), CompactString("utf-8")


def raw_request(
    key: int, asked: Schema, answered: Schema, *, flexible: bool = False
) -> Callable[..., Request[Any]]:
    """Return what makes a request in version 0 from the values of its fields."""
    response = type("Answer", (Response,), {"API_KEY": key, "API_VERSION": 0, "SCHEMA": answered})
    struct = type(
        "Asked",
        (RequestStruct,),
        {
            "API_KEY": key,
            "API_VERSION": 0,
            "RESPONSE_TYPE": response,
            "SCHEMA": asked,
            "FLEXIBLE_VERSION": flexible,
        },
    )

    class Raw(Request[struct]):  # type: ignore[valid-type]
        API_KEY: ClassVar[int] = key
        _CLASSES = (struct,)

        def __init__(self, *values: object) -> None:
            self._values = values

        def build(self, request_struct_class: type[Any]) -> Any:
            return request_struct_class(*self._values)

    return Raw


incremental_alter_configs = raw_request(
    44,
    Schema(
        (
            "resources",
            Array(
                ("type", Int8),
                ("name", _TEXT),
                ("configs", Array(("name", _TEXT), ("operation", Int8), ("value", _TEXT))),
            ),
        ),
        ("validate_only", Boolean),
    ),
    Schema(
        ("throttle_time_ms", Int32),
        ("responses", Array(("error_code", Int16), ("message", _TEXT), ("type", Int8), ("name", _TEXT))),
    ),
)
# aiokafka has it too, and reads the answers of its newest version wrongly.
describe_groups = raw_request(
    15,
    Schema(("groups", Array(_TEXT))),
    Schema(
        (
            "groups",
            Array(
                ("error_code", Int16),
                ("group", _TEXT),
                ("state", _TEXT),
                ("protocol_type", _TEXT),
                ("protocol", _TEXT),
                (
                    "members",
                    Array(
                        ("member", _TEXT),
                        ("client", _TEXT),
                        ("host", _TEXT),
                        ("metadata", Bytes),
                        ("assignment", Bytes),
                    ),
                ),
            ),
        ),
    ),
)
elect_leaders = raw_request(
    43,
    Schema(("topics", Array(("topic", _TEXT), ("partitions", Array(Int32)))), ("timeout_ms", Int32)),
    Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            Array(
                ("topic", _TEXT),
                ("partitions", Array(("partition", Int32), ("error_code", Int16), ("message", _TEXT))),
            ),
        ),
    ),
)
describe_scram = raw_request(
    50,
    Schema(("users", CompactArray(("name", _COMPACT), ("tags", TaggedFields))), ("tags", TaggedFields)),
    Schema(("throttle_time_ms", Int32), ("error_code", Int16), ("message", _COMPACT)),
    flexible=True,
)
alter_scram = raw_request(
    51,
    Schema(
        ("deletions", CompactArray(("name", _COMPACT), ("mechanism", Int8), ("tags", TaggedFields))),
        (
            "upsertions",
            CompactArray(
                ("name", _COMPACT),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    ),
    Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(
                ("user", _COMPACT), ("error_code", Int16), ("message", _COMPACT), ("tags", TaggedFields)
            ),
        ),
    ),
    flexible=True,
)
describe_cluster = raw_request(
    60,
    Schema(("include_authorized_operations", Boolean), ("tags", TaggedFields)),
    Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("message", _COMPACT),
        ("cluster_id", _COMPACT),
        ("controller_id", Int32),
        (
            "brokers",
            CompactArray(
                ("id", Int32), ("host", _COMPACT), ("port", Int32), ("rack", _COMPACT), ("tags", TaggedFields)
            ),
        ),
        ("authorized_operations", Int32),
    ),
    flexible=True,
)
consumer_group_heartbeat = raw_request(
    68,
    Schema(
        ("group", _COMPACT),
        ("member", _COMPACT),
        ("epoch", Int32),
        ("instance", _COMPACT),
        ("rack", _COMPACT),
        ("rebalance_timeout_ms", Int32),
        ("topics", CompactArray(_COMPACT)),
        ("assignor", _COMPACT),
        ("owned", CompactArray(Int32)),
        ("tags", TaggedFields),
    ),
    Schema(("throttle_time_ms", Int32), ("error_code", Int16)),
    flexible=True,
)


class OnTopics:
    """What can be tried on topics, all at once on one connection."""

    def __init__(self, connection: AIOKafkaConnection, topics: Sequence[str]) -> None:
        self._send = connection.send
        self._topics = list(topics)

    def operations(self) -> dict[str, Callable[[], Awaitable[Codes]]]:
        """Return every operation by its name."""
        return {
            "produce": self.produce,
            "idempotent produce": self.produce_idempotently,
            "fetch": self.fetch,
            "describe": self.describe,
            "list offsets": self.list_offsets,
            "create": self.create,
            "delete": self.delete,
            "delete records": self.delete_records,
            "alter configs": self.alter_configs,
            "incremental alter configs": self.incremental_alter_configs,
            "describe configs": self.describe_configs,
            "create partitions": self.create_partitions,
        }

    async def produce(self) -> Codes:
        return await self._produce(_batch(-1))

    async def produce_idempotently(self) -> Codes:
        given = await self._send(InitProducerIdRequest(None, 0))
        # Who gets no producer id tries with one that it has made up.
        return await self._produce(_batch(given.producer_id if given.error_code == 0 else 4711))

    async def _produce(self, batch: bytes) -> Codes:
        answer = await self._send(
            ProduceRequest(None, -1, 10_000, [(topic, [(0, batch)]) for topic in self._topics])
        )
        return {topic: parts[0][1] for topic, parts in answer.topics}

    async def fetch(self) -> Codes:
        asked = [(topic, [(0, 0, 65536)]) for topic in self._topics]
        answer = await self._send(FetchRequest(0, 0, 50_000_000, 0, asked))
        found: Codes = dict.fromkeys(self._topics)
        return found | {topic: parts[0][1] for topic, parts in answer.topics}

    async def describe(self) -> Codes:
        named = await self._send(MetadataRequest(self._topics, allow_auto_topic_creation=False))
        found = {topic[1]: topic[0] for topic in named.topics}
        listed = {topic[1] for topic in (await self._send(MetadataRequest(None))).topics}
        allowed = {topic for topic, code in found.items() if code == 0}
        assert allowed == listed & set(self._topics), "the list of topics is not what may be described"
        return found

    async def list_offsets(self) -> Codes:
        answer = await self._send(OffsetRequest(-1, 0, [(topic, [(0, -1)]) for topic in self._topics]))
        return {topic: parts[0][1] for topic, parts in answer.topics}

    async def create(self) -> Codes:
        asked = [(topic, 1, -1, [], []) for topic in self._topics]
        answer = await self._send(CreateTopicsRequest(asked, 10_000, False))
        return {topic: code for topic, code, *_ in answer.topic_errors}

    async def delete(self) -> Codes:
        answer = await self._send(DeleteTopicsRequest(self._topics, 10_000))
        return dict(answer.topic_error_codes)

    async def delete_records(self) -> Codes:
        asked = [(topic, [(0, -1)]) for topic in self._topics]
        answer = await self._send(DeleteRecordsRequest(asked, 10_000))
        return {one[0]: one[1][0][2] for one in answer.topics}

    async def alter_configs(self) -> Codes:
        asked = [(TOPIC, topic, [("retention.ms", "1000")]) for topic in self._topics]
        answer = await self._send(AlterConfigsRequest(asked))
        return {name: code for code, _, _, name in answer.resources}

    async def incremental_alter_configs(self) -> Codes:
        asked = [(TOPIC, topic, [("retention.ms", 0, "1000")]) for topic in self._topics]
        answer = await self._send(incremental_alter_configs(asked, False))
        return {name: code for code, _, _, name in answer.responses}

    async def describe_configs(self) -> Codes:
        answer = await self._send(DescribeConfigsRequest([(TOPIC, topic, None) for topic in self._topics]))
        return {name: code for code, _, _, name, _ in answer.resources}

    async def create_partitions(self) -> Codes:
        asked = [(topic, (9, None)) for topic in self._topics]
        answer = await self._send(CreatePartitionsRequest(asked, 10_000, False))
        return {topic: code for topic, code, _ in answer.topic_errors}


class OnGroups:
    """What can be tried on consumer groups; `topic` is one whose offsets are committed."""

    def __init__(self, connection: AIOKafkaConnection, groups: Sequence[str], topic: str) -> None:
        self._send = connection.send
        self._groups = list(groups)
        self._topic = topic

    def operations(self) -> dict[str, Callable[[], Awaitable[Codes]]]:
        """Return every operation by its name."""
        return {
            "join": self.join,
            "join by the new protocol": self.join_anew,
            "sync": self.sync,
            "heartbeat": self.heartbeat,
            "leave": self.leave,
            "commit offsets": self.commit,
            "fetch offsets": self.fetch,
            "find coordinator": self.find,
            "describe group": self.describe,
            "delete group": self.delete,
        }

    async def join(self) -> Codes:
        return await self._each(
            lambda group: JoinGroupRequest(group, 6000, 6000, "", None, "consumer", [("range", b"")])
        )

    async def join_anew(self) -> Codes:
        topics = [self._topic]
        return await self._each(
            lambda group: consumer_group_heartbeat(
                f"{group}-anew", "AAAAAAAAAAAAAAAAAAAAAA", 0, None, None, 5000, topics, None, [], {}
            )
        )

    async def sync(self) -> Codes:
        return await self._each(lambda group: SyncGroupRequest(group, 1, "nobody", None, []))

    async def heartbeat(self) -> Codes:
        return await self._each(lambda group: HeartbeatRequest(group, 1, "nobody"))

    async def leave(self) -> Codes:
        return await self._each(lambda group: LeaveGroupRequest(group, "nobody"))

    async def commit(self) -> Codes:
        found: Codes = {}
        for group in self._groups:
            asked = [(self._topic, [(0, 0, "")])]
            answer = await self._send(OffsetCommitRequest(group, -1, "", -1, asked))
            found[group] = answer.topics[0][1][0][1]
        return found

    async def fetch(self) -> Codes:
        return await self._each(lambda group: OffsetFetchRequest(group, [(self._topic, [0])]))

    async def find(self) -> Codes:
        return await self._each(lambda group: FindCoordinatorRequest(group, 0))

    async def describe(self) -> Codes:
        answer = await self._send(describe_groups(self._groups))
        return {one[1]: one[0] for one in answer.groups}

    async def delete(self) -> Codes:
        answer = await self._send(DeleteGroupsRequest(self._groups))
        return dict(answer.results)

    async def _each(self, ask: Callable[[str], Request[Any]]) -> Codes:
        return {group: (await self._send(ask(group))).error_code for group in self._groups}


class OnCluster:
    """What can be tried on the cluster as a whole."""

    def __init__(self, connection: AIOKafkaConnection, topic: str) -> None:
        self._send = connection.send
        self._topic = topic

    def operations(self) -> dict[str, Callable[[], Awaitable[int]]]:
        """Return every operation by its name."""
        acl = (TOPIC, self._topic, 3, "User:mallory", "*", 3, 3)
        txn = "mallory's transaction"

        def code(answer: Any) -> int:
            found: int = answer.error_code
            return found

        return {
            "describe acls": self._try(DescribeAclsRequest(1, None, 1, None, None, 1, 1), code),
            "create acls": self._try(CreateAclsRequest(*acl), lambda answer: answer.creation_responses[0][0]),
            "delete acls": self._try(DeleteAclsRequest(*acl), lambda answer: answer.filter_responses[0][0]),
            "describe scram users": self._try(describe_scram([("mallory", {})], {}), code),
            "alter scram users": self._try(
                alter_scram([], [("mallory", 2, 4096, b"salt" * 4, b"p" * 64, {})], {}),
                lambda answer: answer.results[0][1],
            ),
            "describe quotas": self._try(DescribeClientQuotasRequest([("user", 2, None)], True), code),
            "alter quotas": self._try(
                AlterClientQuotas({"mallory": {"producer_byte_rate": 1.0}}),
                lambda answer: answer.entries[0][0],
            ),
            "describe broker configs": self._try(
                DescribeConfigsRequest([(BROKER, "1", None)]), lambda answer: answer.resources[0][0]
            ),
            "alter broker configs": self._try(
                incremental_alter_configs([(BROKER, "1", [("log.retention.ms", 0, "1000")])], False),
                lambda answer: answer.responses[0][0],
            ),
            "elect leaders": self._try(
                elect_leaders([(self._topic, [0])], 1000), lambda answer: answer.results[0][1][0][1]
            ),
            "list reassignments": self._try(ListPartitionReassignmentsRequest(1000, None, {}), code),
            "init transactional id": self._try(InitProducerIdRequest(txn, 1000), code),
            "find transaction coordinator": self._try(FindCoordinatorRequest(txn, 1), code),
            "add partitions to transaction": self._try(
                AddPartitionsToTxnRequest(txn, 1, 0, [(self._topic, [0])]),
                lambda answer: answer.errors[0][1][0][1],
            ),
            "end transaction": self._try(EndTxnRequest(txn, 1, 0, True), code),
        }

    def _try(self, request: Request[Any], code_of: Callable[[Any], int]) -> Callable[[], Awaitable[int]]:
        async def tried() -> int:
            return code_of(await self._send(request))

        return tried

    async def init_producer_id(self) -> int:
        code: int = (await self._send(InitProducerIdRequest(None, 0))).error_code
        return code

    async def list_groups(self) -> set[str]:
        answer = await self._send(ListGroupsRequest())
        assert answer.error_code == 0
        return {group for group, _ in answer.groups}

    async def describe_cluster(self) -> tuple[int, int]:
        """Return the error code, and the operations on the cluster that are allowed, as bits."""
        answer = await self._send(describe_cluster(True, {}))
        return answer.error_code, answer.authorized_operations


def _batch(producer_id: int) -> bytes:
    """Return one record in a batch; with a producer id it is the first of an idempotent producer."""
    idempotent = producer_id >= 0
    builder = DefaultRecordBatchBuilder(
        2, 0, 0, producer_id, 0 if idempotent else -1, 0 if idempotent else -1, 65536
    )
    builder.append(0, 1, b"key", b"value", [])
    return bytes(builder.build())
