"""Every SQL statement of the notification service."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from services.notification.domain import Buyer, Fact, Mail, Request
from services.notification.letters import Letter, letter_from_json
from services.notification.participation import Invitation
from shared.messages import registry
from shared.messages.aggregation import BuyerJoined, ContactRecorded, GroupAggregated, GroupOpened, Identifier
from shared.messages.base import Document, Message
from shared.messages.bidding import ComparisonPart, RepliesOpened
from shared.messages.distribution import AccessGranted, ProviderInvited
from shared.messages.rfp import ProviderRegistered, RequestIssued


@dataclass(frozen=True)
class Purchase:
    """A purchase's row: what is known of its group."""

    coordinator_id: UUID | None
    member_ids: tuple[UUID, ...] | None


async def lock_purchase(tx: asyncpg.Connection, purchase_id: UUID) -> Purchase:
    """Lock the purchase's row, creating it if this is the first that is heard of it."""
    await tx.execute("INSERT INTO purchases (purchase_id) VALUES ($1) ON CONFLICT DO NOTHING", purchase_id)
    row = await tx.fetchrow(
        "SELECT coordinator_id, member_ids FROM purchases WHERE purchase_id = $1 FOR UPDATE", purchase_id
    )
    if row is None:
        raise LookupError("the purchase's row was there a statement ago")
    return Purchase(row["coordinator_id"], None if row["member_ids"] is None else tuple(row["member_ids"]))


async def set_opened(tx: asyncpg.Connection, event: GroupOpened) -> None:
    """Keep the group's name and coordinator."""
    await tx.execute(
        "UPDATE purchases SET group_name = $2, coordinator_id = $3 "
        "WHERE purchase_id = $1 AND group_name IS NULL",
        event.purchase_id,
        event.name,
        event.coordinator_id,
    )


async def set_members(tx: asyncpg.Connection, event: GroupAggregated) -> None:
    """Keep the frozen membership, with the name and the coordinator that it was frozen with."""
    await tx.execute(
        "UPDATE purchases SET group_name = $2, coordinator_id = $3, member_ids = $4 "
        "WHERE purchase_id = $1 AND member_ids IS NULL",
        event.purchase_id,
        event.name,
        event.coordinator_id,
        sorted(event.buyer_ids),
    )


async def add_joining(tx: asyncpg.Connection, event: BuyerJoined, cause_id: UUID) -> None:
    """Keep that a buyer joined; the same joining again changes nothing."""
    await tx.execute(
        "INSERT INTO joinings (cause_id, purchase_id, buyer_id, legal_name, identifiers, contact_id) "
        "VALUES ($1, $2, $3, $4, $5::text::jsonb, $6) ON CONFLICT (cause_id) DO NOTHING",
        cause_id,
        event.purchase_id,
        event.buyer_id,
        event.legal_name,
        json.dumps([identifier.model_dump() for identifier in event.identifiers]),
        event.contact_id,
    )


async def buyers(tx: asyncpg.Connection, purchase_id: UUID) -> dict[UUID, Buyer]:
    """Return each buyer as it joined last."""
    rows = await tx.fetch(
        "SELECT DISTINCT ON (buyer_id) buyer_id, legal_name, identifiers::text AS identifiers, contact_id "
        "FROM joinings WHERE purchase_id = $1 ORDER BY buyer_id, number DESC",
        purchase_id,
    )
    return {
        row["buyer_id"]: Buyer(
            row["buyer_id"],
            row["legal_name"],
            tuple(Identifier.model_validate(one) for one in json.loads(row["identifiers"])),
            row["contact_id"],
        )
        for row in rows
    }


async def add_request(tx: asyncpg.Connection, event: RequestIssued) -> None:
    """Keep what people are told of an issued version."""
    await tx.execute(
        "INSERT INTO requests (purchase_id, request_version, title, deadline_at) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT DO NOTHING",
        event.purchase_id,
        event.request_version,
        event.title,
        event.deadline,
    )


async def requests(tx: asyncpg.Connection, purchase_id: UUID) -> dict[int, Request]:
    """Return the issued versions of the request."""
    rows = await tx.fetch(
        "SELECT request_version, title, deadline_at FROM requests WHERE purchase_id = $1", purchase_id
    )
    return {row["request_version"]: Request(row["title"], row["deadline_at"]) for row in rows}


async def add_fact(tx: asyncpg.Connection, purchase_id: UUID, fact: Fact) -> None:
    """Keep a fact that someone is told about; the same fact again changes nothing."""
    await tx.execute(
        "INSERT INTO facts (cause_id, purchase_id, type, body) VALUES ($1, $2, $3, $4::text::jsonb) "
        "ON CONFLICT (cause_id) DO NOTHING",
        fact.cause_id,
        purchase_id,
        fact.message.type(),
        fact.message.to_bytes().decode(),
    )


