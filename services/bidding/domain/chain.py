"""Where each answer stands in its provider's chain, and when checkpoints over all chains are due."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from linepool.receipts.chain import Head, follow, link_statement
from services.bidding.domain.arrivals import Answered
from services.bidding.domain.box import Box
from shared.messages.bidding import ChainLink, MessageRejected, ReceiptIssued
from shared.signing import sign

LAST_SCHEDULED = 10_000
"""So many checkpoints of a purchase are made on schedule: each is proved to each provider in the end."""


def link(answers: Iterable[Answered], heads: Mapping[str, Head]) -> tuple[list[Answered], dict[str, Head]]:
    """Give each new answer the next place in its provider's chain; return the answers, and where the chains end now.

    An answer that has its place, because it was given before the database was restored, keeps it.
    """
    ends = dict(heads)
    linked = []
    for one in answers:
        if one.head is None:
            head = follow(ends[one.provider_id], one.notice().model_dump(mode="json"))
            ends[one.provider_id] = head
            linked.append(replace(one, head=head))
        else:
            linked.append(one)
    return linked, ends


def signed_notice(one: Answered, key: Ed25519PrivateKey) -> ReceiptIssued | MessageRejected:
    """Return what the provider is told; the same answer gives the same bytes whenever it is told."""
    notice = one.notice()
    if one.head is None:
        return notice
    head = one.head.hash.hex()
    signature = sign(key, link_statement(one.provider_id, one.head.number, head))
    chain = ChainLink(number=one.head.number, head=head, signature=signature)
    return notice.model_copy(update={"chain": chain})


@dataclass(frozen=True)
class Schedule:
    """When checkpoints of a purchase began, and the last one that was made."""

    begun_at: datetime
    last_number: int = 0
    last_at: datetime | None = None
    is_over: bool = False
    """Whether the box was opened, or the purchase called off: then the last one is due."""

    def is_due(self, now: datetime, every: timedelta) -> bool:
        """Whether one is due: they are at equal distances from the beginning, and those missed meanwhile are one."""
        # After a restore the last one may be older than the beginning.
        last_at = max(self.last_at or self.begun_at, self.begun_at)
        return (
            self.last_number < LAST_SCHEDULED
            and (now - self.begun_at) // every > (last_at - self.begun_at) // every
        )

    def lacks_the_last(self, box: Box) -> bool:
        """Whether none was made since the box was opened."""
        return box.opened_at is None or self.last_at is None or self.last_at < box.opened_at
