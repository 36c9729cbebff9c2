"""Wiring of the bidding service."""

from pathlib import Path

from services.bidding import handlers
from services.bidding.comparing import compare_replies
from services.bidding.jobs import tend_boxes
from services.bidding.settings import Settings
from shared.service import Service, serve


def build(settings: Settings | None = None) -> Service:
    """Return the wired service; nothing connects before it is run."""
    return serve(
        "bidding",
        settings or Settings(),
        handlers.streams,
        migrations=Path(__file__).parent / "migrations",
        jobs=[tend_boxes, compare_replies],
    )
