"""Wiring of the rfp service."""

from pathlib import Path

from services.rfp import handlers
from services.rfp.settings import Settings
from services.rfp.waiting import WAITS
from shared.service import Service, serve


def build(settings: Settings | None = None) -> Service:
    """Return the service, wired; nothing connects before it is run."""
    settings = settings or Settings()
    service = serve(
        "rfp",
        settings,
        handlers.streams,
        timers=handlers.timers,
        migrations=Path(__file__).parent / "migrations",
        waits=WAITS,
    )
    service.broker.context.set_global("policy", settings.policy)
    return service
