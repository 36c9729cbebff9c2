"""Reading what a provider sent, hostile until proven otherwise: nothing in it makes this fail or take long."""

import re
from uuid import UUID

from pydantic import ValidationError

from services.bidding.domain.arrivals import Arrival, ProviderWord, Rejection, WithoutContent
from services.bidding.domain.box import NoOffer
from shared.fetched import UNREADABLE
from shared.messages.providers import (
    MESSAGE_BYTES,
    AccessRequested,
    InvitationAcknowledged,
    InvitationDeclined,
    Offer,
    QuestionAsked,
    ReplySubmitted,
    ReplyWithdrawn,
    TermsPartSent,
    TermsProposed,
)
from shared.record import Record

MESSAGE_DEPTH = 10
"""JSON nested deeper is rejected; a price tier stands at depth 6."""
DETAIL_LENGTH = 300

UNREADABLE_BATCH = Rejection(
    "unreadable",
    "A batch of records could not be read, and nothing of it is taken; unpacked, it may hold 4 MiB.",
)
WORDS: dict[str, type[ProviderWord]] = {
    word.type(): word
    for word in (
        ReplySubmitted,
        ReplyWithdrawn,
        InvitationDeclined,
        InvitationAcknowledged,
        AccessRequested,
        QuestionAsked,
        TermsPartSent,
        TermsProposed,
    )
}
_MESSAGE_ID = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
# A string that never ends is taken to the end of the body: each byte is looked at once, whatever was sent.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_OPEN = ord("[")


def read(record: Record) -> Arrival:
    """Read a record of `replies.<provider id>`; who said it is the topic, never the payload."""
    message_id = record.received.id
    if message_id is not None and _MESSAGE_ID.fullmatch(message_id) is None:
        message_id = None
    body = record.body or b""
    is_readable = all(name != UNREADABLE for name, _ in record.headers)
    word = _word(record.received.type, message_id, body) if is_readable else UNREADABLE_BATCH
    return Arrival(
        id=record.inbox_id,
        provider_id=record.provider_id,
        message_id=message_id,
        type=record.received.type if record.received.type in WORDS else None,
        sha256=record.sha256,
        appended_at=record.appended_at,
        body=body,
        word=word,
    )


def read_again(purchase_id: UUID, type_: str, body: bytes) -> ProviderWord | WithoutContent:
    """Read a message that was read before, and kept; of an unsealed reply only that it came."""
    return WORDS[type_].model_validate_json(body) if body else WithoutContent(purchase_id)


def read_offer(content: bytes) -> Offer | NoOffer:
    """Read what was in a seal, as hostile as what comes in the open; what is wrong is told without quoting it."""
    if _is_too_deep(content):
        return NoOffer(f"holds JSON that is nested more than {MESSAGE_DEPTH} deep")
    try:
        return Offer.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return NoOffer("holds no JSON in UTF-8")
    # The name of an unknown field, and the value of an unknown kind in pydantic's words, are the provider's own.
    path = first["loc"][:-1] if first["type"] == "extra_forbidden" else first["loc"]
    where = ".".join(str(step) for step in path) or "offer"
    return NoOffer(f"holds no valid offer: {where}: {first['type']}"[:DETAIL_LENGTH])


def _word(type_: str | None, message_id: str | None, body: bytes) -> ProviderWord | Rejection:
    if len(body) > MESSAGE_BYTES:
        return Rejection("too_large", f"A message has at most {MESSAGE_BYTES} bytes.")
    if message_id is None:
        return Rejection("invalid", "ce_id: must be there, with 1 to 200 printable characters")
    model = WORDS.get(type_ or "")
    if model is None:
        return Rejection("unknown_type", "ce_type: is none that is taken here")
    if _is_too_deep(body):
        return Rejection("unreadable", f"JSON is nested at most {MESSAGE_DEPTH} deep.")
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        return _rejection(error)


def _rejection(error: ValidationError) -> Rejection:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return Rejection("unreadable", "The body is not JSON in UTF-8.")
    field = ".".join(str(part) for part in first["loc"])
    others = error.error_count() - 1
    detail = f"{field or 'message'}: {first['msg']}"[:DETAIL_LENGTH]
    # A name that the provider made up stands in the path, and must not carry what a database cannot keep.
    detail = re.sub(r"[\x00-\x1f\x7f]", "?", detail)
    return Rejection("invalid", f"{detail} (and {others} more)" if others else detail)


def _is_too_deep(body: bytes) -> bool:
    if body.count(b"{") + body.count(b"[") <= MESSAGE_DEPTH:
        return False
    left = brackets = _STRING.sub(b"", body).translate(_ONE_KIND, _NO_BRACKETS)
    # Each round takes the innermost level away; what closes is gone after as many rounds as it is deep.
    for _ in range(MESSAGE_DEPTH):
        left = left.replace(b"[]", b"")
    return bool(left) and _depth_exceeds(brackets)


def _depth_exceeds(brackets: bytes) -> bool:
    depth = 0
    for bracket in brackets:
        depth += 1 if bracket == _OPEN else -1
        if depth > MESSAGE_DEPTH:
            return True
    return False
