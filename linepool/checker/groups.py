"""Groups: qualified at the levels that the operator asks for, acted for by letter, closed only when they are large enough.

Everything here is judged from what stood on the topic before, in its order: of one purchase all events of a service are on one
partition.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

from linepool.checker.history import History, Record, as_time
from linepool.checker.report import Verdict, found

LEVELS = ("address_confirmed", "registry_matched", "document_reviewed")
"""How far a party was looked into, the weakest first."""
ACTED = ("usage-reported", "billing-preferences-set")
"""What the coordinator may do for a buyer; where letters are required, only by one."""


def check_groups(history: History) -> Verdict:
    """Judge every qualification, every act on behalf of a buyer, and every group that was closed or given up."""
    findings: list[str] = []
    qualified = history.facts("rfp.events", "group-qualified")
    for qualification in qualified:
        findings += _levels(history, qualification)
    closed = history.facts("aggregation.events", "group-aggregated")
    for closing in closed:
        findings += [*_minimum(history, closing), *_letters(history, closing)]
    for type_ in ACTED:
        for act in history.facts("aggregation.events", type_):
            findings += _on_behalf(history, act)
    findings += _given_up(history)
    return found("group", findings, len(qualified) + len(closed))


def _levels(history: History, qualification: Record) -> Iterator[str]:
    """Compare a qualification with the newest finding about each party that was said before it."""
    drafted = _before(history, qualification, "request-drafted")
    body, policy = qualification.body, drafted[-1].body.get("policy") if drafted else None
    if policy is None:
        if drafted and body.get("policy") is None:
            # Said before there were policies.
            return
        yield f"{qualification.place} qualifies {qualification.purchase}, which was not drafted with its policy"
        return
    if body.get("policy") != policy:
        yield f"{qualification.place} qualifies {qualification.purchase} under another policy than it was drafted with"
    newest = _newest_findings(history, qualification)
    for (party, party_id), record in newest.items():
        if record.type == "group-not-qualified":
            yield f"{qualification.place} qualifies {qualification.purchase}, whose {party} {party_id} was refused"
    everyone = _buyers(history, qualification, body["snapshot"])
    needed = len(everyone) if policy["buyers"] == "all" else min(int(policy["buyers"]), len(everyone))
    for of, level, least in (
        ("coordinator", policy["coordinator_level"], 1),
        ("buyer", policy["buyer_level"], needed),
    ):
        until = sorted(
            (
                as_time(record.body["valid_until"])
                for (party, _), record in newest.items()
                if party == of and record.type == "buyer-verified" and _reaches(record, level)
            ),
            reverse=True,
        )
        if len(until) < least:
            yield (
                f"{qualification.place} qualifies {qualification.purchase} with {len(until)} of {least} {of} "
                f"at the level {level}"
            )
        elif least and as_time(body["valid_until"]) > until[least - 1]:
            yield f"{qualification.place} is valid longer than what was found about a {of}"


def _newest_findings(history: History, qualification: Record) -> dict[tuple[str, str], Record]:
    """Return the newest finding about each party that was said before a qualification, about its snapshot."""
    types = ("buyer-verified", "group-not-qualified")
    findings = [one for type_ in types for one in _before(history, qualification, type_)]
    return {
        (record.body["party"], record.body["party_id"]): record
        for record in sorted(findings, key=lambda one: one.offset)
        if record.body["snapshot"] == qualification.body["snapshot"]
    }


def _reaches(finding: Record, level: str) -> bool:
    return LEVELS.index(finding.body.get("level", "registry_matched")) >= LEVELS.index(level)


def _buyers(history: History, qualification: Record, snapshot: str) -> list[str]:
    for closing in history.facts("aggregation.events", "group-aggregated"):
        if closing.purchase == qualification.purchase and closing.body["snapshot"] == snapshot:
            return list(closing.body["buyer_ids"])
    return []


def _minimum(history: History, closing: Record) -> Iterator[str]:
    """A group below its minimum is closed by its coordinator alone, after the time, and where that was left to them."""
    if _before(history, closing, "group-dissolved"):
        yield f"{closing.place} closes {closing.purchase}, which was given up"
    said = _before(history, closing, "minimum-set")
    if not said:
        return
    minimum, body = said[-1].body, closing.body
    if len(body["buyer_ids"]) >= minimum["buyers"] and body["lines"] >= minimum["lines"]:
        return
    size = f"{len(body['buyer_ids'])} buyers with {body['lines']} lines"
    least = f"{minimum['buyers']} with {minimum['lines']}"
    if minimum["otherwise"] != "coordinator_decides":
        yield f"{closing.place} closes {closing.purchase} with {size}, below its minimum of {least}"
        return
    if _decided_at(closing) < as_time(minimum["decide_by"]):
        yield f"{closing.place} closes {closing.purchase} with {size}, below {least}, before its time was over"
    if closing.header("ce_actorid") != _coordinator(history, closing):
        yield f"{closing.place} closes {closing.purchase} below its minimum by somebody else than its coordinator"


def _letters(history: History, closing: Record) -> Iterator[str]:
    """Each buyer of a group that is closed has a letter that is valid on that day, for all that its usage names."""
    if not _letters_required(history, closing):
        return
    used = _services(history, closing)
    day = _decided_at(closing).astimezone(UTC).date()
    for buyer in closing.body["buyer_ids"]:
        letter = _letter(history, closing, buyer)
        if letter is None:
            yield f"{closing.place} closes {closing.purchase} without a letter of agency of buyer {buyer}"
            continue
        agency = letter.body["agency"]
        if not date.fromisoformat(agency["valid_from"]) <= day <= date.fromisoformat(agency["valid_until"]):
            yield f"{closing.place} closes {closing.purchase} on {day}, when the letter of buyer {buyer} is not valid"
        for service in sorted(used.get(buyer, ())):
            if not any(service == one or service.startswith(f"{one}.") for one in agency["services"]):
                yield f"{closing.place} closes {closing.purchase}, and the letter of buyer {buyer} does not cover {service}"


def _on_behalf(history: History, act: Record) -> Iterator[str]:
    """What a coordinator does for a buyer of another contact person rests on a letter, and says for whom it is done."""
    coordinator, buyer = _coordinator(history, act), act.body["buyer_id"]
    if not _letters_required(history, act) or act.header("ce_actorid") != coordinator:
        return
    joined = [one for one in _before(history, act, "buyer-joined") if one.body["buyer_id"] == buyer]
    if joined and joined[-1].body["contact_id"] == coordinator:
        return
    if _letter(history, act, buyer) is None:
        yield f"{act.place} was done on behalf of buyer {buyer}, whose letter of agency was not filed"
    for order in history.topic("aggregation.commands"):
        if order.id == act.header("ce_causationid") and order.actor.get("on_behalf_of") != buyer:
            yield f"{act.place} was ordered by {order.place}, which does not say that it is on behalf of buyer {buyer}"


def _given_up(history: History) -> Iterator[str]:
    """A group that stays too small is given up where that was to follow, and not otherwise."""
    given_up = {one.purchase for one in history.facts("aggregation.events", "group-dissolved")}
    for missed in history.facts("aggregation.events", "minimum-missed"):
        said = _before(history, missed, "minimum-set")
        minimum: dict[str, Any] = said[-1].body if said else {}
        if missed.body["otherwise"] != minimum.get("otherwise"):
            yield f"{missed.place} misses a minimum that was never set so"
        elif missed.body["buyers"] >= minimum["buyers"] and missed.body["lines"] >= minimum["lines"]:
            yield f"{missed.place} misses a minimum that was reached"
        elif _decided_at(missed) < as_time(minimum["decide_by"]):
            yield f"{missed.place} misses a minimum before its time was over"
        if missed.body["otherwise"] == "dissolve" and missed.purchase not in given_up and not history.unsent:
            yield f"{missed.place} misses the minimum of {missed.purchase}, which was to be given up then and was not"


def _before(history: History, record: Record, type_: str) -> list[Record]:
    """Return what the same service said of the same purchase before a record, of one type."""
    return [
        one
        for one in history.facts(record.topic, type_)
        if one.purchase == record.purchase and one.offset < record.offset
    ]


def _letter(history: History, record: Record, buyer: str) -> Record | None:
    letters = [one for one in _before(history, record, "letter-filed") if one.body["buyer_id"] == buyer]
    return letters[-1] if letters else None


def _letters_required(history: History, record: Record) -> bool:
    return any(one.body.get("letters_required") for one in _before(history, record, "group-opened"))


def _coordinator(history: History, record: Record) -> str | None:
    opened = _before(history, record, "group-opened")
    return opened[-1].body["coordinator_id"] if opened else None


def _services(history: History, closing: Record) -> dict[str, set[str]]:
    """Return the services that each buyer's report that counts names."""
    used: dict[str, set[str]] = {}
    for part in history.facts("aggregation.usage", "usage-lines-reported"):
        buyer = part.body["buyer_id"]
        if part.purchase == closing.purchase and closing.body["reports"].get(buyer) == part.body["report_id"]:
            for line in part.body["lines"]:
                used.setdefault(buyer, set()).update(one["service"] for one in line["services"])
    return used


def _decided_at(record: Record) -> datetime:
    return as_time(record.header("ce_time"))
