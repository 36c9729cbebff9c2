"""The rejections by rule, in the words that a provider reads, and the bounds that they speak of."""

from services.bidding.domain.arrivals import Rejection

QUESTIONS = 20
"""So many questions about a purchase may one provider ask."""
DOCUMENTS = 3
"""Of so many documents may parts lie here that no terms were presented with."""

UNKNOWN = Rejection("unknown_purchase", "There is no such purchase.")
REUSED = Rejection("id_reused", "Another message came under this id before.")
LATE = Rejection("late", "It was appended at the deadline or after it.")
CANCELLED = Rejection("cancelled", "The purchase was called off.")
NOT_SELECTED = Rejection(
    "not_selected", "Terms are taken from the provider of the award that stands, for that award."
)
NOT_DUE = Rejection(
    "terms_not_due", "Terms lie before the group or wait for their document already, or were accepted."
)
OTHER_TERMS = Rejection("invalid", "terms_sha256: is not the hash of text and document")
TOO_MANY_DOCUMENTS = Rejection("too_many", f"Of at most {DOCUMENTS} documents parts are kept for an award.")
HASH_WRONG = Rejection(
    "hash_wrong", "All parts together have another hash than the document; none of them was kept."
)
INCOMPLETE = Rejection("document_incomplete", "Not all parts of the document came in time.")
NOT_SEALED = Rejection(
    "not_sealed", "Replies must be sealed with the key of the invitation; nothing of it was kept."
)
NO_SEAL = Rejection("invalid", "seal: replies to this request are not sealed")
NO_SUCH_REPLY = Rejection("no_such_reply", "reply_id: is not the reply of this sender that stands")
NO_SUCH_VERSION = Rejection("invalid", "request_version: there is no such version of the request")
TOO_MANY_QUESTIONS = Rejection("too_many", f"A provider asks at most {QUESTIONS} questions about a purchase.")
REVISION_USED = Rejection("revision_used", "Another reply came under this revision before.")
REVISION_FELL = Rejection("revision_used", "The revision must be higher than that of every reply before.")
