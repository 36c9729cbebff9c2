"""The SQL of disclosure: opening a gate, granting access, and who was shown what. All inside the delivery's transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from services.distribution.domain import Request
from shared.messages.bidding import AccessRequestReceived
from shared.messages.distribution import AnswerPresented
from shared.messages.rfp import QuestionAnswered

Connection = asyncpg.Connection


async def lock_providers(tx: Connection, provider_ids: Sequence[str]) -> set[str]:
    """Return which of the providers are suspended or removed; none can be until the transaction ends.

    The share lock makes an opening and a suspension take turns, where a plain read could miss a suspension
    that is committed before the opening is. Openings do not wait for each other.
    """
    rows = await tx.fetch(
        """
        SELECT provider_id, suspended OR removed AS barred FROM providers WHERE provider_id = ANY($1)
        ORDER BY provider_id FOR SHARE
        """,
        provider_ids,
    )
    return {row["provider_id"] for row in rows if row["barred"]}


async def open_gate(
    tx: Connection, purchase_id: UUID, version: int, *, qualification: int, adopted_at: datetime | None
) -> datetime | None:
    """Open a version by a qualification; return when, or None if it may not be opened.

    Everything that must hold at the moment of opening is checked here once more, against the database's clock
    at that moment. `adopted_at` is the time of the same decision where it was made before a restore: then
    that time counts, and nothing that came after it.
    """
    opened_at: datetime | None = await tx.fetchval(
        """
        WITH moment AS MATERIALIZED (SELECT coalesce($4::timestamptz, clock_timestamp()) AS at)
        UPDATE requests AS request
        SET opened_at = moment.at, qualification = held.number
        FROM moment, gates AS gate, qualifications AS held
        WHERE request.purchase_id = $1 AND request.request_version = $2
            AND gate.purchase_id = request.purchase_id
            AND held.purchase_id = request.purchase_id AND held.number = $3
            AND request.opened_at IS NULL
            AND request.deadline > moment.at
            AND held.snapshot = request.snapshot
            AND held.valid_until > moment.at
            AND ($4::timestamptz IS NOT NULL OR (
                gate.cancelled_by IS NULL
                AND gate.deadline_passed_by IS NULL
                AND NOT EXISTS (
                    SELECT FROM lapses
                    WHERE lapses.purchase_id = held.purchase_id AND lapses.number = held.number
                )
            ))
            AND EXISTS (
                SELECT FROM bid_boxes AS box
                WHERE box.purchase_id = request.purchase_id AND box.request_version = request.request_version
            )
            AND NOT EXISTS (
                SELECT FROM documents AS document
                WHERE document.purchase_id = request.purchase_id
                    AND document.request_version = request.request_version AND NOT document.complete
            )
        RETURNING request.opened_at
        """,
        purchase_id,
        version,
        qualification,
        adopted_at,
    )
    return opened_at


async def add_disclosures(
    tx: Connection, request: Request, causes: Mapping[str, UUID], *, qualification: int, at: datetime
) -> None:
    """Write into the ledger to whom the version is transmitted or offered; `causes` are the decisions, by provider."""
    await tx.executemany(
        """
        INSERT INTO disclosures (
            purchase_id, request_version, provider_id, kind, content_sha256, qualification, disclosed_at, cause_id
        ) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        """,
        [
            (
                request.purchase_id,
                request.version,
                provider_id,
                "offered" if request.mode == "grant" else "transmitted",
                request.documents[0].sha256,
                qualification,
                at,
                cause_id,
            )
            for provider_id, cause_id in causes.items()
        ],
    )


async def disclosed_to(tx: Connection, purchase_id: UUID) -> list[str]:
    """Return everyone who was shown or offered any version of the purchase's request, sorted."""
    rows = await tx.fetch(
        "SELECT DISTINCT provider_id FROM disclosures WHERE purchase_id = $1 ORDER BY provider_id",
        purchase_id,
    )
    return [row["provider_id"] for row in rows]


@dataclass(frozen=True)
class Right:
    """That a provider may see a version, by this qualification; `granted` is False where it was shown it before."""

    at: datetime
    qualification: int
    content_sha256: str
    granted: bool


