"""One purchase by `grant` on the real stack: people by their client, providers by their kit, each with its own login."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from linepool.client.people import People, open_people
from linepool.provider import Bundle, Provider, RejectedError, open_provider
from linepool.provider.inbox import Folder, write_notices
from linepool.provider.verifying import verify_receipt
from shared.messages.base import PART_BYTES
from shared.messages.bidding import (
    InclusionProved,
    QuestionReceived,
    RepliesCompared,
    RepliesOpened,
    TermsAccepted,
    TermsPresented,
)
from shared.messages.distribution import AccessOffered, AnswerPresented
from shared.messages.rfp import DocumentAttached, RequestIssued, SuspendProvider
from tests.flow.purchase import OPERATOR, Purchase, an_offer, form, register, verify
from tests.integration.bundles import bundle
from tests.integration.system import FACING_PROVIDERS, PROVIDERS, UNLISTED, RealSystem

AIKO, BRIO, CORA = PROVIDERS
PLAN = b"floor,lines\n" + b"1,2\n" * (PART_BYTES // 4)
"""A document of two parts."""
QUESTION, RESTATED, ANSWER = "We own the next house: which floors?", "Which floors?", "The first."
WITHIN = 120.0


@pytest.fixture
async def people(system: RealSystem) -> AsyncIterator[People]:
    async with open_people(system.connections["portal"]) as opened:
        yield opened


@pytest.fixture
async def providers(system: RealSystem, tmp_path: Path) -> AsyncIterator[dict[str, Provider]]:
    async with AsyncExitStack() as stack:
        yield {
            pid: await stack.enter_async_context(
                open_provider(Bundle.read(bundle(system, pid, tmp_path / pid)))
            )
            for pid in (*PROVIDERS, UNLISTED)
        }


async def issue(system: RealSystem, people: People, purchase: Purchase) -> str:
    by, about = purchase.coordinator, purchase.purchase_id
    ahead = timedelta(seconds=20 + 2 * system.soon()) if purchase.mode == "grant" else timedelta(days=1)
    need = purchase.describing(datetime.now(UTC) + ahead)
    await people.describe_need(
        by,
        about,
        title=need.title,
        description=need.description,
        services=need.services,
        places=need.places,
        deadline=need.deadline,
        contract_months=need.contract_months,
        mode=purchase.mode,
    )
    *_, last = await people.attach_document(by, about, name="Plan.csv", content=PLAN)
    attached = await people.outcome(last, within=WITHIN)
    assert [type(event) for event in attached.events] == [DocumentAttached]
    await people.set_provider_list(by, about, provider_ids=purchase.providers)
    issued = await people.outcome(await people.issue_request(by, about), within=WITHIN)
    (snapshot,) = [event.snapshot for event in issued.events if isinstance(event, RequestIssued)]
    return snapshot


async def ask_and_answer(people: People, purchase: Purchase, providers: dict[str, Provider]) -> None:
    request = await providers[AIKO].request(purchase.purchase_id)
    await providers[AIKO].receipt(await providers[AIKO].ask(request, QUESTION), within=WITHIN)
    asked = await people.journal.wait_for(
        lambda entry: entry.says(QuestionReceived, purchase.purchase_id), within=WITHIN
    )
    order = await people.answer_question(
        purchase.coordinator,
        purchase.purchase_id,
        question_id=asked.question_id,
        answer=ANSWER,
        restated=RESTATED,
    )
    assert (await people.outcome(order, within=WITHIN)).refused is None
    for pid in purchase.providers:
        answer = await providers[pid].journal.wait_for(
            lambda entry: entry.says(AnswerPresented, purchase.purchase_id), within=WITHIN
        )
        assert (answer.question, answer.answer) == (RESTATED, ANSWER)


async def offered(provider: Provider, purchase: Purchase) -> AccessOffered:
    return await provider.offered(purchase.purchase_id, within=WITHIN)


@pytest.mark.timeout(500)
async def test_a_purchase_by_grant_runs_from_its_group_to_accepted_terms(
    system: RealSystem, people: People, providers: dict[str, Provider], tmp_path: Path
) -> None:
    purchase = Purchase(PROVIDERS, mode="grant")
    about = purchase.purchase_id
    await form(system, purchase)
    snapshot = await issue(system, people, purchase)
    await verify(system, purchase, snapshot)

    offer = await offered(providers[AIKO], purchase)
    with pytest.raises(RejectedError, match="unknown_purchase"):
        await providers[UNLISTED].granted(
            offer, await providers[UNLISTED].ask_for_access(offer), within=WITHIN
        )
    for pid in PROVIDERS:
        provider = providers[pid]
        own = await offered(provider, purchase)
        request = await provider.granted(own, await provider.ask_for_access(own), within=WITHIN)
        assert request.documents["Plan.csv"] == PLAN
        await provider.receipt(await provider.acknowledge(request), within=WITHIN)
    await ask_and_answer(people, purchase, providers)

    first = await providers[AIKO].request(about)
    await providers[AIKO].receipt(await providers[AIKO].submit(first, an_offer("0.10")), within=WITHIN)
    sent = providers[AIKO].reply(first, an_offer("0.09"), revision=2)
    stands = await providers[AIKO].receipt(await providers[AIKO].send(sent), within=WITHIN)
    second = await providers[BRIO].request(about)
    taken = await providers[BRIO].receipt(
        await providers[BRIO].submit(second, an_offer("0.08")), within=WITHIN
    )
    await providers[BRIO].receipt(await providers[BRIO].withdraw(second, taken), within=WITHIN)
    await providers[CORA].receipt(await providers[CORA].decline(about, reason="No network."), within=WITHIN)

    opened = await system.until(RepliesOpened, about, within=300)
    assert {(one.provider_id, one.revision): one.standing for one in opened.replies} == {
        (AIKO, 1): "replaced",
        (AIKO, 2): "evaluated",
        (BRIO, 1): "withdrawn",
    }
    assert opened.declined == (CORA,)
    assert {one.provider_id for one in opened.acknowledged} == set(PROVIDERS)
    compared = await system.until(RepliesCompared, about)
    selecting = await people.select_reply(
        purchase.coordinator, about, reply_id=compared.replies[0].reply_id, reason_for_others="It costs less."
    )
    assert (await people.outcome(selecting, within=WITHIN)).refused is None
    award = await providers[AIKO].award(about, within=WITHIN)
    await providers[AIKO].propose_terms(about, award=award.award, title="Terms", text="30 days.")
    terms = await system.until(TermsPresented, about)
    await people.accept_terms(purchase.coordinator, about, award=1, terms_sha256=terms.terms_sha256)
    await system.until(TermsAccepted, about)
    assert (await providers[AIKO].acceptance(about, within=WITHIN)).terms_sha256 == terms.terms_sha256

    await providers[AIKO].journal.wait_for(lambda entry: entry.says(InclusionProved, about), within=WITHIN)
    kept = Folder(tmp_path / "inbox" / "request")
    kept.keep_reply(2, sent.to_bytes())
    receipt = kept.keep_answer(2, stands.to_bytes())
    write_notices(tmp_path / "inbox", providers[AIKO].journal.entries)
    finding = await asyncio.to_thread(verify_receipt, providers[AIKO].bundle, receipt)
    assert finding.ok
    assert finding.message_is_meant
    await system.rest()
    await system.check()


@pytest.mark.timeout(300)
async def test_who_is_suspended_after_the_offer_is_not_shown_the_request(
    system: RealSystem, people: People, tmp_path: Path
) -> None:
    pid = f"susi{uuid4().hex[:8]}"
    login = await asyncio.to_thread(system.stack.add_provider, pid)
    like = system.connections[AIKO]
    system.connections[pid] = replace(like, username=login.username, password=login.password)
    await system.journal.add([f"{kind}{pid}" for kind in FACING_PROVIDERS])
    await register(system, pid)
    purchase = Purchase((AIKO, pid), mode="grant")
    await form(system, purchase)
    await verify(system, purchase, await issue(system, people, purchase))
    async with open_provider(Bundle.read(bundle(system, pid, tmp_path / pid))) as provider:
        offer = await offered(provider, purchase)
        await suspend(system, pid)
        with pytest.raises(RejectedError, match="suspended"):
            await provider.granted(offer, await provider.ask_for_access(offer), within=WITHIN)
    await system.rest()
    await system.check()


async def suspend(system: RealSystem, provider_id: str) -> None:
    await system.order(SuspendProvider(provider_id=provider_id, reason="Unpaid fees."), OPERATOR)
    await system.rest()
