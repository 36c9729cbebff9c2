"""Judges the disclosure ledger: each row was said as a fact, each fact has its row, and both say the same."""

from collections.abc import Iterable, Iterator, Mapping
from uuid import UUID

from linepool.audit.chains import Finding, Kind
from linepool.audit.evidence import Disclosure, Logged, Said
from shared.envelope import derived_id
from shared.messages.distribution import AccessGranted, ProviderInvited

_SERVICE = "distribution"


def judge_ledger(
    disclosures: Iterable[Disclosure], log: Iterable[Logged], events: Mapping[UUID, Said]
) -> Iterator[Finding]:
    """Compare the ledger with the log; what a fact says in its body only where its event is among `events`, by id."""
    said_of = {fact.type() for fact in (ProviderInvited, AccessGranted)}
    facts = {row.entry.event_id: row for row in log if row.entry.type in said_of}
    found = set()
    for row in disclosures:
        model: type[ProviderInvited | AccessGranted] = (
            AccessGranted if row.kind == "granted" else ProviderInvited
        )
        fact_id = derived_id(row.cause_id, model.type(), "", 0)
        fact = facts.get(fact_id)
        if fact is None:
            yield _finding(row, "inserted", "no fact of the log says so")
            continue
        found.add(fact_id)
        wrong = ["disclosed_at"] if row.disclosed_at != fact.entry.decided_at else []
        wrong += ["purchase_id"] if str(row.purchase_id) != fact.subject else []
        if event := events.get(fact_id):
            said = model.model_validate_json(event.body)
            names = ("request_version", "provider_id", "content_sha256", "qualification")
            wrong += [name for name in names if getattr(row, name) != getattr(said, name)]
        if wrong:
            yield _finding(row, "edited", f"not as the log's fact says: {', '.join(wrong)}")
    for fact_id, fact in facts.items():
        if fact_id not in found and not fact.adopted:
            place = f"ledger of {fact.subject}"
            yield Finding(
                _SERVICE, "deleted", place, f"version {fact.entry.sequence} of the log has no row here"
            )


def _finding(row: Disclosure, kind: Kind, detail: str) -> Finding:
    place = f"ledger of {row.purchase_id} request version {row.request_version} {row.provider_id}"
    return Finding(_SERVICE, kind, place, detail)