async def grant(
    tx: Connection,
    event: AccessRequestReceived,
    *,
    cause_id: UUID,
    adopted_at: datetime | None,
    adopted_qualification: int | None,
) -> Right | None:
    """Write into the ledger that the provider is shown the version; return None if it may not be.

    Everything that must hold at the moment of granting is checked here, against the database's clock at that moment.
    `adopted_at` is the time of the same decision where it was made before a restore: then that time counts, and nothing
    that came after it. The gate and the provider's row are locked.
    """
    row = await tx.fetchrow(
        """
        WITH moment AS MATERIALIZED (SELECT coalesce($5::timestamptz, clock_timestamp()) AS at),
        held AS (
            SELECT qualification.purchase_id, qualification.snapshot, qualification.number
            FROM moment, qualifications AS qualification
            WHERE qualification.purchase_id = $1 AND qualification.valid_until > moment.at
                AND qualification.number = coalesce($6, qualification.number)
                AND ($5::timestamptz IS NOT NULL OR NOT EXISTS (
                    SELECT FROM lapses
                    WHERE lapses.purchase_id = $1 AND lapses.number = qualification.number
                ))
        ),
        entitled AS MATERIALIZED (
            SELECT moment.at, min(held.number) AS qualification, offer.content_sha256, offer.kind
            FROM moment, disclosures AS offer
            JOIN listed_providers AS listed USING (purchase_id, request_version, provider_id)
            JOIN requests AS request USING (purchase_id, request_version)
            JOIN gates AS gate USING (purchase_id)
            JOIN providers AS provider USING (provider_id)
            JOIN held USING (purchase_id, snapshot)
            WHERE offer.purchase_id = $1 AND offer.request_version = $2
                AND offer.provider_id = $3
                AND offer.kind <> 'granted'
                AND request.deadline > moment.at
                AND ($5::timestamptz IS NOT NULL OR (
                    NOT provider.suspended
                    AND NOT provider.removed
                    AND gate.cancelled_by IS NULL
                    AND gate.deadline_passed_by IS NULL
                    AND NOT EXISTS (
                        SELECT FROM requests AS newer
                        WHERE newer.purchase_id = $1 AND newer.request_version > $2
                    )
                ))
            GROUP BY moment.at, offer.content_sha256, offer.kind
        ),
        granted AS (
            INSERT INTO disclosures (
                purchase_id, request_version, provider_id, kind, content_sha256, qualification, disclosed_at, cause_id
            )
            SELECT $1, $2, $3, 'granted', content_sha256, qualification, at, $4 FROM entitled
            WHERE kind = 'offered'
            ON CONFLICT DO NOTHING RETURNING true
        )
        SELECT at, qualification, content_sha256, EXISTS (SELECT FROM granted) AS granted FROM entitled
        """,
        event.purchase_id,
        event.request_version,
        event.provider_id,
        cause_id,
        adopted_at,
        adopted_qualification,
    )
    return Right(**row) if row else None


async def was_presented_to(tx: Connection, purchase_id: UUID, version: int, provider_id: str) -> bool:
    """Return whether the version was offered or transmitted to the provider."""
    found: bool = await tx.fetchval(
        """
        SELECT EXISTS (
            SELECT FROM disclosures WHERE purchase_id = $1 AND request_version = $2 AND provider_id = $3
        )
        """,
        purchase_id,
        version,
        provider_id,
    )
    return found


async def was_shown_to(tx: Connection, purchase_id: UUID, version: int, provider_id: str) -> bool:
    """Return whether the provider was shown the version, by `transmit` or by a grant, and not only offered it."""
    found: bool = await tx.fetchval(
        """
        SELECT EXISTS (
            SELECT FROM disclosures
            WHERE purchase_id = $1 AND request_version = $2 AND provider_id = $3 AND kind <> 'offered'
        )
        """,
        purchase_id,
        version,
        provider_id,
    )
    return found


async def access_was_decided(tx: Connection, request_id: UUID) -> bool:
    """Return whether this request for access has its decision already."""
    found: bool = await tx.fetchval(
        "SELECT EXISTS (SELECT FROM access_requests WHERE request_id = $1)", request_id
    )
    return found


async def add_access_request(
    tx: Connection, event: AccessRequestReceived, outcome: str, *, at: datetime, cause_id: UUID
) -> None:
    """Write into the ledger what came of a request for access: `granted`, `shown_before`, or the reason of a refusal."""
    await tx.execute(
        """
        INSERT INTO access_requests (
            request_id, purchase_id, request_version, provider_id, message_id, outcome, decided_at, cause_id
        ) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        """,
        event.request_id,
        event.purchase_id,
        event.request_version,
        event.provider_id,
        event.message_id,
        outcome,
        at,
        cause_id,
    )


async def add_answer(tx: Connection, event: QuestionAnswered, *, cause_id: UUID) -> None:
    """Keep an answer; the first one to a question stands."""
    await tx.execute(
        """
        INSERT INTO answers (purchase_id, question_id, request_version, question, answer, cause_id)
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING
        """,
        event.purchase_id,
        event.question_id,
        event.request_version,
        event.question,
        event.answer,
        cause_id,
    )


async def untold_answers(
    tx: Connection, purchase_id: UUID, provider_ids: Sequence[str]
) -> list[tuple[AnswerPresented, list[str]]]:
    """Return the purchase's answers, oldest first, each with those of the providers who were not told it."""
    rows = await tx.fetch(
        """
        SELECT question_id, request_version, question, answer, array_agg(other.provider_id ORDER BY other.provider_id) AS untold
        FROM answers, unnest($2::text[]) AS other (provider_id)
        WHERE purchase_id = $1 AND NOT EXISTS (
            SELECT FROM answer_disclosures AS told
            WHERE told.question_id = answers.question_id AND told.provider_id = other.provider_id
        )
        GROUP BY question_id ORDER BY number
        """,
        purchase_id,
        provider_ids,
    )
    return [
        (
            AnswerPresented(
                purchase_id=purchase_id,
                question_id=row["question_id"],
                request_version=row["request_version"],
                question=row["question"],
                answer=row["answer"],
            ),
            list(row["untold"]),
        )
        for row in rows
    ]


async def add_answer_disclosures(
    tx: Connection, question_id: UUID, told: Mapping[str, tuple[datetime, UUID]]
) -> None:
    """Write into the ledger who was told an answer, when, and by which decision."""
    await tx.executemany(
        """
        INSERT INTO answer_disclosures (question_id, provider_id, disclosed_at, cause_id)
        VALUES ($1, $2, $3, $4)
        """,
        [(question_id, provider_id, at, cause_id) for provider_id, (at, cause_id) in told.items()],
    )
