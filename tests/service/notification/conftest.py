"""A real mail server on loopback, and the notification service sending to it."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import cast

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from services.notification.mailing import send_due_mails
from services.notification.settings import Settings
from shared.runtime import Runtime
from tests.memory import MemoryKafka, Running
from tests.service.conftest import start


@dataclass
class MailServer:
    """What the server took, and what it is to answer instead."""

    port: int = 0
    taken: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    answers_to_recipient: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """By address: answers to RCPT, taken from the front; after the last the address is accepted."""
    answers_to_data: list[str] = field(default_factory=list)
    when_taking: "asyncio.Event | None" = None
    """Set: the server answers 250 only after this."""
    is_taking: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle_RCPT(  # noqa: N802 # aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.answers_to_recipient[address]:
            return self.answers_to_recipient[address].pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 # as above
        if self.answers_to_data:
            return self.answers_to_data.pop(0)
        self.is_taking.set()
        if self.when_taking is not None:
            await self.when_taking.wait()
        self.taken.append(
            cast("EmailMessage", message_from_bytes(cast("bytes", envelope.content), policy=default))
        )
        self.recipients.extend(envelope.rcpt_tos)
        return "250 OK"

    def texts(self) -> list[str]:
        return [mail.get_content() for mail in self.taken]

    @asynccontextmanager
    async def listening(self, port: int = 0) -> AsyncIterator[None]:
        def conversation() -> SMTP:
            return SMTP(self, hostname="localhost", enable_SMTPUTF8=True, decode_data=False)

        server = await asyncio.get_running_loop().create_server(conversation, "127.0.0.1", port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            await server.wait_closed()


@pytest.fixture
async def mail_server() -> AsyncIterator[MailServer]:
    server = MailServer()
    async with server.listening():
        yield server


def mail_settings(port: int) -> dict[str, object]:
    return {
        "mail_from": "linepool@mail.example",
        "portal_url": "https://portal.example",
        "smtp_host": "127.0.0.1",
        "smtp_port": port,
        "smtp_security": "none",
        "mail_retry_s": 0.01,
        "mail_retry_max_s": 0.05,
    }


async def send(runtime: Runtime) -> bool:
    """One look at the mail queue."""
    assert isinstance(runtime.settings, Settings)
    return await send_due_mails(runtime, runtime.settings) > 0


@pytest.fixture
async def notification(database: str, kafka: MemoryKafka, mail_server: MailServer) -> AsyncIterator[Running]:
    """The service; mails leave only when a test calls `send`."""
    async with start("notification", database, kafka, **mail_settings(mail_server.port)) as service:
        yield service
