"""An initial password is mailed once, spent at the first sign-in, and never accepted again."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

from argon2 import PasswordHasher

from shared.messages.aggregation import ContactRecorded, CredentialAssigned
from shared.messages.people import PasswordChosen, PasswordSpent, PersonErased, SpendPassword
from tests.memory import MemoryKafka
from tests.service.portal.conftest import Visiting
from tests.service.portal.test_portal_orders import COORDINATOR, PURCHASE, a_group

EMAIL = "ada@harbour.example"
INITIAL = "0123456789ABCDEFGHJKMNPQRS"
OWN = "nine green bottles on a wall"
FAST = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


async def a_coordinator(kafka: MemoryKafka, *, expires: timedelta = timedelta(hours=72)) -> None:
    await a_group(kafka, spent=False)
    kafka.event(ContactRecorded(person_id=COORDINATOR, name="Ada", email=EMAIL))
    kafka.event(
        CredentialAssigned(
            person_id=COORDINATOR,
            purchase_id=PURCHASE,
            number=1,
            state="assigned",
            verifier=FAST.hash(INITIAL),
            sealed_password="",
            expires_at=datetime.now(UTC) + expires,
        )
    )
    await kafka.settle()


async def test_the_first_sign_in_spends_the_initial_password_and_chooses_another(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_coordinator(kafka)
    answer = await visiting.post("/sessions", {"email": EMAIL, "password": INITIAL, "new_password": OWN})
    assert answer.status_code == 201
    await kafka.settle()
    [order] = kafka.messages("aggregation.commands")
    assert isinstance(order, SpendPassword)
    assert FAST.verify(order.verifier or "", OWN)
    assert INITIAL not in str(kafka.topics)
    assert OWN not in str(kafka.topics)
    again = await visiting.post("/sessions", {"email": EMAIL, "password": INITIAL, "new_password": OWN})
    assert again.status_code == 401


async def test_of_those_who_spend_it_at_once_one_comes_in(kafka: MemoryKafka, visiting: Visiting) -> None:
    await a_coordinator(kafka)
    body = {"email": EMAIL, "password": INITIAL, "new_password": OWN}
    answers = await asyncio.gather(*(visiting.post("/sessions", body) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 401, 401, 401]


async def test_what_is_unknown_wrong_or_expired_is_answered_alike(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_coordinator(kafka, expires=timedelta(seconds=-1))
    answers = [
        await visiting.post("/sessions", body)
        for body in (
            {"email": EMAIL, "password": INITIAL, "new_password": OWN},
            {"email": EMAIL, "password": "X" * 26, "new_password": OWN},
            {"email": EMAIL, "password": "not my password"},
            {"email": "nobody@nowhere.example", "password": "not my password"},
            {"email": "nobody@nowhere.example", "password": INITIAL},
        )
    ]
    assert {(answer.status_code, answer.text) for answer in answers} == {(401, answers[0].text)}


async def test_a_chosen_password_signs_in_and_the_spent_one_no_more(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_coordinator(kafka)
    kafka.event(PasswordSpent(person_id=COORDINATOR, purchase_id=PURCHASE, number=1))
    kafka.event(PasswordChosen(person_id=COORDINATOR, number=1, verifier=FAST.hash(OWN)))
    await kafka.settle()
    assert (await visiting.post("/sessions", {"email": EMAIL.upper(), "password": OWN})).status_code == 201
    assert (await visiting.post("/sessions", {"email": EMAIL, "password": INITIAL})).status_code == 401


async def test_too_many_attempts_at_one_address_are_stopped_known_or_not(visiting: Visiting) -> None:
    for email in (EMAIL, "nobody@nowhere.example"):
        answers = [await visiting.post("/sessions", {"email": email, "password": "wrong"}) for _ in range(12)]
        assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2
        assert answers[-1].headers["Retry-After"] == "900"


async def test_the_coordinator_closes_nothing_before_the_initial_password_is_spent(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_coordinator(kafka)
    asking = await visiting.signed_in(COORDINATOR)
    answer = await visiting.post(f"/purchases/{PURCHASE}/close-group", {}, asking)
    assert (answer.status_code, answer.json()["reason"]) == (403, "initial_password_unspent")
    signed = await visiting.post("/sessions", {"email": EMAIL, "password": INITIAL, "new_password": OWN})
    asking = {"Authorization": f"Bearer {signed.json()['token']}"}
    assert (await visiting.post(f"/purchases/{PURCHASE}/close-group", {}, asking)).status_code == 202
    assert UUID(signed.json()["person_id"]) == COORDINATOR


async def test_a_cookie_alone_changes_nothing(kafka: MemoryKafka, visiting: Visiting) -> None:
    await a_coordinator(kafka)
    body = {"email": EMAIL, "password": INITIAL, "new_password": OWN, "cookie": True}
    signed = await visiting.post("/sessions", body)
    assert signed.json()["token"] is None
    assert "HttpOnly" in signed.headers["Set-Cookie"]
    path = f"/purchases/{PURCHASE}/dissolve-group"
    assert (await visiting.get("/me")).status_code == 200
    assert (await visiting.post(path, {"reason": "No."})).status_code == 401
    assert (await visiting.post(path, {"reason": "No."}, {"X-Linepool": "1"})).status_code == 202


async def test_who_is_erased_stays_so_where_no_tombstone_is_left_and_older_words_come_late(
    kafka: MemoryKafka, visiting: Visiting
) -> None:
    await a_coordinator(kafka)
    headers = await visiting.signed_in(COORDINATOR)
    kafka.event(PersonErased(person_id=COORDINATOR))
    await kafka.settle()
    kafka.event(ContactRecorded(person_id=COORDINATOR, name="Ada", email=EMAIL))
    kafka.event(PasswordChosen(person_id=COORDINATOR, number=1, verifier=FAST.hash(OWN)))
    await kafka.settle()
    assert (await visiting.get("/me", headers)).status_code == 401
    answer = await visiting.post("/sessions", {"email": EMAIL, "password": OWN})
    assert answer.status_code == 401
    tables = await visiting.portal.tables()
    assert tables["accounts"] == tables["credentials"] == tables["sessions"] == []
