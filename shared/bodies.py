"""Reading a body as what its type demands, and saying what is wrong with it without quoting it."""

import re
from collections.abc import Sequence
from typing import Any

import orjson
from faststream import StreamMessage
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from shared.messages import Message, registry

LONGEST = 200
"""So many characters are said of one fault."""
PLACES = 5
"""So many faults of one body are named."""


class UnknownType(Exception):  # noqa: N818 # says what is wrong
    """A stream brought a type that is in no registry."""


class Invalid(Exception):  # noqa: N818 # says what is wrong
    """A body is not what its type demands; the text names the place, never the data."""


async def decode(message: StreamMessage[Any], _original: object) -> Message | None:
    """Read the body of a message whose type is known.

    Raises:
        Invalid: it is not what its type demands.
    """
    model = registry.get(message.headers.get("ce_type", ""))
    if model is None:
        return None
    raw = message.raw_message
    try:
        return model.from_record(raw.key, raw.value)
    except ValidationError as error:
        raise Invalid(describe(error, raw.value or b"")) from None
    except ValueError as error:
        raise Invalid(str(error)) from None


def describe(error: ValidationError, body: bytes) -> str:
    """Say what is wrong with a body and where: at most five places, ids beside their positions, never the data itself."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    places = [f"{_place(_known(fault), body)}: {fault['msg']}"[:LONGEST] for fault in faults[:PLACES]]
    more = f" (and {len(faults) - PLACES} more)" if len(faults) > PLACES else ""
    return "; ".join(places) + more


def _known(fault: ErrorDetails) -> Sequence[int | str]:
    """Return where a fault is, without a field name that the sender made up."""
    return fault["loc"][:-1] if fault["type"] == "extra_forbidden" else fault["loc"]


def _place(location: Sequence[int | str], body: bytes) -> str:
    """Write a place such as `lines.17 (L-0017).charged`, with the id that a list's element carries."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = None
    written = []
    for step in location:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            value = None
        identity = value.get("line_id") if isinstance(value, dict) else None
        named = isinstance(identity, str) and re.fullmatch(r"[A-Za-z0-9._+-]{1,40}", identity)
        written.append(f"{step} ({identity})" if named else str(step))
    return ".".join(written) or "body"
