"""The queue of mails."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from services.notification.domain.mails import Mail, Newest, Reached, Sealed
from services.notification.letters import letter_from_json


async def add_mails(tx: asyncpg.Connection, mails: Sequence[Mail], at: datetime) -> None:
    """Queue mails, due at once; one that is queued or sent already stays as it is, and one to an erased person has failed."""
    await tx.executemany(
        "INSERT INTO mails (mail_id, purchase_id, person_id, kind, letter, sealed_password, secret_key, "
        "contact_version, former_email, queued_at, next_try_at, failed_at) "
        "SELECT $1, $2, $3, $4, $5::text::jsonb, CASE WHEN erased THEN NULL ELSE $6 END, $7, $8, "
        "CASE WHEN erased THEN NULL ELSE $9 END, $10, $10, CASE WHEN erased THEN $10::timestamptz END "
        "FROM (SELECT EXISTS (SELECT FROM erased_people WHERE person_id = $3) AS erased) AS person "
        "ON CONFLICT (mail_id) DO NOTHING",
        [
            (
                one.mail_id,
                one.purchase_id,
                one.person_id,
                one.letter.kind,
                one.letter.model_dump_json(),
                one.sealed.box if one.sealed else None,
                one.sealed.key if one.sealed else None,
                one.sealed.contact_version if one.sealed else None,
                one.former_email,
                at,
            )
            for one in mails
        ],
    )


@dataclass(frozen=True)
class DueMail:
    """A mail that is this process's to send until its lease ends, with all that its text takes."""

    mail: Mail
    queued_at: datetime
    tries: int
    """This one included."""
    leased_at: datetime
    group_name: str | None
    """None where the mail belongs to no purchase."""
    name: str
    reached: Reached
    newest: Newest | None
    """What is known now of the key of the secret that it brings."""


async def lease_due_mail(pool: asyncpg.Pool, lease: timedelta) -> DueMail | None:
    """Take the mail that has been due longest and can be written; nobody else takes it before the lease ends.

    The lease is the time of the next try: after a crash nothing has to be cleaned up, and no transaction is
    open while the mail server is talked to. What brings a secret waits for the version of its person's contact that it was
    assigned with: the two come in no common order, and an older one may name an address that is somebody else's.
    """
    row = await pool.fetchrow(
        "WITH leased AS ("
        "  UPDATE mails SET next_try_at = clock_timestamp() + $1::interval, tries = tries + 1 "
        "  WHERE mail_id = ("
        "    SELECT due.mail_id FROM mails AS due "
        "    JOIN contacts AS c USING (person_id) LEFT JOIN purchases AS p USING (purchase_id) "
        "    WHERE due.delivered_at IS NULL AND due.failed_at IS NULL AND due.next_try_at <= clock_timestamp() "
        "      AND (due.purchase_id IS NULL OR p.group_name IS NOT NULL) "
        "      AND (due.contact_version IS NULL OR c.version IS NULL OR c.version >= due.contact_version) "
        "    ORDER BY due.next_try_at, due.mail_id LIMIT 1 FOR UPDATE OF due SKIP LOCKED) "
        "  RETURNING *) "
        "SELECT m.mail_id, m.purchase_id, m.person_id, m.letter::text AS letter, m.sealed_password, m.secret_key, "
        "  m.contact_version, m.former_email, m.queued_at, m.tries, clock_timestamp() AS leased_at, p.group_name, "
        "  c.name, c.email, c.unconfirmed_email, c.version, n.number AS newest, n.closed "
        "FROM leased AS m JOIN contacts AS c USING (person_id) LEFT JOIN purchases AS p USING (purchase_id) "
        "LEFT JOIN newest_secrets AS n ON n.key = m.secret_key",
        lease,
    )
    return _due(row) if row else None


def _due(row: asyncpg.Record) -> DueMail:
    letter = letter_from_json.validate_json(row["letter"])
    sealed = None
    if row["sealed_password"] is not None:
        sealed = Sealed(row["secret_key"], row["sealed_password"], row["contact_version"])
    return DueMail(
        mail=Mail(row["mail_id"], row["purchase_id"], row["person_id"], letter, sealed, row["former_email"]),
        queued_at=row["queued_at"],
        tries=row["tries"],
        leased_at=row["leased_at"],
        group_name=row["group_name"],
        name=row["name"],
        reached=Reached(row["email"], row["unconfirmed_email"], row["version"]),
        newest=None if row["newest"] is None else Newest(row["newest"], row["closed"]),
    )


async def put_off(pool: asyncpg.Pool, mail_id: UUID, delay: timedelta) -> None:
    """Set when a mail is tried again."""
    await pool.execute(
        "UPDATE mails SET next_try_at = clock_timestamp() + $2::interval "
        "WHERE mail_id = $1 AND delivered_at IS NULL AND failed_at IS NULL",
        mail_id,
        delay,
    )


async def set_delivered(tx: asyncpg.Connection, mail_id: UUID, at: datetime) -> bool:
    """Keep that the mail server took a mail, and forget its secret; False if its end is recorded."""
    return await _end(tx, "delivered_at", mail_id, at)


async def set_failed(tx: asyncpg.Connection, mail_id: UUID, at: datetime) -> bool:
    """Keep that a mail is not tried again, and forget its secret; False if its end is recorded."""
    return await _end(tx, "failed_at", mail_id, at)


async def _end(tx: asyncpg.Connection, column: str, mail_id: UUID, at: datetime) -> bool:
    row = await tx.fetchrow(
        f"UPDATE mails SET {column} = $2, sealed_password = NULL, former_email = NULL "
        "WHERE mail_id = $1 AND delivered_at IS NULL AND failed_at IS NULL RETURNING mail_id",
        mail_id,
        at,
    )
    return row is not None
