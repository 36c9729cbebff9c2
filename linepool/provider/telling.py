"""What a provider was told, as one line for people or one JSON object for programs."""

from typing import Any

import orjson

from linepool.client.journal import Entry
from shared.messages.bidding import (
    CheckpointPublished,
    InclusionProved,
    MessageRejected,
    ReceiptIssued,
    ReplyDisqualified,
)
from shared.messages.distribution import (
    AccessOffered,
    AnswerPresented,
    CancellationPresented,
    PresentedDocumentPart,
    RequestPresented,
)
from shared.messages.notification import (
    AcceptanceNotified,
    AccessRefusalNotified,
    AwardNotified,
    RejectionNotified,
    UnsuccessfulNotified,
)


def as_json(entry: Entry) -> dict[str, Any]:
    """Return an entry as JSON's values; `message` is the body, or null where it is not JSON."""
    try:
        body = orjson.loads(entry.body or b"")
    except orjson.JSONDecodeError:
        body = None
    return {
        "topic": entry.topic,
        "offset": entry.offset,
        "appended_at": entry.appended_at.isoformat().replace("+00:00", "Z"),
        "id": entry.envelope.id,
        "type": entry.envelope.type,
        "message": body,
    }


def one_line(entry: Entry) -> str:
    """Return what an entry says, with the broker's time in UTC. Text of others is shown without line breaks."""
    said = " ".join(_sentence(entry).split())
    printable = "".join(character if character.isprintable() else "?" for character in said)
    return f"{entry.appended_at:%Y-%m-%d %H:%M:%S}Z  {printable}"


def _sentence(entry: Entry) -> str:  # noqa: C901, PLR0911, PLR0912 # one case for each thing that can be told
    match entry.message:
        case RequestPresented() as said:
            return (
                f"request {said.purchase_id} version {said.request_version}: {said.title}; reply before "
                f"{said.deadline:%Y-%m-%d %H:%M:%S} UTC"
            )
        case AccessOffered() as said:
            return (
                f"access offered to {said.purchase_id} version {said.request_version}: {said.title}; reply before "
                f"{said.deadline:%Y-%m-%d %H:%M:%S} UTC"
            )
        case PresentedDocumentPart() as said:
            return f"part {said.part} of {said.document.parts} of the document {said.document.name}"
        case AnswerPresented() as said:
            return f"question about {said.purchase_id}: {said.question} Answer: {said.answer}"
        case CancellationPresented() as said:
            return f"{said.purchase_id} is called off: {said.reason}"
        case ReceiptIssued() as said:
            reply = f"; it is the reply {said.reply_id}" if said.reply_id else ""
            return f"receipt for message {said.message_id} ({said.message_type}){reply}"
        case MessageRejected() as said:
            return f"rejected: message {said.message_id or 'without an id'}, {said.reason}: {said.detail}"
        case ReplyDisqualified() as said:
            return f"reply {said.reply_id} is not evaluated: it {said.reason}"
        case CheckpointPublished() as said:
            return f"checkpoint {said.number} of {said.purchase_id}"
        case InclusionProved() as said:
            return f"proof for checkpoint {said.checkpoint} of {said.purchase_id}"
        case AccessRefusalNotified() as said:
            return f"access to {said.purchase_id} refused, {said.reason}: {said.detail}"
        case AwardNotified() as said:
            buyers = ", ".join(buyer.legal_name for buyer in said.buyers)
            return f"award {said.award} of {said.purchase_id} is yours, for reply {said.reply_id}. Buyers: {buyers}"
        case UnsuccessfulNotified() as said:
            return f"reply {said.reply_id} was not selected; its rank is {said.rank}. {said.reason}"
        case AcceptanceNotified() as said:
            return f"the terms of award {said.award} of {said.purchase_id} are accepted"
        case RejectionNotified() as said:
            return f"the terms of award {said.award} of {said.purchase_id} are rejected: {said.reason}"
        case _:
            return f"something of the type {entry.type_name}, which this version of the kit does not know"
