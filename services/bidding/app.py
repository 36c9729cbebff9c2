"""Wiring of the bidding service."""

from pathlib import Path

from services.bidding import handlers, intake
from services.bidding.adopting import take_over_what_was_said
from services.bidding.checkpoints import tend_checkpoints
from services.bidding.comparing import compare_replies
from services.bidding.jobs import tend_boxes
from services.bidding.lapsing import reject_terms_as_before, tend_waiting_terms
from services.bidding.settings import Settings
from services.bidding.waiting import WAITS
from shared.service import Service, serve


def build(settings: Settings | None = None) -> Service:
    """Return the wired service; nothing connects before it is run."""
    settings = settings or Settings()
    service = serve(
        "bidding",
        settings,
        handlers.streams,
        migrations=Path(__file__).parent / "migrations",
        waits=WAITS,
        jobs=[tend_boxes, compare_replies, tend_checkpoints, tend_waiting_terms],
        on_adopted=[take_over_what_was_said, reject_terms_as_before],
    )
    service.broker.context.set_global("rules", intake.Rules.of(settings))
    return service
