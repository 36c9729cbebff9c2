"""Part 3: providers reply, decline, come too late or uninvited, while the service that takes replies is killed and returns."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from linepool.demo.bids import invented_offers, revised
from linepool.demo.sealed import Looked, look_at_sealed_replies
from linepool.demo.stage import Stage
from linepool.demo.story import Rejection
from linepool.demo.waiting import PATIENCE, until
from linepool.provider import Answer
from shared.messages.bidding import MessageRejected, ReceiptIssued
from shared.messages.providers import Offer, ReplySubmitted
from shared.messages.rfp import DeadlinePassed

KILLED = "bidding"


@dataclass(frozen=True)
class Killed:
    """The process that was killed: when, and how long it was away."""

    at: datetime
    seconds_until_back: Decimal


@dataclass(frozen=True)
class Replied:
    """What came of the providers' messages."""

    offers: dict[str, Offer]
    sent: dict[str, str]
    """The id of each listed provider's message: its reply, or that it declines."""
    looked: Looked
    passed: DeadlinePassed
    killed: Killed
    rejections: tuple[Rejection, ...]


async def take_replies(stage: Stage) -> Replied:
    """Tell part 3 up to the passing of the deadline."""
    tell, roles = stage.tell, stage.roles
    purchase_id = stage.purchase_id
    tell.chapter(3, "Providers reply; one service is killed in the middle of it")
    tell.doing("providers reply")
    offers = dict(
        zip(
            roles.bidders,
            invented_offers(
                stage.scenario.lines,
                currency=stage.scenario.currency,
                tax_basis=stage.scenario.tax_basis,
                number=len(roles.bidders),
            ),
            strict=True,
        )
    )
    sent: dict[str, str] = {}
    # Somebody's reply comes before the kill, and somebody's answer while the service is dead.
    before = roles.bidders[: len(roles.listed) - 1][:1]
    for pid in before:
        sent[pid] = await _submit(stage, pid, offers[pid])
    killed_at, gone = await _kill(stage)
    for pid in roles.bidders[len(before) :]:
        sent[pid] = await _submit(stage, pid, offers[pid])
    if roles.decliner:
        sent[roles.decliner] = await stage.providers[roles.decliner].decline(
            purchase_id, reason="No capacity in this region (invented)."
        )
    uninvited = roles.unlisted[0]
    foreign = await stage.providers[uninvited].send(
        ReplySubmitted(
            purchase_id=purchase_id,
            request_version=1,
            revision=1,
            seal="none",
            # An offer of its own: this one is readable, and the listed providers' are not.
            offer=revised(offers[roles.bidders[0]]).model_copy(update={"name": "Invented offer: uninvited"}),
        )
    )
    for pid, offer in offers.items():
        tell.say(f"{roles.names[pid]}: {offer.name}")
    tell.say("The offers are invented for this story; no provider has made them.")
    killed = Killed(killed_at, await _wait_until_back(stage, gone))
    answers = await asyncio.gather(
        *(stage.providers[pid].answer(id_, within=PATIENCE) for pid, id_ in sent.items())
    )
    meanwhile = sum(one.appended_at > killed.at for one in answers)
    tell.step(
        "Providers reply",
        f"{len(offers)} replied, {len(sent) - len(offers)} declined; {meanwhile} of these messages came while {KILLED} "
        f"was dead. It was back after {killed.seconds_until_back} s.",
    )
    tell.claim(
        f"each of the {len(sent)} has exactly one receipt",
        holds=all(isinstance(answer, ReceiptIssued) for answer in answers)
        and all(_receipts(stage, pid, id_) == 1 for pid, id_ in sent.items()),
    )
    refused = await stage.providers[uninvited].answer(foreign, within=PATIENCE)
    rejections = [_rejected(stage, uninvited, "a reply, though it is not on the list", refused)]
    looked = await look_at_sealed_replies(stage, offers)
    passed = await _wait_for_deadline(stage)
    late = await _late_revision(stage, offers)
    return Replied(offers, sent, looked, passed, killed, (*rejections, late))


async def _submit(stage: Stage, pid: str, offer: Offer, *, revision: int = 1) -> str:
    provider = stage.providers[pid]
    request = await provider.request(stage.purchase_id, within=PATIENCE)
    return await provider.submit(request, offer, revision=revision)


async def _kill(stage: Stage) -> tuple[datetime, int | None]:
    """Kill the service; return when it was gone, and its process id."""
    pid = stage.services.pid(KILLED)
    await asyncio.to_thread(stage.services.kill, KILLED)
    at = datetime.now(UTC)
    stage.tell.say(f"kill -9 {pid}: the {KILLED} service is dead, and providers go on replying")
    return at, pid


async def _wait_until_back(stage: Stage, gone: int | None) -> Decimal:
    """Wait until the supervisor has started the service again and it is ready; return the seconds that took."""
    begun = time.monotonic()

    def back() -> bool:
        return stage.services.pid(KILLED) not in {None, gone} and stage.services.is_ready(KILLED)

    await until(back, within=PATIENCE, what=f"the return of {KILLED}")
    return Decimal(time.monotonic() - begun).quantize(Decimal("0.1"))


async def _wait_for_deadline(stage: Stage) -> DeadlinePassed:
    tell, purchase_id = stage.tell, stage.purchase_id
    tell.doing("waiting for the deadline")
    passed = await stage.watcher.journal.wait_for(
        lambda entry: entry.says(DeadlinePassed, purchase_id), within=PATIENCE, what="the deadline"
    )
    tell.step("The deadline passes", f"It was {passed.deadline:%H:%M:%S} UTC.")
    return passed


async def _late_revision(stage: Stage, offers: dict[str, Offer]) -> Rejection:
    pid = stage.roles.bidders[-1]
    message = await _submit(stage, pid, revised(offers[pid]), revision=2)
    answer = await stage.providers[pid].answer(message, within=PATIENCE)
    return _rejected(stage, pid, "a revision of its reply, too late", answer, reason="late")


def _rejected(stage: Stage, pid: str, what: str, answer: Answer, reason: str | None = None) -> Rejection:
    name = stage.roles.names[pid]
    refused = answer if isinstance(answer, MessageRejected) else None
    said = f"{refused.reason}: {refused.detail}" if refused else "it got a receipt"
    stage.tell.claim(
        f"refused: {name} sent {what} ({said})",
        holds=refused is not None and (reason is None or refused.reason == reason),
    )
    if refused is None:
        raise TypeError("a claim that does not hold ends the story")
    return Rejection(
        at=refused.appended_at, provider=name, message=what, reason=refused.reason, detail=refused.detail
    )


def _receipts(stage: Stage, pid: str, message_id: str) -> int:
    receipts = stage.providers[pid].journal.all_of(ReceiptIssued)
    return sum(receipt.message_id == message_id for receipt in receipts)
