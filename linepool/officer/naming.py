"""How the officer names things on the command line: by the beginnings of ids and hashes, by legal names, by days."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from uuid import UUID

from deploy.access.broker import AccessError
from linepool.officer.cases import Case, Subject


def find_case(cases: Mapping[UUID, Case], beginning: str) -> Case:
    """Return the case whose purchase's id begins so. Raises AccessError where there is none, or several."""
    found = [one for purchase_id, one in cases.items() if str(purchase_id).startswith(beginning.lower())]
    if len(found) != 1:
        raise AccessError(f"{len(found) or 'no'} purchases have an id that begins with {beginning}")
    return found[0]


def find_subject(case: Case, name: str) -> Subject:
    """Return the party: `coordinator`, a buyer's legal name, or how an id begins. Raises AccessError as above."""
    wanted = " ".join(name.split()).casefold()
    everyone = case.subjects.values()
    found = [
        one
        for one in everyone
        if wanted == one.legal_name.casefold() or (wanted, wanted) == ("coordinator", one.who[0])
    ] or [one for one in everyone if str(one.who[1]).startswith(wanted)]
    if len(found) != 1:
        raise AccessError(f"{len(found) or 'no'} parties of {case.name} are called {name}")
    return found[0]


def find_document(subject: Subject, beginning: str) -> str:
    """Return the hash of the party's document that begins so. Raises AccessError as above."""
    found = {one.sha256 for one in subject.filed if one.sha256.startswith(beginning.lower())}
    if len(found) != 1:
        raise AccessError(
            f"{len(found) or 'no'} documents of {subject.legal_name} have a hash that begins with {beginning}"
        )
    return found.pop()


def end_of(day: str) -> datetime:
    """Return the end of a day in UTC. Raises AccessError where it is no day."""
    try:
        return datetime.combine(date.fromisoformat(day), time.max, UTC)
    except ValueError:
        raise AccessError("--until is a day such as 2027-05-31") from None
