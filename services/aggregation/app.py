"""Wiring of the aggregation service."""

from pathlib import Path

from services.aggregation import handlers
from services.aggregation.passwords import Assigner
from services.aggregation.settings import Settings
from services.aggregation.waiting import WAITS
from shared.service import Service, serve


def build(settings: Settings | None = None) -> Service:
    """Return the service, wired; nothing connects before it is run."""
    settings = settings or Settings()
    service = serve(
        "aggregation",
        settings,
        handlers.streams,
        timers=handlers.timers,
        migrations=Path(__file__).parent / "migrations",
        waits=WAITS,
    )
    assigner = Assigner(settings.secret.get_secret_value(), settings.notification_public_key)
    service.broker.context.set_global("assigner", assigner)
    return service
