"""Documents travel as numbered parts under the broker's size limit, and are checked against their manifest."""

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Iterator, Sequence
from hashlib import sha256

from shared.messages.base import DOCUMENT_BYTES, PART_BYTES, Document
from shared.outcomes import Refusal


def manifest_of(name: str, content: bytes) -> Document:
    """Describe a document; an empty one still has one part."""
    parts = max(1, -(-len(content) // PART_BYTES))
    return Document(name=name, sha256=sha256(content).hexdigest(), size=len(content), parts=parts)


def split(document: Document, content: bytes) -> Iterator[tuple[int, str]]:
    """Yield (part number from 1, base64 of the part)."""
    for number in range(1, document.parts + 1):
        yield number, b64encode(content[(number - 1) * PART_BYTES : number * PART_BYTES]).decode()


def join(document: Document, parts: Sequence[str]) -> bytes:
    """Put the parts, in order, together again.

    Raises:
        ValueError: they are not what the manifest describes.
    """
    content = b"".join(b64decode(part, validate=True) for part in parts)
    if (
        len(parts) != document.parts
        or len(content) != document.size
        or sha256(content).hexdigest() != document.sha256
    ):
        raise ValueError(f"the parts of {document.name!r} are not what its manifest describes")
    return content


def unfit(document: Document, part: int, data: str) -> Refusal | None:
    """Say why a part that somebody sends (`data` in base64) is none of such a document; None where it may be one."""
    if document.size > DOCUMENT_BYTES:
        return Refusal("document_too_large", f"A document has at most {DOCUMENT_BYTES} bytes.")
    if document.parts != max(1, -(-document.size // PART_BYTES)) or part > document.parts:
        return Refusal("parts_wrong", f"A document is cut into parts of {PART_BYTES} bytes, and no others.")
    try:
        size = len(b64decode(data, validate=True))
    except NotBase64:
        return Refusal("part_unreadable", "The part is not base64.")
    expected = document.size - PART_BYTES * (part - 1) if part == document.parts else PART_BYTES
    if size != expected:
        return Refusal("part_size_wrong", f"This part has {expected} bytes.")
    return None
