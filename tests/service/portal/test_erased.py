"""Whoever was erased and comes again is somebody new."""

from uuid import UUID

from shared.messages.aggregation import ContactRecorded, OpenGroup
from shared.messages.people import ContactErased, PersonErased
from tests.memory import MemoryKafka
from tests.service.portal.conftest import Visiting

EMAIL = "ada@harbour.example"


async def opened(kafka: MemoryKafka, visiting: Visiting) -> UUID:
    """Open a group under the address; return the person whom the order names."""
    contact = {"name": "Ada", "email": EMAIL}
    body = {"name": "Harbour towns", "currency": "EUR", "tax_basis": "net", "contact": contact}
    assert (await visiting.post("/purchases", body)).status_code == 202
    await kafka.settle()
    order = kafka.messages("aggregation.commands")[-1]
    assert isinstance(order, OpenGroup)
    return order.contact.person_id


async def test_an_address_of_somebody_who_was_erased_belongs_to_a_new_person(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    first = await opened(kafka, visiting)
    kafka.event(ContactRecorded(person_id=first, name="Ada", email=EMAIL))
    await kafka.settle()
    assert await opened(kafka, visiting) == first
    kafka.event(PersonErased(person_id=first))
    kafka.event(ContactErased(person_id=first))
    await kafka.settle()
    second = await opened(kafka, visiting)
    assert second != first
    assert await opened(kafka, visiting) == second