async def untold_facts(tx: asyncpg.Connection, purchase_id: UUID) -> list[Fact]:
    """Return the facts that still wait, in order of arrival."""
    rows = await tx.fetch(
        "SELECT cause_id, type, body::text AS body FROM facts "
        "WHERE purchase_id = $1 AND told_at IS NULL ORDER BY number",
        purchase_id,
    )
    return [Fact(row["cause_id"], _message(row["type"], row["body"])) for row in rows]


def _message(type_: str, body: str) -> Message:
    return registry[type_].model_validate_json(body)


async def set_told(tx: asyncpg.Connection, cause_id: UUID, at: datetime) -> None:
    """Keep that a fact was told."""
    await tx.execute("UPDATE facts SET told_at = $2 WHERE cause_id = $1", cause_id, at)


async def awards_told(tx: asyncpg.Connection, purchase_id: UUID) -> frozenset[int]:
    """Return the numbers of the awards that providers were told about."""
    rows = await tx.fetch(
        "SELECT (body ->> 'award')::int AS award FROM facts "
        "WHERE purchase_id = $1 AND type = 'linepool.provider-selected.v1' AND told_at IS NOT NULL",
        purchase_id,
    )
    return frozenset(row["award"] for row in rows)


async def set_provider_name(tx: asyncpg.Connection, event: ProviderRegistered) -> None:
    """Keep a provider's name as it is registered now."""
    await tx.execute(
        "INSERT INTO providers (provider_id, name) VALUES ($1, $2) "
        "ON CONFLICT (provider_id) DO UPDATE SET name = excluded.name",
        event.provider_id,
        event.name,
    )


async def add_invitation(tx: asyncpg.Connection, event: ProviderInvited | AccessGranted) -> None:
    """Keep that a provider was invited, or since when it was granted access, whichever comes first."""
    await tx.execute(
        "INSERT INTO invitations AS i (purchase_id, request_version, provider_id, mode, granted_at) "
        "VALUES ($1, $2, $3, $4, $5) ON CONFLICT (purchase_id, request_version, provider_id) DO UPDATE "
        "SET mode = coalesce(i.mode, excluded.mode), granted_at = coalesce(i.granted_at, excluded.granted_at)",
        event.purchase_id,
        event.request_version,
        event.provider_id,
        event.mode if isinstance(event, ProviderInvited) else None,
        event.granted_at if isinstance(event, AccessGranted) else None,
    )


async def invitations(tx: asyncpg.Connection, purchase_id: UUID) -> tuple[Invitation, ...]:
    """Return what distribution said of each invited provider."""
    rows = await tx.fetch(
        "SELECT request_version, provider_id, name, mode, granted_at "
        "FROM invitations LEFT JOIN providers USING (provider_id) WHERE purchase_id = $1",
        purchase_id,
    )
    return tuple(Invitation(**row) for row in rows)


async def replies_opened(tx: asyncpg.Connection, purchase_id: UUID) -> RepliesOpened | None:
    """Return what bidding said when it opened the box, if it has."""
    body = await tx.fetchval(
        "SELECT body::text FROM facts WHERE purchase_id = $1 AND type = $2 ORDER BY number DESC LIMIT 1",
        purchase_id,
        RepliesOpened.type(),
    )
    return RepliesOpened.model_validate_json(body) if body else None


async def note_refusal(tx: asyncpg.Connection, cause_id: UUID) -> bool:
    """Keep that a refusal is told; False if it was told before."""
    noted = await tx.fetchval(
        "INSERT INTO told_refusals (cause_id) VALUES ($1) ON CONFLICT DO NOTHING RETURNING true", cause_id
    )
    return noted is not None


async def add_comparison_part(tx: asyncpg.Connection, event: ComparisonPart) -> None:
    """Keep a part of the full comparison."""
    await tx.execute(
        "INSERT INTO comparison_parts (purchase_id, sha256, part, manifest, data) "
        "VALUES ($1, $2, $3, $4::text::jsonb, $5) ON CONFLICT DO NOTHING",
        event.purchase_id,
        event.document.sha256,
        event.part,
        event.document.model_dump_json(),
        event.data,
    )


async def complete_comparisons(tx: asyncpg.Connection, purchase_id: UUID) -> list[tuple[Document, list[str]]]:
    """Return the manifest and the parts, in order, of each comparison of which all parts are here."""
    rows = await tx.fetch(
        "SELECT min(manifest::text) AS manifest, array_agg(data ORDER BY part) AS parts "
        "FROM comparison_parts WHERE purchase_id = $1 GROUP BY sha256 "
        "HAVING count(*) = min((manifest ->> 'parts')::int)",
        purchase_id,
    )
    return [(Document.model_validate_json(row["manifest"]), list(row["parts"])) for row in rows]


