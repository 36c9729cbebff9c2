"""Wiring of the rfp service."""

from pathlib import Path

from services.rfp import handlers
from services.rfp.settings import Settings
from shared.service import Service, serve


def build(settings: Settings | None = None) -> Service:
    """Return the service, wired; nothing connects before it is run."""
    return serve(
        "rfp",
        settings or Settings(),
        handlers.streams,
        timers=handlers.timers,
        migrations=Path(__file__).parent / "migrations",
    )
