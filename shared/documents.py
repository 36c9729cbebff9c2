"""Documents travel as numbered parts under the broker's size limit, and are checked against their manifest."""

from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from hashlib import sha256

from shared.messages.base import Document

PART_BYTES = 384 * 1024
"""So that a part in base64, with its envelope, stays under a limit of 1 MiB with room to spare."""


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