async def set_contact(tx: asyncpg.Connection, event: ContactRecorded) -> None:
    """Keep how a person is reached now."""
    await tx.execute(
        "INSERT INTO contacts AS c (person_id, name, email) VALUES ($1, $2, $3) "
        "ON CONFLICT (person_id) DO UPDATE SET name = excluded.name, email = excluded.email "
        "WHERE (c.name, c.email) IS DISTINCT FROM (excluded.name, excluded.email)",
        event.person_id,
        event.name,
        event.email,
    )


async def add_mails(tx: asyncpg.Connection, mails: Sequence[Mail], at: datetime) -> None:
    """Queue mails, due at once; one that is queued or sent already stays as it is."""
    await tx.executemany(
        "INSERT INTO mails "
        "(mail_id, purchase_id, person_id, kind, letter, sealed_password, queued_at, next_try_at) "
        "VALUES ($1, $2, $3, $4, $5::text::jsonb, $6, $7, $7) ON CONFLICT (mail_id) DO NOTHING",
        [
            (
                m.mail_id,
                m.purchase_id,
                m.person_id,
                m.letter.kind,
                m.letter.model_dump_json(),
                m.sealed_password,
                at,
            )
            for m in mails
        ],
    )


@dataclass(frozen=True)
class DueMail:
    """A mail that is this process's to send until its lease ends, with all that its text takes."""

    mail_id: UUID
    purchase_id: UUID
    person_id: UUID
    letter: Letter
    sealed_password: str | None
    queued_at: datetime
    tries: int
    """This one included."""
    leased_at: datetime
    group_name: str
    name: str
    email: str
    newest_password: int | None
    """The number of the latest password queued for this person and purchase."""


async def lease_due_mail(pool: asyncpg.Pool, lease: timedelta) -> DueMail | None:
    """Take the mail that has been due longest and can be written; nobody else takes it before the lease ends.

    The lease is the time of the next try: after a crash nothing has to be cleaned up, and no transaction is
    open while the mail server is talked to.
    """
    row = await pool.fetchrow(
        "UPDATE mails AS m SET next_try_at = clock_timestamp() + $1::interval, tries = m.tries + 1 "
        "FROM contacts AS c, purchases AS p "
        "WHERE c.person_id = m.person_id AND p.purchase_id = m.purchase_id AND m.mail_id = ("
        "  SELECT due.mail_id FROM mails AS due "
        "  JOIN contacts USING (person_id) JOIN purchases USING (purchase_id) "
        "  WHERE due.delivered_at IS NULL AND due.failed_at IS NULL AND due.next_try_at <= clock_timestamp() "
        "    AND group_name IS NOT NULL "
        "  ORDER BY due.next_try_at, due.mail_id LIMIT 1 FOR UPDATE OF due SKIP LOCKED) "
        "RETURNING m.mail_id, m.purchase_id, m.person_id, m.letter::text AS letter, m.sealed_password, "
        "  m.queued_at, m.tries, clock_timestamp() AS leased_at, p.group_name, c.name, c.email, "
        "  (SELECT max((other.letter ->> 'number')::int) FROM mails AS other "
        "   WHERE other.purchase_id = m.purchase_id AND other.person_id = m.person_id "
        "     AND other.kind = 'initial_password') AS newest_password",
        lease,
    )
    if row is None:
        return None
    return DueMail(**{**row, "letter": letter_from_json.validate_json(row["letter"])})


async def put_off(pool: asyncpg.Pool, mail_id: UUID, delay: timedelta) -> None:
    """Set when a mail is tried again."""
    await pool.execute(
        "UPDATE mails SET next_try_at = clock_timestamp() + $2::interval "
        "WHERE mail_id = $1 AND delivered_at IS NULL AND failed_at IS NULL",
        mail_id,
        delay,
    )


async def set_delivered(tx: asyncpg.Connection, mail_id: UUID, at: datetime) -> bool:
    """Keep that the mail server took a mail, and forget its password; False if its end is recorded."""
    return await _end(tx, "delivered_at", mail_id, at)


async def set_failed(tx: asyncpg.Connection, mail_id: UUID, at: datetime) -> bool:
    """Keep that a mail is not tried again, and forget its password; False if its end is recorded."""
    return await _end(tx, "failed_at", mail_id, at)


async def _end(tx: asyncpg.Connection, column: str, mail_id: UUID, at: datetime) -> bool:
    row = await tx.fetchrow(
        f"UPDATE mails SET {column} = $2, sealed_password = NULL "
        "WHERE mail_id = $1 AND delivered_at IS NULL AND failed_at IS NULL RETURNING mail_id",
        mail_id,
        at,
    )
    return row is not None
