"""A finding: made of what the officer gives, sent, and followed until it is known what it leads to."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

from pydantic import ValidationError

from deploy.access.broker import AccessError
from linepool.client.authorities import Officer
from linepool.client.orders import Outcome
from linepool.officer.cases import Case, Subject, read_cases
from linepool.officer.naming import end_of, find_case, find_document, find_subject
from shared.messages.rfp import RecordVerification

PATIENCE_S = 60.0
A_MOMENT_S = 1.0
A_YEAR = timedelta(days=365)

Method = Literal["address", "register", "document", "visit"]


async def known_cases(officer: Officer) -> dict[UUID, Case]:
    """Return every group as it stands now, by its purchase."""
    await officer.journal.catch_up()
    return read_cases(officer.journal.entries)


def make_finding(
    case: Case,
    subject: Subject,
    outcome: Literal["verified", "refused"],
    method: Method,
    reference: str,
    evidence: list[str] | None,
    until: str | None,
    reason: str | None,
) -> RecordVerification:
    """Return the finding about a party, for exactly the group that was closed.

    Raises:
        AccessError: the group is not closed, or something that was given is not as it must be.
    """
    if case.snapshot is None:
        raise AccessError(f"{case.name} is not closed, so there is nothing yet to verify")
    party, party_id = subject.who
    try:
        return RecordVerification(
            purchase_id=case.purchase_id,
            snapshot=case.snapshot,
            party=party,
            party_id=party_id,
            outcome=outcome,
            method=method,
            reference=reference,
            evidence=tuple(find_document(subject, beginning) for beginning in evidence or ()),
            valid_until=end_of(until) if until else datetime.now(UTC) + A_YEAR,
            reason=reason,
        )
    except ValidationError as error:
        problem = error.errors()[0]
        raise AccessError(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}") from None


async def send_finding(
    officer: Officer, purchase: str, party: str, finding_of: Callable[[Case, Subject], RecordVerification]
) -> tuple[Outcome, Case, Subject]:
    """Send a finding about this party of this purchase; return what became of it, and how both stand then."""
    case = find_case(await known_cases(officer), purchase)
    finding = finding_of(case, find_subject(case, party))
    order_id = await officer.record(finding)
    outcome = await officer.outcome(order_id, within=PATIENCE_S)
    if outcome.refused is None:
        await _what_follows(officer, order_id)
    after = (await known_cases(officer))[case.purchase_id]
    return outcome, after, after.subjects[finding.party, finding.party_id]


async def _what_follows(officer: Officer, order_id: UUID) -> None:
    """Wait a moment: whether the group is qualified now is said at once with the finding, and read a little later."""

    def about_the_group() -> bool:
        return any(
            entry.envelope.causation_id == order_id
            and entry.type_name in {"GroupQualified", "QualificationLapsed"}
            for entry in officer.journal.entries
        )

    with suppress(TimeoutError):
        await officer.journal.wait_until(about_the_group, within=A_MOMENT_S)
