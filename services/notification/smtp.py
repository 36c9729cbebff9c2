"""One mail as the mail server gets it, and what the server's answer means."""

from contextlib import suppress
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from types import TracebackType
from typing import Self

import aiosmtplib

from services.notification.domain.mails import goes_to
from services.notification.letters import render
from services.notification.plain_text import one_line
from services.notification.settings import Settings
from services.notification.store.mails import DueMail

PERMANENT = 500
"""SMTP's answers from here on mean: do not try this mail again."""


@dataclass(frozen=True)
class Taken:
    """The server answered that it has the mail."""


@dataclass(frozen=True)
class PutOff:
    """The server would not take this mail now, but perhaps later."""

    reason: str


@dataclass(frozen=True)
class Rejected:
    """The server will never take this mail."""

    reason: str
    """A fixed word such as `smtp_550`; the server's own sentence would quote the address."""


class Unreachable(Exception):  # noqa: N818 # says what is wrong
    """The server cannot be talked to at the moment; that is no mail's fault."""


def compose(due: DueMail, settings: Settings, *, secret: str | None) -> EmailMessage:
    """Return the mail, the same at every try: its date is when it was queued, its Message-ID its own id."""
    subject, text = render(
        due.mail.letter,
        group_name=due.group_name,
        purchase_id=due.mail.purchase_id,
        recipient=due.name,
        secret=secret,
    )
    domain = settings.mail_from.rpartition("@")[2]
    message = EmailMessage(policy=SMTP_POLICY)
    message["From"] = Address("Linepool", addr_spec=settings.mail_from)
    message["To"] = recipient(due)
    message["Subject"] = subject
    message["Date"] = due.queued_at
    message["Message-ID"] = message_id(due, settings)
    message["References"] = f"<{due.mail.purchase_id or due.mail.person_id}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text, cte="quoted-printable")
    return message


def message_id(due: DueMail, settings: Settings) -> str:
    """Return the Message-ID, by which a mail that is sent twice is still one mail."""
    return f"<{due.mail.mail_id}@{settings.mail_from.rpartition('@')[2]}>"


def recipient(due: DueMail) -> Address:
    """Return name and address, with everything quoted that means something in a header or a command.

    Raises:
        LookupError: the mail has no address any more, and is not worth sending.
    """
    email = goes_to(due.mail, due.reached)
    if email is None:
        raise LookupError("the mail has no address any more")
    local, _, domain = email.rpartition("@")
    # From its parts, and not as one text: `a,b@c` would be read as two addresses, and a stranger get the mail.
    return Address(one_line(due.name), username=local, domain=domain)


class Session:
    """A conversation with the mail server: opened with the first mail, closed with the `async with` block."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: aiosmtplib.SMTP | None = None

    async def __aenter__(self) -> Self:
        """Begin; nothing connects yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take leave of the server, if there is one."""
        if self._client is not None:
            with suppress(aiosmtplib.SMTPException, OSError):
                await self._client.quit()
            self._client.close()

    async def send(self, message: EmailMessage, to: Address) -> Taken | PutOff | Rejected:
        """Send one mail.

        Raises:
            Unreachable: there is no server, or it does not let us talk; another mail would fare no better.
        """
        client = await self._connected()
        try:
            await client.send_message(message, sender=self._settings.mail_from, recipients=[to.addr_spec])
        except aiosmtplib.SMTPRecipientsRefused as refused:
            return _answered(refused.recipients[0].code)
        except aiosmtplib.SMTPSenderRefused as refused:
            # What is wrong with the sender is wrong with our settings, and can be mended.
            return PutOff(f"sender_{refused.code}")
        except aiosmtplib.SMTPResponseException as refused:
            return _answered(refused.code)
        except aiosmtplib.SMTPNotSupported:
            return Rejected("address_not_supported")
        except (aiosmtplib.SMTPException, OSError) as error:
            client.close()
            self._client = None
            raise Unreachable(type(error).__name__) from error
        return Taken()

    async def _connected(self) -> aiosmtplib.SMTP:
        if self._client is not None and self._client.is_connected:
            return self._client
        settings = self._settings
        client = aiosmtplib.SMTP(
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            username=settings.smtp_username,
            password=settings.smtp_password.get_secret_value() if settings.smtp_password else None,
            timeout=settings.smtp_timeout_s,
            use_tls=settings.smtp_security == "tls",
            start_tls=settings.smtp_security == "starttls",
            cert_bundle=settings.smtp_ca_file,
        )
        try:
            await client.connect()
        except (aiosmtplib.SMTPException, OSError) as error:
            client.close()
            raise Unreachable(type(error).__name__) from error
        self._client = client
        return client


def _answered(code: int) -> PutOff | Rejected:
    return Rejected(f"smtp_{code}") if code >= PERMANENT else PutOff(f"smtp_{code}")
