"""Judges the ledgers of disclosure: each row was said as a fact, each fact has its rows, and both say the same."""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from linepool.audit.chains import Finding
from linepool.audit.evidence import LedgerRow, Logged, Said
from linepool.audit.gathered import Claim, Gathered
from shared.messages import Message, registry
from shared.messages.bidding import AccessRequestReceived
from shared.messages.distribution import AccessGranted, AccessRefused, ProviderInvited

_SERVICE = "distribution"
_MODES = {"transmitted": "transmit", "offered": "grant"}
FACTS: Mapping[str, tuple[type[Message], ...]] = {
    "ledger": (ProviderInvited, AccessGranted),
    "ledger of requests for access": (AccessGranted, AccessRefused),
}
"""Which facts have a row in which ledger."""
DISCLOSURES, REQUESTS = FACTS
BODIES = frozenset(fact.type() for facts in FACTS.values() for fact in facts)


def other_streams(service: str) -> list[str]:
    """Return the streams of other services on which stands what this one's ledgers answer."""
    return [AccessRequestReceived.stream] if service == _SERVICE else []


def disclosure(row: Any) -> LedgerRow:
    """Read a row of `disclosures`: to whom something was transmitted or offered, or access granted."""
    says = {name: row[name] for name in ("request_version", "provider_id", "content_sha256", "qualification")}
    fact: type[Message] = AccessGranted if row["kind"] == "granted" else ProviderInvited
    if row["kind"] == "granted":
        says["granted_at"] = row["disclosed_at"]
    else:
        says["mode"] = _MODES.get(row["kind"], row["kind"])
    return LedgerRow(
        DISCLOSURES,
        f"request version {row['request_version']} {row['provider_id']}",
        row["purchase_id"],
        row["cause_id"],
        row["disclosed_at"],
        fact,
        says,
    )


def access_request(row: Any) -> LedgerRow:
    """Read a row of `access_requests`: what came of a request for access.

    Whoever asked again and was shown the request before (`is_shown`) is told nothing, so no fact says so.
    """
    answers = {name: row[name] for name in ("request_id", "request_version", "provider_id")}
    says = dict(answers)
    answers |= {"purchase_id": row["purchase_id"], "message_id": row["message_id"]}
    fact: type[Message] | None = AccessRefused
    if row["outcome"] == "granted":
        fact, says = AccessGranted, says | {"granted_at": row["decided_at"]}
    elif row["outcome"] == "shown_before" and row["is_shown"]:
        fact = None
    else:
        says |= {"message_id": row["message_id"], "reason": row["outcome"]}
    return LedgerRow(
        REQUESTS,
        f"request {row['request_id']} {row['provider_id']}",
        row["purchase_id"],
        row["cause_id"],
        row["decided_at"],
        fact,
        says,
        row["request_id"],
        answers,
    )


def judge_ledgers(gathered: Gathered, purchase_id: UUID | None = None) -> Iterator[Finding]:
    """Compare the ledgers with the log and with what was asked; what stands in a body only where its event is there."""
    about = None if purchase_id is None else str(purchase_id)
    hears_all = bool(gathered.others) and not any(topic.cut for topic in gathered.others.values())
    for claim in gathered.claims():
        if about in {None, claim.purchase_id}:
            yield from _judge(claim, hears_all=hears_all)
    for ledger, facts in FACTS.items():
        for fact in gathered.unclaimed(ledger, [one.type() for one in facts]):
            if about in {None, fact.subject}:
                detail = f"version {fact.entry.sequence} of the log has no row here"
                yield Finding(_SERVICE, "deleted", f"{ledger} of {fact.subject}", detail)


def _judge(claim: Claim, *, hears_all: bool) -> Iterator[Finding]:
    place = f"{claim.ledger} of {claim.purchase_id} {claim.place}"
    if claim.is_said and claim.fact is None:
        yield Finding(_SERVICE, "inserted", place, "no fact of the log says so")
    elif claim.fact is not None and (wrong := [*_unlike_fact(claim, claim.fact)]):
        yield Finding(_SERVICE, "edited", place, f"not as the log's fact says: {', '.join(wrong)}")
    if claim.answers and claim.asked is None and hears_all:
        yield Finding(_SERVICE, "inserted", place, f"nothing on {AccessRequestReceived.stream} asked for it")
    elif claim.asked is not None and (wrong := [*_unlike(claim.answers, claim.asked)]):
        yield Finding(_SERVICE, "edited", place, f"not as {claim.asked.place} asked: {', '.join(wrong)}")


def _unlike_fact(claim: Claim, fact: Logged) -> Iterator[str]:
    if claim.at != fact.entry.decided_at:
        yield "its time"
    if claim.purchase_id != fact.subject:
        yield "purchase_id"
    if claim.event is not None:
        yield from _unlike(claim.says, claim.event)


def _unlike(values: Mapping[str, str], event: Said) -> Iterator[str]:
    try:
        said = registry[event.entry.type].model_validate_json(event.body)
    except ValidationError:
        yield "its whole body"
        return
    yield from (name for name, value in values.items() if str(getattr(said, name)) != value)
