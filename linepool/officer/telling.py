"""How cases are told: to people in lines, to programs as JSON."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from linepool.officer.cases import Case, Filed, Subject
from linepool.registers import form_of
from shared.messages.aggregation import ContactRecorded

FORMS = {"well_formed": "well formed", "malformed": "malformed", "not_checked": "no check digits known"}


def visible(text: str) -> str:
    """Return a text of somebody's with what would not be seen, or would turn what is seen around, written out."""
    return "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in text)


def wanted(case: Case) -> str:
    """Say what the group needs."""
    if case.policy is None:
        return "what is asked for is not known yet"
    buyers = case.policy.buyers
    how_many = "every buyer" if buyers == "all" else f"{buyers} buyer{'s' if buyers > 1 else ''}"
    return (
        f"coordinator {_plain(case.policy.coordinator_level)}, {how_many} {_plain(case.policy.buyer_level)}"
    )


def standing(subject: Subject, now: datetime) -> str:
    """Say how a party stands, by the newest finding about it."""
    if not subject.found:
        return "not looked at"
    newest = subject.found[-1]
    if newest.outcome == "refused":
        return f"refused: {newest.reason}"
    until = f"{newest.valid_until:%Y-%m-%d}" if newest.valid_until else "?"
    if not newest.holds(now):
        return f"expired on {until}"
    return f"{_plain(newest.level or '?')} until {until}"


def filed(subject: Subject) -> str:
    """Say which documents there are about a party."""
    return ", ".join(f"{_plain(one.kind)} {one.sha256[:12]}" for one in subject.filed) or "no documents"


def lines_of(case: Case, now: datetime) -> Iterable[str]:
    """Yield a case in a few lines, one for each party."""
    since = f"since {case.waiting_since:%Y-%m-%d %H:%M} UTC" if case.waiting_since else "not closed yet"
    yield f"{case.purchase_id}  {case.name}, {since}; needs {wanted(case)}"
    for subject in case.subjects.values():
        party, party_id = subject.who
        yield f"  {party} {str(party_id)[:8]}  {subject.legal_name}: {standing(subject, now)}; {filed(subject)}"


def details_of(subject: Subject, contact: ContactRecorded | None, now: datetime) -> Iterable[str]:
    """Yield all that there is about a party, one thing a line. It has personal data."""
    party, party_id = subject.who
    yield f"{party} {party_id}: {subject.legal_name}"
    for one in subject.identifiers:
        yield f"  {one.scheme} {one.id} ({FORMS[form_of(one)]})"
    if contact is None:
        yield f"  person {subject.person_id}, of whom nothing is recorded"
    else:
        confirmed = "confirmed" if subject.address_confirmed else "not confirmed"
        phone = f", {contact.phone}" if contact.phone else ""
        yield f"  {contact.name} <{contact.email}> ({confirmed}){phone}; person {subject.person_id}"
    for document in subject.filed:
        yield f"  {_plain(document.kind)}, {document.size} bytes, {document.sha256}{_allows(document)}"
    for found in subject.found:
        what = f"refused: {found.reason}" if found.outcome == "refused" else _plain(found.level or "?")
        until = f" until {found.valid_until:%Y-%m-%d %H:%M} UTC" if found.valid_until else ""
        yield f"  {found.found_at:%Y-%m-%d %H:%M} {what}{until}"
    yield f"  now: {standing(subject, now)}"


def _allows(document: Filed) -> str:
    if document.agency is None:
        return ""
    agency = document.agency
    return f": {', '.join(agency.services)} from {agency.valid_from} to {agency.valid_until}, signed {agency.signed_on}"


def as_json(case: Case, now: datetime, contacts: dict[str, ContactRecorded] | None = None) -> dict[str, Any]:
    """Return a case for programs; with contacts where they were read."""
    return {
        "purchase_id": str(case.purchase_id),
        "name": case.name,
        "snapshot": case.snapshot,
        "waiting_since": _time(case.waiting_since),
        "qualified_until": _time(case.qualified.valid_until) if case.qualified else None,
        "waits": case.waits(now),
        "policy": case.policy.model_dump() if case.policy else None,
        "parties": [_party(case, subject, now, contacts) for subject in case.subjects.values()],
    }


def _party(
    case: Case, subject: Subject, now: datetime, contacts: dict[str, ContactRecorded] | None
) -> dict[str, Any]:
    party, party_id = subject.who
    contact = contacts.get(str(subject.person_id)) if contacts else None
    return {
        "party": party,
        "party_id": str(party_id),
        "legal_name": subject.legal_name,
        "person_id": str(subject.person_id),
        "identifiers": [{**one.model_dump(), "form": form_of(one)} for one in subject.identifiers],
        "level": subject.level(now),
        "needed": case.needed(party),
        "address_confirmed": subject.address_confirmed,
        "standing": standing(subject, now),
        "documents": [
            {
                "kind": one.kind,
                "sha256": one.sha256,
                "size": one.size,
                "filed_at": _time(one.filed_at),
                "agency": one.agency.model_dump(mode="json") if one.agency else None,
            }
            for one in subject.filed
        ],
        **({"contact": contact.model_dump(mode="json") if contact else None} if contacts is not None else {}),
    }


def _time(time: datetime | None) -> str | None:
    return time.isoformat() if time else None


def _plain(word: str) -> str:
    return word.replace("_", " ")
