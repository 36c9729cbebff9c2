"""The one hash of terms, which the group cites to accept them: of the text, and of the document's manifest where there is one."""

from hashlib import sha256

from shared.canonical import canonical_json
from shared.messages.providers import TermsDocument


def terms_digest(text: str, document: TermsDocument | None = None) -> str:
    """Return the SHA-256, in lower-case hex, of the text's UTF-8 bytes; with a document, then a NUL and its manifest.

    The manifest is the canonical JSON of its fields. No text holds a NUL, so terms with a document and without never have the
    same hash.
    """
    content = text.encode()
    if document is not None:
        content += b"\x00" + canonical_json(document.model_dump(mode="json"))
    return sha256(content).hexdigest()
