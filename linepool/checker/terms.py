"""I4, for terms: only the selected provider's lie before the group, each once, with all of their document and the right hash."""

import json
from base64 import b64decode
from binascii import Error as NotBase64
from collections import defaultdict
from collections.abc import Iterator, Mapping
from hashlib import sha256

from linepool.checker.history import History, Record

Key = tuple[str, int, str]
"""A purchase, an award, and the hash of terms."""
Parts = Mapping[int, list[Record]]
"""What was said as each part."""
PLACES = {"terms-document-part": "bidding.comparisons", "terms-presented": "bidding.events"}
"""Where alone these may stand: what only the group may read is on no topic that a provider reads."""


def check_terms(history: History) -> Iterator[str]:
    """Judge all terms that were presented, and all parts of their documents."""
    presented: dict[Key, list[Record]] = defaultdict(list)
    for record in history.facts("bidding.events", "terms-presented"):
        presented[_key(record)].append(record)
    parts: dict[Key, dict[int, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in history.facts("bidding.comparisons", "terms-document-part"):
        parts[_key(record)][record.body["part"]].append(record)
    yield from _misplaced(history)
    yield from _proposed(history, presented)
    for key, records in presented.items():
        yield from _hash(records[0])
        if not history.unsent:
            yield from _document(records, parts.get(key, {}))
    if not history.unsent:
        for key in parts.keys() - presented.keys():
            yield f"bidding.comparisons has parts of a document of {key[0]} that belongs to no terms"


def _key(record: Record) -> Key:
    return record.purchase, record.body["award"], record.body["terms_sha256"]


def _misplaced(history: History) -> Iterator[str]:
    for record in history.records:
        place = PLACES.get(record.type)
        # What providers write themselves says nothing of what they were shown.
        if place is not None and record.topic != place and not record.topic.startswith("replies."):
            yield f"{record.place} has a {record.type}, which belongs on {place} alone"


def _proposed(history: History, presented: Mapping[Key, list[Record]]) -> Iterator[str]:
    """Rejected terms may be proposed again, word for word: as often as they have a receipt, they lie before the group."""
    winners = {
        (record.purchase, record.body["award"]): record.body["provider_id"]
        for record in history.facts("bidding.events", "provider-selected")
    }
    proposed = _receipted_proposals(history)
    for key, records in presented.items():
        for record in records:
            if winners.get(key[:2]) != record.body["provider_id"]:
                yield f"{record.place} presents terms of {record.body['provider_id']}, which was not selected"
        if len(records) > len(proposed.get(key, ())):
            yield f"{records[-1].place} presents terms more often than their provider has receipts for"
    if not history.unsent:
        for key, places in proposed.items():
            if len(presented.get(key, ())) < len(places):
                yield f"{places[-1]} was receipted, and its terms never lay before the group"


def _receipted_proposals(history: History) -> dict[Key, list[str]]:
    """Return where the proposals stand that the selected provider has a receipt for; one that came twice stands once."""
    receipted = {
        (record.provider, record.body.get("message_id"), record.body.get("sha256"))
        for record in history.told("notices.", "receipt-issued")
    }
    found: dict[Key, dict[tuple[str, str], str]] = defaultdict(dict)
    for record in history.of_providers("replies."):
        said = (record.provider, record.id, sha256(record.value or b"").hexdigest())
        if record.type == "terms-proposed" and said in receipted:
            found[_key(record)].setdefault((record.provider, record.id), record.place)
    return {key: list(places.values()) for key, places in found.items()}


def _hash(record: Record) -> Iterator[str]:
    content = record.body["text"].encode()
    document = record.body.get("document")
    if document is not None:
        manifest = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        content += b"\x00" + manifest.encode()
    if sha256(content).hexdigest() != record.body["terms_sha256"]:
        yield f"{record.place} cites another hash than that of its text and document"


def _document(presented: list[Record], parts: Parts) -> Iterator[str]:
    first = presented[0]
    document = first.body.get("document")
    wanted = set() if document is None else set(range(1, document["parts"] + 1))
    if wanted - parts.keys():
        yield f"{first.place} has a document of which {len(wanted - parts.keys())} parts are missing"
        return
    for number, said in parts.items():
        if number not in wanted or len(said) > len(presented):
            yield f"{said[-1].place} is a part too many"
        if any(one.body != said[0].body for one in said):
            yield f"{said[-1].place} says something else than the same part before"
    if document is not None:
        content = b"".join(_bytes(parts[number][0]) for number in sorted(wanted))
        if len(content) != document["size"] or sha256(content).hexdigest() != document["sha256"]:
            yield f"{first.place} has a document whose parts are not what its manifest describes"


def _bytes(part: Record) -> bytes:
    try:
        return b64decode(part.body["data"], validate=True)
    except NotBase64:
        return b""
