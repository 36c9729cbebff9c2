"""People come in and stay reachable: links, codes and passwords out of real mails, through the portal's API, to all services."""

import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID, uuid4

import pytest

from shared.envelope import Actor
from shared.messages.aggregation import (
    AddBuyerRefused,
    BuyerJoined,
    CloseGroup,
    DissolveGroup,
    GroupDissolved,
    MinimumMissed,
    SetMinimum,
)
from shared.messages.people import (
    AddressConfirmed,
    ErasePerson,
    InvitationRevoked,
    InviteBuyer,
    RenewInvitation,
    RevokeInvitation,
)
from tests.flow.judged import judged, mails_to
from tests.flow.pace import soon
from tests.flow.purchase import Purchase, bid, conclude, issue, register, verify
from tests.flow.system import PORTAL_URL, Parts, System, five_services
from tests.flow.visiting import Visitor, visiting

AIKO, BRIO, CORA = "aikoaikoaiko", "briobriobrio", "coracoracora"
OWN, OTHER = "nine green bottles on a wall", "eight green bottles on a wall"


@dataclass(frozen=True)
class WithInvited(Purchase):
    """A purchase whose last buyer joins by a link, under an id of its own."""

    invitation_id: UUID = field(default_factory=uuid4)
    joined_as: UUID | None = None

    def buyer(self, number: int) -> UUID:
        if number == self.buyers and self.joined_as is not None:
            return self.joined_as
        return super().buyer(number)

    def inviting(self) -> InviteBuyer:
        return InviteBuyer(
            purchase_id=self.purchase_id,
            invitation_id=self.invitation_id,
            legal_name=f"Town {self.buyers}",
            contact=self.contact(self.buyers),
        )


LINK = rf"^    {re.escape(PORTAL_URL)}/join/([0-9A-Z]{{26}})$"
PASSWORD = r"^    ([0-9A-Z]{26})$"
CODE = r"^    ([0-9A-Z]{8})$"


async def open_and_sign_in(system: System, visitor: Visitor, purchase: Purchase) -> str:
    """Open the group, and let its coordinator in; return the initial password."""
    await system.order(purchase.opening(), purchase.coordinator)
    email = purchase.contact(0).email
    initial = await visitor.mailed(email, PASSWORD)
    await visitor.sign_in(email, initial, new_password=OWN)
    return initial


def mails_by_subject(parts: Parts, purchase: Purchase, *also_to: str) -> Counter[tuple[str, str]]:
    """Count the mails to a purchase's people by address and subject; a mail that came twice is counted twice."""
    found = Counter[tuple[str, str]]()
    for mail in mails_to(parts, purchase, also_to=also_to):
        subject = re.search(rb"^Subject: (.*)\r?$", mail.raw, re.MULTILINE)
        assert subject is not None
        found[min(mail.addresses), subject[1].decode().strip().rpartition("] ")[2]] += 1
    return found


@pytest.mark.parametrize("seed", [None, 1, 2])
async def test_an_invited_buyer_joins_by_the_link_in_its_mail_and_takes_part_to_the_end(
    system: System, parts: Parts, visitor: Visitor, seed: int | None
) -> None:
    if seed is not None:
        parts.kafka.random = Random(seed)  # noqa: S311 # an order to repeat, no secret
        parts.kafka.in_pieces = True
        parts.kafka.copies = seed
    purchase = WithInvited((AIKO, BRIO, CORA))
    invited = purchase.contact(2).email
    await register(system, AIKO, BRIO, CORA)
    await system.order(purchase.opening(), purchase.coordinator)
    await system.order(purchase.joining(1), purchase.coordinator)
    await system.order(purchase.inviting(), purchase.coordinator)

    link = {"secret": await visitor.mailed(invited, LINK)}
    assert (await visitor.ask("POST", "/invitations/look", link, status=200))["legal_name"] == "Town 2"
    names = {
        "legal_name": "Town 2",
        "identifiers": [one.model_dump() for one in purchase.joining(2).identifiers],
    }
    accepted = await visitor.ask(
        "POST", "/invitations/accept", {**link, **names, "new_password": OWN}, status=202
    )
    purchase = replace(purchase, joined_as=UUID(accepted["buyer_id"]))
    joined = await system.until(
        BuyerJoined, purchase.purchase_id, where=lambda one: one.contact_id == purchase.person(2)
    )
    assert joined.buyer_id == purchase.buyer(2)
    await visitor.ask("POST", "/invitations/accept", {**link, **names, "new_password": OWN}, status=404)

    for number in (1, 2):
        for part in (1, 2):
            await system.order(purchase.reporting(number, part), purchase.coordinator)
    await system.order(CloseGroup(purchase_id=purchase.purchase_id), purchase.coordinator)
    snapshot = await issue(system, purchase, datetime.now(UTC) + timedelta(seconds=2 * soon()))
    await verify(system, purchase, snapshot)
    await bid(system, purchase)
    await conclude(system, purchase)
    await system.rest()

    told = mails_by_subject(parts, purchase)
    assert {subject: count for (to, subject), count in told.items() if to == invited} == {
        "Your organisation is invited": 1,
        "Town 2 has joined": 1,
        "The group is verified": 1,
        "The request is with the providers": 1,
        "The replies are compared": 1,
        "The purchase is complete": 1,
    }
    report = await judged(parts, purchase)
    assert report.ok, str(report)
    assert report.of("I6").outcome == "ok", str(report)


