"""One's own password and second factor: whoever changes them is told what came of it, and whoever forgot it gets another."""

from uuid import UUID

from shared.messages.aggregation import ContactRecorded
from shared.messages.people import PasswordChosen, ReissuePassword, SecondFactorSet
from tests.memory import MemoryKafka
from tests.service.portal.conftest import Visiting
from tests.service.portal.test_portal_orders import COORDINATOR, MEMBER, PURCHASE, a_group
from tests.service.portal.test_roles import STRANGER
from tests.service.portal.test_sign_in import FAST, OWN, a_coordinator

OTHER = "eight green bottles on a wall"


async def test_a_changed_password_is_an_outcome_that_shows_nothing_of_it(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_coordinator(kafka)
    kafka.event(PasswordChosen(person_id=COORDINATOR, number=1, verifier=FAST.hash(OWN)))
    await kafka.settle()
    asking = await visiting.signed_in(COORDINATOR)
    body = {"current": OWN, "new_password": OTHER}
    order_id = (await visiting.post("/password", body, asking)).json()["order_id"]
    assert (await visiting.get(f"/orders/{order_id}", asking)).status_code == 202
    changed = PasswordChosen(person_id=COORDINATOR, number=2, verifier=FAST.hash(OTHER))
    kafka.event(changed, causation=UUID(order_id))
    await kafka.settle()
    answer = await visiting.get(f"/orders/{order_id}", asking)
    assert (answer.status_code, answer.json()) == (200, {"order_id": order_id, "facts": []})


async def test_an_order_of_somebody_else_is_no_outcome_of_one_s_own(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_coordinator(kafka)
    asking = await visiting.signed_in(COORDINATOR)
    order_id = (await visiting.post("/me/address-code", {}, asking)).json()["order_id"]
    kafka.event(SecondFactorSet(person_id=MEMBER, number=1, state="enabled"))
    await kafka.settle()
    assert (await visiting.get(f"/orders/{order_id}", asking)).status_code == 202


async def test_a_member_who_joined_by_a_link_and_forgot_the_password_gets_an_initial_one(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_group(kafka)
    kafka.event(ContactRecorded(person_id=MEMBER, name="Bea", email="bea@harbour.example"))
    kafka.event(ContactRecorded(person_id=STRANGER, name="Cor", email="cor@harbour.example"))
    await kafka.settle()
    for email in ("bea@harbour.example", "cor@harbour.example"):
        assert (await visiting.post("/password/reissue", {"email": email})).status_code == 202
    await kafka.settle()
    assert kafka.messages("aggregation.commands") == [ReissuePassword(purchase_id=PURCHASE)]
