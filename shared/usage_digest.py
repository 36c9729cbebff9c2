"""The one hash of a group's usage: aggregation pins it, and everyone who works on a copy of the lines recomputes it."""

from collections.abc import Iterable
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID

from shared.canonical import canonical_json
from shared.messages.aggregation import LineUsage

_CENT = Decimal("0.01")
_MILLIONTH = Decimal("0.000001")


def usage_digest(lines: Iterable[tuple[UUID, LineUsage]]) -> str:
    """Return the SHA-256, in lower-case hex, of the canonical JSON of all usage.

    The JSON is one array with an object per line, sorted by buyer id and line id; services are sorted by their code, quantities
    have six and amounts two digits after the point. So neither the order of the copies nor `5.0` for `5` changes the hash.

    Args:
        lines: (buyer id, line), in any order.
    """
    ordered = sorted(lines, key=lambda one: (str(one[0]), one[1].line_id))
    # The array is hashed line by line: a group of a million lines need not be spelled in memory at once.
    hashed = sha256(b"[")
    for number, (buyer_id, line) in enumerate(ordered):
        hashed.update((b"," if number else b"") + canonical_json(_form(buyer_id, line)))
    hashed.update(b"]")
    return hashed.hexdigest()


def _form(buyer_id: UUID, line: LineUsage) -> dict[str, Any]:
    return {
        "buyer_id": str(buyer_id),
        "line_id": line.line_id,
        "services": [
            {
                "service": use.service,
                "quantity": format(use.quantity.quantize(_MILLIONTH), "f"),
                "unit": use.unit,
                "charged": format(use.charged.quantize(_CENT), "f"),
            }
            for use in sorted(line.services, key=lambda use: use.service)
        ],
        "recurring_charged": format(line.recurring_charged.quantize(_CENT), "f"),
        "contract_end": line.contract_end.isoformat() if line.contract_end else None,
        "exit_fee": format(line.exit_fee.quantize(_CENT), "f"),
    }
