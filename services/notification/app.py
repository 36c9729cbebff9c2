"""Wiring of the notification service."""

from pathlib import Path

from services.notification import handlers, mailing
from services.notification.settings import Settings
from services.notification.waiting import WAITS
from shared.service import Service, serve


def build(settings: Settings | None = None) -> Service:
    """Return the service; nothing connects before it is run."""
    return serve(
        "notification",
        settings or Settings(),
        handlers.streams,
        migrations=Path(__file__).parent / "migrations",
        waits=WAITS,
        jobs=[mailing.send_mails],
    )
