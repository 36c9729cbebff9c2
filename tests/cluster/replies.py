"""Replies that keep coming while something happens, and what their receipts tell."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from statistics import median
from time import monotonic
from uuid import uuid4

from shared.messages.bidding import MessageRejected, ReceiptIssued
from shared.messages.distribution import RequestPresented
from tests.flow.purchase import Purchase, cancelling, form, issue, verify
from tests.integration.system import RealSystem

PAUSE_S = 0.2
"""Each bidder revises its reply so often."""


@dataclass(frozen=True)
class Figures:
    """What was seen of replies and receipts, all by the broker's clock, in seconds."""

    replies: int
    longest_gap: float
    """Between two receipts that follow each other, of whichever provider."""
    longest_wait: float
    """From a reply's coming to Kafka to its receipt's coming there."""
    median_wait: float

    def __str__(self) -> str:
        return (
            f"{self.replies} replies, each receipted once; longest gap between two receipts {self.longest_gap:.1f} s, "
            f"longest wait of a reply for its receipt {self.longest_wait:.1f} s, median {self.median_wait:.2f} s"
        )


@dataclass
class Replies:
    """A purchase whose bidders revise their replies all the time."""

    system: RealSystem
    purchase: Purchase
    sent: set[str] = field(default_factory=set)
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    async def revise(self, number: int, presented: RequestPresented) -> None:
        """Let one bidder reply again and again, until it is enough."""
        for revision in count(1):
            if self.enough.is_set():
                return
            reply = self.purchase.sealed_reply(number, presented, revision=revision)
            self.sent.add(await self.system.word(self.purchase.providers[number], reply, id=str(uuid4())))
            await asyncio.sleep(PAUSE_S)

    def receipts(self) -> dict[str, dict[str, tuple[datetime, datetime]]]:
        """Return by reply and receipt when each came to Kafka; the same receipt may come again."""
        found: dict[str, dict[str, tuple[datetime, datetime]]] = defaultdict(dict)
        for entry in self.system.journal.entries:
            receipt = entry.says(ReceiptIssued, self.purchase.purchase_id)
            if receipt is not None:
                came = (receipt.appended_at, entry.appended_at)
                found[receipt.message_id].setdefault(str(entry.envelope.id), came)
        return found

    async def all_receipted(self) -> None:
        """Wait until each reply so far has its receipt."""
        wanted, deadline = set(self.sent), monotonic() + self.system.patience
        while missing := wanted - self.receipts().keys():
            assert monotonic() < deadline, f"{len(missing)} of {len(wanted)} replies have no receipt"
            await asyncio.sleep(0.2)

    async def some_receipted(self, number: int) -> None:
        """Wait until so many more replies have their receipts than had when this was called."""
        wanted, deadline = len(self.receipts()) + number, monotonic() + self.system.patience
        while len(self.receipts()) < wanted:
            assert monotonic() < deadline, f"{number} more receipts did not come"
            await asyncio.sleep(0.2)

    def figures(self) -> Figures:
        """See that each reply has one receipt and none was rejected, and measure."""
        receipts = self.receipts()
        assert receipts.keys() == self.sent
        assert [reply for reply, under in receipts.items() if len(under) != 1] == []
        assert self.system.journal.all_of(MessageRejected, self.purchase.purchase_id) == []
        came = sorted(when for under in receipts.values() for when in under.values())
        waits = [(receipt - reply).total_seconds() for reply, receipt in came]
        times = sorted(receipt for _, receipt in came)
        gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
        return Figures(len(came), max(gaps), max(waits), median(waits))


@asynccontextmanager
async def replying(system: RealSystem) -> AsyncIterator[Replies]:
    """Open a box and let replies flow into it while the context lasts; then wait for the last receipt, and call it off."""
    purchase = system.purchase()
    await form(system, purchase)
    snapshot = await issue(system, purchase, datetime.now(UTC) + timedelta(days=1))
    await verify(system, purchase, snapshot)
    replies = Replies(system, purchase)
    async with asyncio.TaskGroup() as tasks:
        for number, provider_id in enumerate(purchase.bidders):
            presented = await system.until(RequestPresented, purchase.purchase_id, provider_id=provider_id)
            tasks.create_task(replies.revise(number, presented))
        try:
            yield replies
        finally:
            replies.enough.set()
    await replies.all_receipted()
    await system.order(cancelling(purchase), purchase.coordinator)