async def test_a_renewed_link_replaces_the_one_before_and_a_revoked_one_joins_nobody(
    system: System, parts: Parts, visitor: Visitor
) -> None:
    purchase = WithInvited((AIKO, BRIO))
    about = {"purchase_id": purchase.purchase_id, "invitation_id": purchase.invitation_id}
    invited = purchase.contact(2).email
    await system.order(purchase.opening(), purchase.coordinator)
    await system.order(purchase.inviting(), purchase.coordinator)
    first = await visitor.mailed(invited, LINK)
    await system.services["aggregation"].pool.execute(
        "UPDATE invitations SET assigned_at = assigned_at - interval '2 minutes'"
    )

    await system.order(RenewInvitation.model_validate(about), purchase.coordinator)
    second = await visitor.mailed(invited, LINK, but=first)
    await visitor.ask("POST", "/invitations/look", {"secret": first}, status=404)
    await visitor.ask("POST", "/invitations/look", {"secret": second}, status=200)
    await system.order(RevokeInvitation.model_validate(about), purchase.coordinator)
    await system.until(InvitationRevoked, purchase.purchase_id)

    await visitor.ask("POST", "/invitations/look", {"secret": second}, status=404)
    report = await judged(parts, purchase)
    assert report.ok, str(report)


async def test_a_reissued_password_lets_its_person_in_and_the_change_is_told(
    system: System, parts: Parts, visitor: Visitor
) -> None:
    purchase = Purchase((AIKO, BRIO))
    email = purchase.contact(0).email
    initial = await open_and_sign_in(system, visitor, purchase)
    await system.services["aggregation"].pool.execute(
        "UPDATE credentials SET assigned_at = assigned_at - interval '2 minutes'"
    )

    await visitor.ask("POST", "/password/reissue", {"email": email}, status=202)
    again = await visitor.mailed(email, PASSWORD, but=initial)
    await visitor.sign_in(email, again, new_password=OTHER)

    told = mails_by_subject(parts, purchase)
    assert {subject: count for (_, subject), count in told.items()} == {
        "Your initial password": 1,
        "Your new initial password": 1,
        "Your password was changed": 1,
    }
    del visitor.client.headers["Authorization"]
    for password in (initial, again, OWN):
        await visitor.ask("POST", "/sessions", {"email": email, "password": password}, status=401)
    await visitor.sign_in(email, OTHER)
    report = await judged(parts, purchase)
    assert report.ok, str(report)


async def change_address(system: System, visitor: Visitor, purchase: Purchase, new: str) -> None:
    """Ask for another address as the coordinator, and confirm it by the code that is mailed there."""
    wanted = {"name": "Ann Example", "email": new, "phone": None}
    await visitor.ask("PUT", "/me/contact", wanted, status=202)
    code = await visitor.mailed(new, CODE)
    await visitor.ask("POST", "/me/address", {"code": "0" * 8}, status=403)
    await visitor.ask("POST", "/me/address", {"code": code}, status=202)
    await system.until(AddressConfirmed, purchase.person(0))
    await system.rest()


@pytest.mark.parametrize("seed", range(4))
async def test_a_changed_address_counts_once_its_code_came_back_and_both_addresses_are_told(
    system: System, parts: Parts, visitor: Visitor, seed: int
) -> None:
    parts.kafka.random = Random(seed)  # noqa: S311 # an order to repeat, no secret
    parts.kafka.in_pieces = True
    parts.kafka.copies = 1 + seed % 2
    purchase = Purchase((AIKO, BRIO))
    old, new = purchase.contact(0).email, f"new{uuid4().hex[:12]}@example.org"
    await open_and_sign_in(system, visitor, purchase)

    await change_address(system, visitor, purchase, new)
    giving_up = DissolveGroup(purchase_id=purchase.purchase_id, reason="Nobody came.")
    await system.order(giving_up, purchase.coordinator)
    await system.until(GroupDissolved, purchase.purchase_id)
    await system.rest()

    assert mails_by_subject(parts, purchase, new) == {
        (old, "Your initial password"): 1,
        (new, "Confirm your address"): 1,
        (old, "Your mail address was changed"): 1,
        (new, "Your mail address was changed"): 1,
        (new, "The group is given up"): 1,
    }
    report = await judged(parts, purchase, also_to=(new,))
    assert report.ok, str(report)


