"""How long a mail waits between tries."""

from typing import Any

from services.notification.mailing import pause_after
from services.notification.settings import Settings


def test_pauses_double_up_to_their_limit() -> None:
    given: dict[str, Any] = {
        "kafka_bootstrap_servers": "kafka.invalid:9092",
        "kafka_username": "test",
        "kafka_password": "test",
        "http_port": 1,
        "secret": "11" * 32,
        "postgres_dsn": "postgresql://nowhere.invalid",
        "mail_from": "linepool@mail.example",
        "portal_url": "https://portal.example",
        "smtp_host": "127.0.0.1",
        "smtp_port": 25,
        "mail_retry_s": 5,
        "mail_retry_max_s": 300,
    }
    settings = Settings(**given)

    pauses = [pause_after(tries, settings).total_seconds() for tries in (1, 2, 3, 6, 7, 1000)]

    assert pauses == [5, 10, 20, 160, 300, 300]
