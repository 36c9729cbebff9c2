"""Every statement of the rfp service about the officer's findings, and about what they rest on."""

from uuid import UUID

import asyncpg

from services.rfp.qualification import Party, Qualification, Verification, latest
from shared.messages.rfp import RecordVerification


async def add_verification(
    tx: asyncpg.Connection,
    finding: RecordVerification,
    *,
    cause_id: UUID,
    officer_id: UUID,
) -> bool:
    """Keep a finding behind the earlier ones; False if it is here already."""
    added = await tx.fetchval(
        "INSERT INTO verifications (purchase_id, number, cause_id, officer_id, snapshot, party, party_id, outcome, "
        "method, reference, valid_until_at, reason, evidence) "
        "SELECT $1, 1 + coalesce(max(number), 0), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12 "
        "FROM verifications WHERE purchase_id = $1 ON CONFLICT (cause_id) DO NOTHING RETURNING true",
        finding.purchase_id,
        cause_id,
        officer_id,
        finding.snapshot,
        finding.party,
        finding.party_id,
        finding.outcome,
        finding.method,
        finding.reference,
        finding.valid_until,
        finding.reason,
        list(finding.evidence),
    )
    return added is not None


async def verifications(tx: asyncpg.Connection, purchase_id: UUID, state: str) -> list[Verification]:
    """Return the findings in this state (`pending`, `counts` or `refused`), in the order in which they were recorded."""
    rows = await tx.fetch(
        "SELECT number, cause_id, officer_id, snapshot, party, party_id, outcome, method, reference, "
        "valid_until_at, reason, evidence FROM verifications WHERE purchase_id = $1 AND state = $2 ORDER BY number",
        purchase_id,
        state,
    )
    return [
        Verification(
            row["number"],
            row["cause_id"],
            row["officer_id"],
            RecordVerification(
                purchase_id=purchase_id,
                snapshot=row["snapshot"],
                party=row["party"],
                party_id=row["party_id"],
                outcome=row["outcome"],
                method=row["method"],
                reference=row["reference"],
                valid_until=row["valid_until_at"],
                reason=row["reason"],
                evidence=tuple(row["evidence"]),
            ),
        )
        for row in rows
    ]


async def settle_verification(tx: asyncpg.Connection, cause_id: UUID, *, counts: bool) -> None:
    """Keep whether a finding counts."""
    await tx.execute(
        "UPDATE verifications SET state = $2 WHERE cause_id = $1", cause_id, "counts" if counts else "refused"
    )


async def qualification(tx: asyncpg.Connection, purchase_id: UUID) -> Qualification:
    """Return where the group stands."""
    rows = await tx.fetch(
        "SELECT qualification, qualified_until_at FROM requests WHERE purchase_id = $1", purchase_id
    )
    counting = await verifications(tx, purchase_id, "counts")
    findings = latest(one.finding for one in counting)
    return Qualification(findings, rows[0]["qualification"], rows[0]["qualified_until_at"])


async def keep_qualification(tx: asyncpg.Connection, purchase_id: UUID, standing: Qualification) -> None:
    """Keep where the group stands; its findings are kept already."""
    await tx.execute(
        "UPDATE requests SET qualification = $2, qualified_until_at = $3 WHERE purchase_id = $1",
        purchase_id,
        standing.number,
        standing.valid_until,
    )


async def add_evidence(
    tx: asyncpg.Connection, purchase_id: UUID, party: Party, party_id: UUID, sha256: str
) -> None:
    """Keep that a document about a party was filed."""
    await tx.execute(
        "INSERT INTO evidence (purchase_id, party, party_id, sha256) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        purchase_id,
        party,
        party_id,
        sha256,
    )


async def filed(tx: asyncpg.Connection, finding: RecordVerification) -> set[str]:
    """Return the hashes of all documents that were filed about the finding's party."""
    rows = await tx.fetch(
        "SELECT sha256 FROM evidence WHERE purchase_id = $1 AND party = $2 AND party_id = $3",
        finding.purchase_id,
        finding.party,
        finding.party_id,
    )
    return {row["sha256"] for row in rows}


async def confirm_address(tx: asyncpg.Connection, person_id: UUID) -> None:
    """Keep that a person's mail address is confirmed."""
    await tx.execute(
        "INSERT INTO confirmed_addresses (person_id) VALUES ($1) ON CONFLICT DO NOTHING", person_id
    )


async def is_address_confirmed(tx: asyncpg.Connection, finding: RecordVerification) -> bool:
    """Return whether the address of the party's person is confirmed: the coordinator's own, or a buyer's contact person's."""
    confirmed: bool = await tx.fetchval(
        "SELECT EXISTS (SELECT FROM confirmed_addresses WHERE person_id = CASE $2 WHEN 'coordinator' THEN $3 "
        "ELSE (SELECT contact_id FROM buyers WHERE purchase_id = $1 AND buyer_id = $3) END)",
        finding.purchase_id,
        finding.party,
        finding.party_id,
    )
    return confirmed


async def add_invited(tx: asyncpg.Connection, purchase_id: UUID, person_id: UUID) -> None:
    """Keep that a person was invited into the group."""
    await tx.execute(
        "INSERT INTO invited (purchase_id, person_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        purchase_id,
        person_id,
    )


async def invited(tx: asyncpg.Connection, purchase_id: UUID) -> set[UUID]:
    """Return everyone who was ever invited into the group."""
    rows = await tx.fetch("SELECT person_id FROM invited WHERE purchase_id = $1", purchase_id)
    return {row["person_id"] for row in rows}
