"""The mail queue's other end: takes due mails, sends them, and records what became of each.

A mail is leased, sent outside any transaction, and recorded. A crash between the server's answer and the
record lets the lease run out, and the same mail goes again under the same Message-ID: recognisably one mail.
"""

from dataclasses import dataclass
from datetime import timedelta

import structlog

from services.notification.domain.mails import not_worth_sending
from services.notification.sealed import opened, sealing_key
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
from services.notification.store import mails as store
from services.notification.store.mails import DueMail
from shared.ending import to_its_end
from shared.envelope import derived_id
from shared.messages.notification import MailDelivered, MailFailed
from shared.postgres import TRANSIENT
from shared.runtime import Runtime

LAST_MAIL_S = 5.0
"""So long a process that is told to end waits for the mail that it is sending."""
STEPS = 10
"""More than an SMTP conversation has, so that a lease outlives the slowest server's answer."""


@dataclass(frozen=True)
class GivenUp:
    """Nobody is worse off without this mail: its secret expired or is void, or its news are old."""

    reason: str


Outcome = Taken | PutOff | Rejected | GivenUp


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
        while due := await store.lease_due_mail(runtime.pool, lease):
            if await _recorded_before(runtime, settings, due):
                continue
            try:
                outcome = await to_its_end(
                    _send_and_record(runtime, session, settings, due), at_most=LAST_MAIL_S
                )
            except Unreachable as unreachable:
                structlog.get_logger().warning(
                    "mail server unreachable",
                    mail=str(due.mail.mail_id),
                    error=str(unreachable),
                    tries=due.tries,
                )
                await store.put_off(runtime.pool, due.mail.mail_id, pause_after(due.tries, settings))
                return taken
            taken += isinstance(outcome, Taken)
    return taken


async def _send_and_record(runtime: Runtime, session: Session, settings: Settings, due: DueMail) -> Outcome:
    # Taken by the server and not recorded, it would be sent once more.
    outcome = await _send(session, settings, due)
    await _record(runtime, settings, due, outcome)
    return outcome


def pause_after(tries: int, settings: Settings) -> timedelta:
    """Return how long to wait after this many tries: doubling, up to the limit."""
    return timedelta(seconds=min(settings.mail_retry_max_s, settings.mail_retry_s * 2 ** min(tries - 1, 30)))


async def _send(session: Session, settings: Settings, due: DueMail) -> Outcome:
    reason = not_worth_sending(due.mail, due.reached, due.newest, due.leased_at)
    if reason is not None:
        return GivenUp(reason)
    try:
        secret = opened(sealing_key(settings.secret.get_secret_value()), due.mail, settings.portal_url)
    except ValueError:
        return Rejected("box_does_not_open")
    return await session.send(compose(due, settings, secret=secret), recipient(due))


async def _record(runtime: Runtime, settings: Settings, due: DueMail, outcome: Outcome) -> None:
    if isinstance(outcome, PutOff):
        if due.leased_at - due.queued_at < timedelta(days=settings.mail_give_up_days):
            structlog.get_logger().info(
                "mail put off", mail=str(due.mail.mail_id), reason=outcome.reason, tries=due.tries
            )
            await store.put_off(runtime.pool, due.mail.mail_id, pause_after(due.tries, settings))
            return
        outcome = Rejected("put_off_too_long")
    async with runtime.decide("mail", due.mail.mail_id) as (tx, publish):
        if isinstance(outcome, Taken):
            if await store.set_delivered(tx, due.mail.mail_id, publish.now):
                await publish(_delivered(due, settings))
        elif await store.set_failed(tx, due.mail.mail_id, publish.now):
            await publish(_failed(due, settings, outcome.reason))
    structlog.get_logger().info(
        "mail ended", mail=str(due.mail.mail_id), kind=due.mail.letter.kind, outcome=type(outcome).__name__
    )
    if isinstance(outcome, Rejected):
        runtime.metrics.alarm("mail_failed", mail=due.mail.mail_id, reason=outcome.reason)


async def _recorded_before(runtime: Runtime, settings: Settings, due: DueMail) -> bool:
    """Record again, without sending, what was recorded before the database was restored."""
    decided = runtime.adoptions.of_decision(derived_id(runtime.service, "mail", due.mail.mail_id))
    if not decided:
        return False
    event = decided[0]
    async with runtime.decide("mail", due.mail.mail_id) as (tx, publish):
        if event.type == MailDelivered.type():
            await store.set_delivered(tx, due.mail.mail_id, publish.now)
            await publish(_delivered(due, settings))
        else:
            await store.set_failed(tx, due.mail.mail_id, publish.now)
            await publish(_failed(due, settings, MailFailed.model_validate_json(event.body).reason))
    return True


def _delivered(due: DueMail, settings: Settings) -> MailDelivered:
    return MailDelivered(
        purchase_id=due.mail.purchase_id,
        person_id=due.mail.person_id,
        kind=due.mail.letter.kind,
        message_id=message_id(due, settings),
    )


def _failed(due: DueMail, settings: Settings, reason: str) -> MailFailed:
    return MailFailed(
        purchase_id=due.mail.purchase_id,
        person_id=due.mail.person_id,
        kind=due.mail.letter.kind,
        message_id=message_id(due, settings),
        reason=reason,
    )
