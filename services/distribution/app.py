"""Wiring of the distribution service."""

from pathlib import Path

from services.distribution import handlers
from services.distribution.settings import Settings
from services.distribution.waiting import WAITS
from shared.service import Service, serve


def build(settings: Settings | None = None) -> Service:
    """Return the wired service; nothing connects before it is run."""
    return serve(
        "distribution",
        settings or Settings(),
        handlers.streams,
        migrations=Path(__file__).parent / "migrations",
        waits=WAITS,
    )
