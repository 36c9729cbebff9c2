"""I1: who was shown what, against the frozen lists and the qualifications that rfp announced."""

from base64 import b64decode
from collections.abc import Iterator, Mapping
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from linepool.checker.answers import check_answers, ledger_by_key
from linepool.checker.history import History, Record, Row, as_time
from linepool.checker.report import Verdict, found

CONTENT = ("request-presented", "presented-document-part")
TO_THE_LEDGER = ("cancellation-presented", "answer-presented")
"""Told to everyone who was shown or offered any version, and to nobody else."""
OFFER: dict[str, tuple[str, ...]] = {
    "purchase_id": ("purchase_id",),
    "request_version": ("request_version",),
    "title": ("title",),
    "deadline": ("deadline",),
    "content_sha256": ("content", "sha256"),
}
"""All that an offer shows, and where the issued request has it."""
OVERTAKING = timedelta(seconds=1)
"""A lapse that was taken so long before an opening cannot have been on its way at the same moment."""
Key = tuple[str, int]


def check_disclosure(history: History) -> Verdict:
    """Judge every record on `invitations.*`, and every row of the disclosure ledger and of the ledger of answers."""
    shown = history.of_providers("invitations.")
    findings = [*_presentations(history), *_ledger(history), *check_answers(history)]
    return found("I1", findings, len(shown))


def _presentations(history: History) -> Iterator[str]:
    issued = _issued(history)
    ledger = ledger_by_key(history)
    for record in history.of_providers("invitations."):
        if record.header("ce_source") != "/linepool/distribution":
            yield f"{record.place} was not written by distribution"
        if record.type in TO_THE_LEDGER:
            if not any(key[0] == record.purchase and key[2] == record.provider for key in ledger):
                yield f"{record.place} tells of purchase {record.purchase}, of which {record.provider} was shown nothing"
            continue
        if record.type not in (*CONTENT, "access-offered"):
            yield f"{record.place} is a {record.type or 'record without a type'}, which distribution never says"
            continue
        key = (record.purchase, int(record.body.get("request_version", 0)))
        request = issued.get(key)
        if request is None:
            yield f"{record.place} shows version {key[1]} of {key[0]}, which was never issued"
            continue
        if record.provider not in request.body["provider_ids"]:
            yield f"{record.place} shows a request to {record.provider}, who is not on its list"
        yield from _unlike_issued(record, request)
        row = ledger.get((*key, record.provider, _kind(record, request)))
        if row is None:
            yield f"{record.place} has no row in the disclosure ledger"
        else:
            yield from _unqualified(history, record, request, row)
        if _kind(record, request) == "granted":
            yield from _not_asked_for(history, record)


def _kind(record: Record, request: Record) -> str:
    if record.type == "access-offered":
        return "offered"
    return "granted" if request.body.get("mode") == "grant" else "transmitted"


def _not_asked_for(history: History, record: Record) -> Iterator[str]:
    asked = [
        one
        for one in history.facts("bidding.events", "access-request-received")
        if one.purchase == record.purchase and one.body["provider_id"] == record.provider
    ]
    if not any(one.appended_at <= record.appended_at for one in asked):
        yield f"{record.place} shows a request that was only offered, before {record.provider} asked for it"


def _unlike_issued(record: Record, request: Record) -> Iterator[str]:
    body, issued = record.body, request.body
    if record.type == "access-offered":
        if issued.get("mode") != "grant":
            yield f"{record.place} offers a request that was to be transmitted"
        if more := sorted(body.keys() - OFFER.keys()):
            yield f"{record.place} shows more than an offer may: {', '.join(more)}"
        if any(body.get(own) != _value(issued, where) for own, where in OFFER.items()):
            yield f"{record.place} offers something else than the request that was issued"
        return
    if record.type == "request-presented":
        if (body.get("content"), body.get("documents")) != (issued["content"], issued["documents"]):
            yield f"{record.place} names other documents than the request that was issued"
        text = body.get("content_json")
        if text is not None and sha256(text.encode()).hexdigest() != issued["content"]["sha256"]:
            yield f"{record.place} has content with another hash than the request that was issued"
        return
    document = body.get("document") or {}
    if document not in [issued["content"], *issued["documents"]]:
        yield f"{record.place} is a part of a document that the request does not name"
    elif document["parts"] == 1 and sha256(b64decode(body["data"])).hexdigest() != document["sha256"]:
        yield f"{record.place} is not what its manifest describes"


def _unqualified(history: History, record: Record, request: Record, row: Row) -> Iterator[str]:
    number, disclosed_at = int(row["qualification"]), as_time(row["disclosed_at"])
    qualified = [
        one
        for one in history.facts("rfp.events", "group-qualified")
        if one.purchase == record.purchase and one.body["number"] == number
    ]
    if not qualified:
        yield f"{record.place} rests on qualification {number}, which rfp never gave"
        return
    first = qualified[0]
    if first.body["snapshot"] != request.body["snapshot"]:
        yield f"{record.place} rests on a qualification of another snapshot of the group"
    if record.appended_at < first.appended_at:
        yield f"{record.place} was appended before its group was qualified"
    if disclosed_at >= as_time(first.body["valid_until"]):
        yield f"{record.place} rests on a qualification that was no longer valid at {disclosed_at.isoformat()}"
    if disclosed_at >= as_time(request.body["deadline"]):
        yield f"{record.place} was shown after the deadline"
    for lapse in history.facts("rfp.events", "qualification-lapsed"):
        if lapse.purchase != record.purchase or lapse.body["number"] != number:
            continue
        inbox_id = _inbox_id(history.prefix, lapse)
        for one in history.rows("distribution", "inbox"):
            if str(one["id"]) == inbox_id and as_time(one["received_at"]) + OVERTAKING < disclosed_at:
                known_at = as_time(one["received_at"]).isoformat()
                yield f"{record.place} rests on a qualification whose lapse was known since {known_at}"


def _ledger(history: History) -> Iterator[str]:
    issued = _issued(history)
    ledger = ledger_by_key(history)
    presented = {
        (type_, record.purchase, int(record.body.get("request_version", 0)), record.provider)
        for type_ in ("request-presented", "access-offered")
        for record in history.told("invitations.", type_)
    }
    for key, row in ledger.items():
        *version, provider, kind = key
        request = issued.get(key[:2])
        if request is None or provider not in request.body["provider_ids"]:
            yield f"the ledger names {provider} for version {key[1]} of {key[0]}, whose list does not"
        elif row["content_sha256"] != request.body["content"]["sha256"]:
            yield f"the ledger has another content hash for version {key[1]} of {key[0]} than was issued"
        if kind == "granted" and (*key[:3], "offered") not in ledger:
            yield f"the ledger has {provider} granted version {key[1]} of {key[0]}, which it was never offered"
        type_ = "access-offered" if kind == "offered" else "request-presented"
        if (type_, *version, provider) not in presented and not history.unsent:
            yield f"the ledger names {provider} for version {key[1]} of {key[0]}, but nothing was presented"


def _issued(history: History) -> dict[Key, Record]:
    return {
        (record.purchase, int(record.body["request_version"])): record
        for record in history.facts("rfp.events", "request-issued")
    }


def _value(body: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = body
    for name in path:
        value = value[name]
    return value


def _inbox_id(prefix: str, record: Record) -> str:
    return str(uuid5(NAMESPACE_URL, f"linepool:inbox/{prefix}{record.topic}/id/{record.id}"))
