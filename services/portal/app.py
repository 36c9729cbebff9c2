"""Wiring of the portal: a service that reads facts, and the API that people use, in one process."""

from pathlib import Path

from services.portal import handlers
from services.portal.api import make_api
from services.portal.api.asking import Portal
from services.portal.purging import forget_what_is_over
from services.portal.settings import Settings
from shared.service import Service, serve


def build(settings: Settings | None = None) -> Service:
    """Return the portal, wired; nothing connects before it is run."""
    settings = settings or Settings()
    service = serve(
        "portal",
        settings,
        handlers.streams,
        migrations=Path(__file__).parent / "migrations",
        jobs=(forget_what_is_over,),
    )
    service.ways_in = {"/v1/": make_api(Portal(service.wiring, settings))}
    return service
