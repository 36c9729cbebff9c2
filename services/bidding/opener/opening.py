"""The opener's work: give each sealed box its key, and open those that are closed. Each step may be repeated or interrupted."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import asyncpg
import structlog
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from prometheus_client import CollectorRegistry, Counter, Gauge

from services.bidding.concerns import Concerns, for_each
from services.bidding.opener import store
from services.bidding.opener.domain import keeps_shut, make_key, open_replies
from shared.crash import crash
from shared.postgres import connect
from shared.sealing import read_private_key
from shared.telemetry import show_who

REPLIES_AT_A_TIME = 50
"""So many replies are in memory at once; each may have 900 KiB."""
NO_TABLES = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.InsufficientPrivilegeError)
"""What the opener meets before bidding has brought its tables up to date."""
ALREADY = "opened_already"
OVERTAKEN = "overtaken"
log = structlog.get_logger()


class Figures:
    """The opener's figures: sums over all purchases, because how many replied is a secret until the box opens."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        show_who("opener", self.registry)
        self.keys = Counter("linepool_opener_keys", "Keys made for boxes.", registry=self.registry)
        self.opened = Counter("linepool_opener_boxes_opened", "Boxes opened.", registry=self.registry)
        self.waiting = Gauge(
            "linepool_opener_boxes_waiting", "Closed boxes that are not opened.", registry=self.registry
        )
        self.alarms = Counter(
            "linepool_alarms", "What a person should look at.", ["kind"], registry=self.registry
        )

    def alarm(self, kind: str, **ids: object) -> None:
        """Count and log something that a person should look at."""
        self.alarms.labels(kind=kind).inc()
        log.error("alarm", kind=kind, **{name: str(value) for name, value in ids.items()})


@dataclass(frozen=True)
class Opener:
    """What opens boxes: its secret, its own way to the database, and how long it waits after a deadline."""

    secret: bytes = field(repr=False)
    pool: asyncpg.Pool
    allowance: timedelta
    figures: Figures = field(default_factory=Figures)
    concerns: Concerns = field(default_factory=Concerns)

    async def work(self) -> int:
        """Make the keys that are missing and open what may be opened; return how many things were done.

        Raises:
            one of TRANSIENT, NO_TABLES: the database is away, or not as it must be; what is left waits for the next round.
        """
        return await self.make_keys() + await self.open_boxes()

    async def make_keys(self) -> int:
        """Say the key of each sealed box that has none; return how many there were."""
        keys = [make_key(self.secret, box) for box in await store.boxes_without_key(self.pool)]
        if keys:
            await store.add_keys(self.pool, keys)
            self.figures.keys.inc(len(keys))
            log.info("keys made", keys=len(keys))
        return len(keys)

    async def open_boxes(self) -> int:
        """Open each box whose time has come; return how many were opened. One that fails is alarmed, and the next one follows."""

        def alarm(purchase_id: UUID, error: str) -> None:
            self.figures.alarm("box_not_opened", purchase=purchase_id, error=error)

        waiting = await store.boxes_to_open(self.pool)
        outcomes = await for_each(waiting, self._open_unless_overtaken, self.concerns, alarm)
        for purchase_id, shut in outcomes.items():
            if shut not in {None, OVERTAKEN} and self.concerns.is_news(purchase_id, shut):
                self.figures.alarm("box_stays_sealed", purchase=purchase_id, why=shut)
        self.concerns.keep_only(waiting)
        opened = list(outcomes.values()).count(None)
        self.figures.waiting.set(len(waiting) - opened)
        return opened

    async def _open_unless_overtaken(self, purchase_id: UUID) -> str | None:
        try:
            return await self.open_box(purchase_id)
        except asyncpg.SerializationError:
            # Another opener has just opened it, or something changed: it is looked at again in the next round.
            return OVERTAKEN

    async def open_box(self, purchase_id: UUID) -> str | None:
        """Open a box if it is closed, or return why it stays shut.

        What is checked and what is read is one snapshot. Bidding adds no reply to a box whose closing is committed, so
        the snapshot holds all of them.
        """
        async with connect(self.pool) as tx, tx.transaction(isolation="repeatable_read"):
            closing = await store.closing(tx, purchase_id)
            shut = keeps_shut(closing, self.allowance)
            if shut is not None:
                return shut
            replies = await store.note_opening(
                tx, purchase_id, closing.box.request_version, closing.custodian_key
            )
            if replies is None:
                return ALREADY
            released = closing.released_key
            await self._open_replies(
                tx, purchase_id, None if released is None else read_private_key(released)
            )
            crash("before_commit")
        crash("after_commit")
        self.figures.opened.inc()
        log.info("box opened", purchase=str(purchase_id), replies=replies)
        return None

    async def _open_replies(
        self, tx: asyncpg.Connection, purchase_id: UUID, custodian: X25519PrivateKey | None
    ) -> None:
        async for replies in store.standing_replies(tx, purchase_id, at_a_time=REPLIES_AT_A_TIME):
            crash("before_business")
            # A thread, so that the health checks are answered meanwhile.
            opened = await asyncio.to_thread(open_replies, self.secret, replies, custodian)
            await store.add_openings(tx, purchase_id, opened)
            crash("after_business")
