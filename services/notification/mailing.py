"""The mail queue's other end: takes due mails, sends them, and records what became of each.

A mail is leased, sent outside any transaction, and recorded. A crash between the server's answer and the
record lets the lease run out, and the same mail goes again under the same Message-ID: recognisably one mail.
"""

from datetime import timedelta

import structlog

from services.notification import passwords, store
from services.notification.domain import not_worth_sending
from services.notification.settings import Settings
from services.notification.smtp import (
    PutOff,
    Rejected,
    Session,
    Taken,
    Unreachable,
    compose,
    message_id,
    recipient,
)
from services.notification.store import DueMail
from shared.envelope import derived_id
from shared.messages.notification import MailDelivered, MailFailed
from shared.postgres import TRANSIENT
from shared.runtime import Runtime

STEPS = 10
"""More than an SMTP conversation has, so that a lease outlives the slowest server's answer."""


async def send_mails(runtime: Runtime) -> None:
    """Send what is due, for as long as the service runs."""
    settings = runtime.settings
    if not isinstance(settings, Settings):
        raise TypeError("these are another service's settings")
    while True:
        try:
            await send_due_mails(runtime, settings)
        except TRANSIENT as error:
            structlog.get_logger().warning("mails wait for the database", error=type(error).__name__)
        await runtime.wait_for_work(settings.mail_poll_s)


async def send_due_mails(runtime: Runtime, settings: Settings) -> int:
    """Send what is due now; return how many mails the server took. An unreachable server ends the round."""
    lease = timedelta(seconds=settings.smtp_timeout_s * STEPS)
    taken = 0
    async with Session(settings) as session:
        while mail := await store.lease_due_mail(runtime.pool, lease):
            if await _recorded_before(runtime, settings, mail):
                continue
            try:
                outcome = await _send(session, settings, mail)
            except Unreachable as unreachable:
                structlog.get_logger().warning(
                    "mail server unreachable",
                    mail=str(mail.mail_id),
                    error=str(unreachable),
                    tries=mail.tries,
                )
                await store.put_off(runtime.pool, mail.mail_id, pause_after(mail.tries, settings))
                return taken
            taken += isinstance(outcome, Taken)
            await _record(runtime, settings, mail, outcome)
    return taken


def pause_after(tries: int, settings: Settings) -> timedelta:
    """Return how long to wait after this many tries: doubling, up to the limit."""
    return timedelta(seconds=min(settings.mail_retry_max_s, settings.mail_retry_s * 2 ** min(tries - 1, 30)))


async def _send(session: Session, settings: Settings, mail: DueMail) -> Taken | PutOff | Rejected:
    reason = not_worth_sending(mail.letter, now=mail.leased_at, newest_password=mail.newest_password)
    if reason is not None:
        return Rejected(reason)
    password = None
    if mail.sealed_password is not None:
        key = passwords.sealing_key(settings.secret.get_secret_value())
        try:
            password = passwords.open_password(
                key, mail.sealed_password, purchase_id=mail.purchase_id, person_id=mail.person_id
            )
        except ValueError:
            return Rejected("box_does_not_open")
    return await session.send(compose(mail, settings, password=password), recipient(mail))


async def _record(
    runtime: Runtime, settings: Settings, mail: DueMail, outcome: Taken | PutOff | Rejected
) -> None:
    if isinstance(outcome, PutOff):
        if mail.leased_at - mail.queued_at < timedelta(days=settings.mail_give_up_days):
            structlog.get_logger().info(
                "mail put off", mail=str(mail.mail_id), reason=outcome.reason, tries=mail.tries
            )
            await store.put_off(runtime.pool, mail.mail_id, pause_after(mail.tries, settings))
            return
        outcome = Rejected("put_off_too_long")
    async with runtime.decide("mail", mail.mail_id) as (tx, publish):
        if isinstance(outcome, Taken):
            if await store.set_delivered(tx, mail.mail_id, publish.now):
                await publish(_delivered(mail, settings))
        elif await store.set_failed(tx, mail.mail_id, publish.now):
            await publish(_failed(mail, settings, outcome.reason))
    structlog.get_logger().info(
        "mail ended", mail=str(mail.mail_id), kind=mail.letter.kind, outcome=type(outcome).__name__
    )
    if isinstance(outcome, Rejected):
        runtime.metrics.alarm("mail_failed", mail=mail.mail_id, reason=outcome.reason)


async def _recorded_before(runtime: Runtime, settings: Settings, mail: DueMail) -> bool:
    """Record again, without sending, what was recorded before the database was restored."""
    decided = runtime.adoptions.of_decision(derived_id(runtime.service, "mail", mail.mail_id))
    if not decided:
        return False
    event = decided[0]
    async with runtime.decide("mail", mail.mail_id) as (tx, publish):
        if event.type == MailDelivered.type():
            await store.set_delivered(tx, mail.mail_id, publish.now)
            await publish(_delivered(mail, settings))
        else:
            await store.set_failed(tx, mail.mail_id, publish.now)
            await publish(_failed(mail, settings, MailFailed.model_validate_json(event.body).reason))
    return True


def _delivered(mail: DueMail, settings: Settings) -> MailDelivered:
    return MailDelivered(
        purchase_id=mail.purchase_id,
        person_id=mail.person_id,
        kind=mail.letter.kind,
        message_id=message_id(mail, settings),
    )


def _failed(mail: DueMail, settings: Settings, reason: str) -> MailFailed:
    return MailFailed(
        purchase_id=mail.purchase_id,
        person_id=mail.person_id,
        kind=mail.letter.kind,
        message_id=message_id(mail, settings),
        reason=reason,
    )
