"""I1, for answers: only to those in the disclosure ledger, and to all of them at the same time."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime

from linepool.checker.history import History, Row, as_time

LedgerKey = tuple[str, int, str, str]
"""Purchase, version, provider, and what the row says: transmitted, offered or granted."""


def ledger_by_key(history: History) -> dict[LedgerKey, Row]:
    """Return the rows of the disclosure ledger."""
    return {
        (
            str(row["purchase_id"]),
            int(row["request_version"]),
            str(row["provider_id"]),
            str(row.get("kind", "transmitted")),
        ): row
        for row in history.rows("distribution", "disclosures")
    }


def check_answers(history: History) -> Iterator[str]:
    """Judge every answer that was presented, and every row of the ledger of answers."""
    answered = {
        record.body["question_id"]: record for record in history.facts("rfp.events", "question-answered")
    }
    told = {
        (str(row["question_id"]), str(row["provider_id"])): as_time(row["disclosed_at"])
        for row in history.rows("distribution", "answer_disclosures")
    }
    presented = set()
    for record in history.told("invitations.", "answer-presented"):
        question = str(record.body.get("question_id"))
        presented.add((question, record.provider))
        fact = answered.get(question)
        if fact is None or fact.body != record.body:
            yield f"{record.place} is not an answer that the coordinator gave"
        elif (question, record.provider) not in told:
            yield f"{record.place} has no row in the ledger of answers"
    for key in told.keys() - presented:
        if not history.unsent:
            yield f"the ledger of answers names {key[1]} for question {key[0]}, but nothing was presented"
    for question, fact in answered.items():
        times = {provider: at for (one, provider), at in told.items() if one == question}
        yield from _simultaneous(history, fact.purchase, question, times)


def _simultaneous(history: History, purchase: str, question: str, told: dict[str, datetime]) -> Iterator[str]:
    own = _own_moments(history, purchase)
    with_others = {provider: at for provider, at in told.items() if at not in own[provider]}
    if not with_others:
        return
    first = min(with_others.values())
    for provider, at in with_others.items():
        if at != first:
            yield f"question {question} was answered to {provider} at {at.isoformat()}, to others at {first.isoformat()}"
    barred = {
        str(record.body["provider_id"])
        for type_ in ("provider-suspended", "provider-removed")
        for record in history.facts("rfp.events", type_)
    }
    for key, row in ledger_by_key(history).items():
        if key[0] == purchase and key[2] not in {*told, *barred} and as_time(row["disclosed_at"]) < first:
            yield f"question {question} was answered to others, and never to {key[2]}"


def _own_moments(history: History, purchase: str) -> dict[str, set[datetime]]:
    """Return when each provider was itself shown something: whoever comes later is told the earlier answers then."""
    moments: dict[str, set[datetime]] = defaultdict(set)
    for table, column in (("disclosures", "disclosed_at"), ("access_requests", "decided_at")):
        for row in history.rows("distribution", table):
            if str(row["purchase_id"]) == purchase:
                moments[str(row["provider_id"])].add(as_time(row[column]))
    return moments
