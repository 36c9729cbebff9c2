"""Orders go out with who gave them, and are answered with what they led to."""

from uuid import UUID, uuid4

from shared.envelope import read_headers
from shared.messages.aggregation import BuyerJoined, CloseGroupRefused, GroupOpened, Identifier
from shared.messages.people import PasswordSpent
from tests.memory import MemoryKafka
from tests.service.portal.conftest import Visiting

COORDINATOR, MEMBER, PURCHASE, BUYER = (UUID(int=n) for n in range(1, 5))


async def a_group(kafka: MemoryKafka, *, spent: bool = True) -> None:
    kafka.event(
        GroupOpened(
            purchase_id=PURCHASE,
            name="Harbour towns",
            currency="EUR",
            tax_basis="net",
            coordinator_id=COORDINATOR,
        ),
        sequence=1,
    )
    kafka.event(
        BuyerJoined(
            purchase_id=PURCHASE,
            buyer_id=BUYER,
            legal_name="Port Ltd",
            identifiers=(Identifier(scheme="GB-COH", id="01234567"),),
            contact_id=MEMBER,
        ),
        sequence=2,
    )
    if spent:
        kafka.event(PasswordSpent(person_id=COORDINATOR, purchase_id=PURCHASE, number=1))
    await kafka.settle()


async def test_the_coordinator_s_order_goes_out_with_who_gave_it(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_group(kafka)
    asking = await visiting.signed_in(COORDINATOR)
    answer = await visiting.post(f"/purchases/{PURCHASE}/close-group", {}, asking)
    assert answer.status_code == 202
    await kafka.settle()
    [record] = kafka.topics["aggregation.commands"]
    received = read_headers(record.headers)
    assert received.type == "linepool.close-group.v1"
    assert received.actor is not None
    assert (received.actor.person_id, received.actor.role) == (COORDINATOR, "coordinator")
    assert received.id == answer.json()["order_id"]


async def test_a_refusal_is_told_to_whoever_gave_the_order_and_to_nobody_else(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_group(kafka)
    asking = await visiting.signed_in(COORDINATOR)
    order_id = (await visiting.post(f"/purchases/{PURCHASE}/close-group", {}, asking)).json()["order_id"]
    await kafka.settle()
    refused = CloseGroupRefused(
        purchase_id=PURCHASE,
        command_id=UUID(order_id),
        reason="usage_missing",
        detail="A buyer has not reported.",
    )
    kafka.event(refused, causation=UUID(order_id))
    await kafka.settle()
    answer = await visiting.get(f"/orders/{order_id}", asking)
    assert (answer.status_code, answer.json()["reason"]) == (409, "usage_missing")
    assert (await visiting.get(f"/orders/{order_id}", await visiting.signed_in(MEMBER))).status_code == 404


async def test_a_member_may_not_give_the_coordinator_s_orders_and_a_stranger_sees_no_purchase(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_group(kafka)
    path = f"/purchases/{PURCHASE}/close-group"
    assert (await visiting.post(path, {}, await visiting.signed_in(MEMBER))).status_code == 403
    assert (await visiting.post(path, {}, await visiting.signed_in(uuid4()))).status_code == 404
    assert (await visiting.post(path, {})).status_code == 401
    assert not kafka.topics["aggregation.commands"]


async def test_the_same_key_is_the_same_order(kafka: MemoryKafka, visiting: Visiting) -> None:
    await a_group(kafka)
    asking = {**await visiting.signed_in(COORDINATOR), "Idempotency-Key": "close it"}
    path = f"/purchases/{PURCHASE}/close-group"
    first, second = [(await visiting.post(path, {}, asking)).json()["order_id"] for _ in range(2)]
    await kafka.settle()
    assert first == second
    assert len(kafka.topics["aggregation.commands"]) == 1
    other = await visiting.post(f"/purchases/{PURCHASE}/dissolve-group", {"reason": "Too few."}, asking)
    assert (other.status_code, other.json()["reason"]) == (409, "key_reused")
