"""Verifying a receipt offline: with the notices that the inbox keeps and the key that the bundle names."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from linepool.provider.bundle import Bundle
from linepool.provider.errors import BundleError, RequestError
from linepool.provider.inbox import NOTICES
from linepool.receipts.verify import Verification, verify
from shared.messages import registry


@dataclass(frozen=True)
class Finding:
    """What is known of a receipt."""

    verification: Verification
    message_is_meant: bool | None
    """Whether the receipt is for exactly the bytes that were kept beside it; None where there are none."""

    @property
    def ok(self) -> bool:
        """Whether nothing contradicts the receipt."""
        return self.verification.ok and self.message_is_meant is not False

    def lines(self) -> Iterator[str]:
        """Say it in sentences."""
        found = self.verification
        yield f"{found.answers} answer(s) follow on each other without a gap, each signed."
        match self.message_is_meant:
            case True:
                yield "The receipt is for exactly the bytes that were sent."
            case False:
                yield "WRONG: the receipt is for other bytes than those kept beside it."
        for fault in found.faults:
            yield f"{'MISSING' if fault.kind == 'missing' else 'WRONG'}: {fault.why}"
        if found.receipt_proved_by is not None:
            yield f"The receipt is proved by checkpoint {found.receipt_proved_by[1]}."
        elif found.receipt is not None:
            yield f"The receipt: {found.receipt}." + (
                " Proofs come once the box was opened." if found.receipt == "no proof yet" else ""
            )


def verify_receipt(bundle: Bundle, receipt: Path, notices: Path | None = None) -> Finding:
    """Check a kept receipt or rejection.

    Args:
        bundle: whose key is believed.
        receipt: the file.
        notices: `notices.jsonl`; by default the one of the inbox in which the receipt lies.

    Raises:
        BundleError: the bundle names no key for receipts.
        RequestError: a file cannot be read.
    """
    if bundle.keys.receipts is None:
        raise BundleError("the bundle names no key to check receipts with (keys.receipts)")
    try:
        body = _object(receipt.read_bytes())
        kept = [_object(line) for line in (notices or _inbox_of(receipt)).read_bytes().splitlines()]
    except OSError as error:
        raise RequestError(f"{error.filename} cannot be read: {error.strerror}") from error
    told = [
        (str(one["type"]), one["message"])
        for one in kept
        if one.get("type") in registry and one.get("message")
    ]
    sent = receipt.with_name(receipt.name.removesuffix(".receipt.json") + ".json")
    meant = (
        sha256(sent.read_bytes()).hexdigest() == body.get("sha256")
        if sent != receipt and sent.exists()
        else None
    )
    return Finding(verify(bundle.provider_id, told, bundle.keys.receipts, body), meant)


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise RequestError("a file does not hold JSON") from error
    if not isinstance(found, dict):
        raise RequestError("a file does not hold a JSON object")
    return found


def _inbox_of(receipt: Path) -> Path:
    for folder in receipt.resolve().parents:
        if (folder / NOTICES).exists():
            return folder / NOTICES
    raise RequestError(f"no {NOTICES} lies above {receipt}; name it with --notices")