@pytest.mark.parametrize("otherwise", ["coordinator_decides", "dissolve"])
async def test_a_missed_minimum_is_told_to_everyone_with_what_happens_now(
    system: System, parts: Parts, otherwise: str
) -> None:
    purchase = Purchase((AIKO, BRIO))
    needed = SetMinimum.model_validate(
        {
            "purchase_id": purchase.purchase_id,
            "buyers": 5,
            "decide_by": datetime.now(UTC) + timedelta(seconds=3),
            "otherwise": otherwise,
        }
    )
    await system.order(purchase.opening(), purchase.coordinator)
    await system.order(purchase.joining(1), purchase.coordinator)
    await system.order(needed, purchase.coordinator)
    await system.until(MinimumMissed, purchase.purchase_id)
    await system.rest()

    told = mails_by_subject(parts, purchase)
    news = {
        "coordinator_decides": "The group is smaller than it had to become",
        "dissolve": "The group is given up",
    }
    for number in (0, 1):
        to = purchase.contact(number).email
        assert {kind: told[to, subject] for kind, subject in news.items()} == {
            kind: int(kind == otherwise) for kind in news
        }
    report = await judged(parts, purchase)
    assert report.ok, str(report)


async def test_a_restored_database_mails_nothing_again_and_to_nobody_else(
    parts: Parts, postgres_copy: Callable[[str], Awaitable[str]]
) -> None:
    purchase = WithInvited((AIKO, BRIO))
    new = f"new{uuid4().hex[:12]}@example.org"
    async with five_services(parts) as system, visiting(system, parts) as visitor:
        await open_and_sign_in(system, visitor, purchase)
        await system.rest()
    copy = await postgres_copy(parts.dsn)
    async with five_services(parts) as system, visiting(system, parts) as visitor:
        await visitor.sign_in(purchase.contact(0).email, OWN)
        await system.order(purchase.inviting(), purchase.coordinator)
        await visitor.mailed(purchase.contact(2).email, LINK)
        await change_address(system, visitor, purchase, new)
    topics, sent = parts.kafka.records(), mails_by_subject(parts, purchase, new)

    async with five_services(replace(parts, dsn=copy)) as system:
        await system.rest()

    for topic, records in parts.kafka.records().items():
        assert set(records) == set(topics[topic]), topic
    assert mails_by_subject(parts, purchase, new) == sent
    report = await judged(replace(parts, dsn=copy), purchase, also_to=(new,))
    assert report.ok, str(report)


async def test_the_whole_log_again_mails_nothing_again(
    system: System, parts: Parts, visitor: Visitor
) -> None:
    purchase = WithInvited((AIKO, BRIO))
    new = f"new{uuid4().hex[:12]}@example.org"
    await open_and_sign_in(system, visitor, purchase)
    await system.order(purchase.inviting(), purchase.coordinator)
    await visitor.mailed(purchase.contact(2).email, LINK)
    await change_address(system, visitor, purchase, new)
    topics, sent = parts.kafka.records(), mails_by_subject(parts, purchase, new)

    for service in system.services.values():
        await service.pool.execute("TRUNCATE inbox, positions")
        service.rewind()
    await system.rest()

    assert parts.kafka.records() == topics
    assert mails_by_subject(parts, purchase, new) == sent


async def test_an_erased_person_gets_no_mail_signs_in_no_more_and_is_named_no_more(
    system: System, parts: Parts, visitor: Visitor
) -> None:
    purchase, other = Purchase((AIKO,)), Purchase((AIKO,))
    await open_and_sign_in(system, visitor, purchase)
    person = purchase.coordinator
    await system.order(
        DissolveGroup(purchase_id=purchase.purchase_id, reason="Too few."), purchase.coordinator
    )
    await system.rest()
    sent = mails_by_subject(parts, purchase)
    await system.order(ErasePerson(person_id=person.person_id), Actor(person_id=uuid4(), role="operator"))
    await system.rest()

    body = {"email": purchase.contact(0).email, "password": OWN}
    await visitor.ask("GET", "/me", status=401)
    await visitor.ask("POST", "/sessions", body, status=401)
    await system.order(other.opening(), other.coordinator)
    naming = other.joining(1).model_copy(update={"contact": purchase.contact(0)})
    await system.order(naming, other.coordinator)
    await system.rest()
    refused = await system.until(AddBuyerRefused, other.purchase_id)
    assert refused.reason == "person_erased"
    assert mails_by_subject(parts, purchase) == sent
    for name, service in system.services.items():
        kept = json.dumps(await service.tables())
        assert purchase.contact(0).email not in kept, name
    report = await judged(parts, purchase, other)
    assert report.ok, str(report)
