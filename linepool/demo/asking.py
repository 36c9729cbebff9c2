"""Part 2, second half: providers ask to be shown the request and acknowledge it; one asks a question, all are told the answer."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

from linepool.client.journal import Entry
from linepool.demo.stage import Stage
from linepool.demo.story import Answered, Rejection
from linepool.demo.telling import ClaimError
from linepool.demo.waiting import PATIENCE
from linepool.provider import RejectedError, Request
from shared.messages.bidding import QuestionReceived, ReceiptIssued
from shared.messages.distribution import AccessOffered, AnswerPresented
from shared.messages.notification import AccessRefusalNotified
from shared.messages.rfp import RequestIssued

QUESTION = "Is the access by the rear gate wide enough for our van? (invented)"
RESTATED = "How wide is the access by the rear gate? (invented)"
ANSWER = "Three metres. (invented)"


@dataclass(frozen=True)
class Shown:
    """Who was shown the request, and who was not."""

    requests: dict[str, Request]
    refused: tuple[Rejection, ...]


async def ask_for_access(stage: Stage, issued: RequestIssued) -> Shown:
    """Let every listed provider ask for the request that it was offered, and one that is not listed."""
    tell, roles = stage.tell, stage.roles
    offers = dict(
        zip(
            roles.listed,
            await asyncio.gather(
                *(stage.providers[pid].offered(issued.purchase_id, within=PATIENCE) for pid in roles.listed)
            ),
            strict=True,
        )
    )
    expected = AccessOffered(
        purchase_id=issued.purchase_id,
        request_version=issued.request_version,
        title=issued.title,
        deadline=issued.deadline,
        content_sha256=issued.content.sha256,
    )
    await stage.watcher.journal.catch_up()
    tell.claim(
        "an invitation shows the title, the deadline and the hash of the request, and nothing else",
        holds=all(
            stage.providers[pid].journal.all_of(AccessOffered) == [expected] == [offer]
            and stage.watcher.count(f"invitations.{pid}") == 1
            for pid, offer in offers.items()
        ),
    )
    refused = await _uninvited(stage, expected)

    async def shown(pid: str) -> Request:
        provider, offer = stage.providers[pid], offers[pid]
        try:
            return await provider.granted(offer, await provider.ask_for_access(offer), within=PATIENCE)
        except RejectedError as error:
            raise ClaimError(f"{roles.names[pid]} was not shown the request: {error}") from error

    requests = dict(
        zip(roles.listed, await asyncio.gather(*(shown(pid) for pid in roles.listed)), strict=True)
    )
    granted = await stage.distribution.fetch(
        "SELECT provider_id FROM disclosures WHERE purchase_id = $1 AND kind = 'granted'", issued.purchase_id
    )
    tell.step(
        "Each listed provider asks for access, and is shown the request",
        f"{len(requests)} grants, each an entry in the disclosure ledger.",
    )
    tell.claim(
        "the ledger has one grant for each listed provider, and none for anybody else",
        holds=sorted(row["provider_id"] for row in granted) == sorted(roles.listed),
    )
    return Shown(requests, (refused,))


async def _uninvited(stage: Stage, offered: AccessOffered) -> Rejection:
    """Let a provider that is not on the list ask for the request, as if it had been offered it."""
    pid = stage.roles.unlisted[0]
    provider, name = stage.providers[pid], stage.roles.names[pid]
    message = await provider.ask_for_access(offered)
    receipt = await provider.receipt(message, within=PATIENCE)
    told = await provider.journal.wait_for(
        lambda entry: entry.says(AccessRefusalNotified, offered.purchase_id),
        within=PATIENCE,
        what="the refusal of access",
    )
    stage.tell.claim(
        f"refused: {name}, which is not on the list, asked for access ({told.reason}: {told.detail})",
        holds=told.message_id == message and told.reason == "unknown_purchase",
    )
    return Rejection(
        at=receipt.appended_at,
        provider=name,
        message="a request for access, though it is not on the list",
        reason=told.reason,
        detail=told.detail,
    )


async def acknowledge(stage: Stage, requests: dict[str, Request]) -> None:
    """Let each provider that was shown the request say that it has read it."""

    async def read(pid: str, request: Request) -> ReceiptIssued:
        provider = stage.providers[pid]
        return await provider.receipt(await provider.acknowledge(request), within=PATIENCE)

    receipts = await asyncio.gather(*(read(pid, request) for pid, request in requests.items()))
    stage.tell.claim(
        f"each of the {len(requests)} has acknowledged it, by the hash of what it read, and has a receipt for that",
        holds=len(receipts) == len(stage.roles.listed),
    )


async def ask_a_question(stage: Stage, requests: dict[str, Request]) -> Answered:
    """Let one provider ask, and the coordinator answer to all."""
    tell, roles = stage.tell, stage.roles
    asker = roles.bidders[0]
    tell.doing("a provider asks, and all are told the answer")
    await stage.providers[asker].ask(requests[asker], QUESTION)
    asked = await stage.watcher.journal.wait_for(
        lambda entry: entry.says(QuestionReceived, stage.purchase_id), within=PATIENCE, what="the question"
    )
    answer = {"question_id": str(asked.question_id), "answer": ANSWER, "restated": RESTATED}
    await stage.people.coordinator.order(stage.purchase_id, "answer-question", answer, wait=False)
    told = await asyncio.gather(*(_answer(stage, pid) for pid in roles.listed))
    tell.step(
        "A provider asks, and the coordinator answers to all",
        f"In other words than the asker's: {RESTATED!r} {ANSWER!r}",
    )
    texts = {(answer.question, answer.answer) for answer, _ in told}
    tell.claim(
        f"all {len(told)} providers that were shown the request are told the answer, by one decision at one time",
        holds=texts == {(RESTATED, ANSWER)} and len({at for _, at in told}) == 1,
    )
    await stage.watcher.journal.catch_up()
    tell.claim(
        "no event about the question, and no answer, says who asked",
        holds=not any(_names(entry, asker) for entry in stage.watcher.journal.entries),
    )
    return Answered(at=told[0][1], question=RESTATED, answer=ANSWER, told=len(told))


async def _answer(stage: Stage, pid: str) -> tuple[AnswerPresented, datetime]:
    """Return the answer that a provider was told, and the time at which that was decided."""
    purchase_id = stage.purchase_id

    def said(entry: Entry) -> AnswerPresented | None:
        return entry.says(AnswerPresented, purchase_id)

    journal = stage.providers[pid].journal
    answer = await journal.wait_for(said, within=PATIENCE, what="the answer")
    entry = next(one for one in journal.entries if said(one))
    decided_at = dict(entry.headers)["ce_time"] or b""
    return answer, datetime.fromisoformat(decided_at.decode())


def _names(entry: Entry, asker: str) -> bool:
    """Say whether a question on the events, or its answer to another provider, names who asked."""
    if entry.type_name not in {"QuestionReceived", "QuestionAnswered", "AnswerPresented"}:
        return False
    if entry.topic == f"invitations.{asker}":
        return False
    said = [entry.key, entry.body, *(value for _, value in entry.headers)]
    return any(asker.encode() in (text or b"") for text in said)
