"""Files that go to the portal in parts, with a manifest that says what they must come out as."""

from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from linepool.people.api import ApiError

PART_BYTES = 384 * 1024
MOST_BYTES = 10 * 1024 * 1024


def parts_of(file: Path) -> Iterator[dict[str, Any]]:
    """Yield a file's parts: manifest, number and base64 of each. Raises ApiError when it is too large."""
    content = file.read_bytes()
    if len(content) > MOST_BYTES:
        raise ApiError("document_too_large", f"{file} has more than 10 MiB.")
    parts = max(1, -(-len(content) // PART_BYTES))
    document = {
        "name": file.name,
        "sha256": sha256(content).hexdigest(),
        "size": len(content),
        "parts": parts,
    }
    for number in range(1, parts + 1):
        data = content[(number - 1) * PART_BYTES : number * PART_BYTES]
        yield {"document": document, "part": number, "data": b64encode(data).decode()}
