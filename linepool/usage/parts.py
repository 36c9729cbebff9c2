"""A usage report travels in parts, each of which fits into a message."""

from collections.abc import Iterator, Sequence

from shared.messages.aggregation import LineUsage

LINES_PER_PART = 500
BYTES_PER_PART = 800_000
"""So that a part of lines with many services stays under the limit of 1 MiB, the broker's and the portal's."""


def parts_of(lines: Sequence[LineUsage]) -> Iterator[tuple[LineUsage, ...]]:
    """Cut lines into parts that fit into a message each: at most 500 lines and 800,000 bytes."""
    part: list[LineUsage] = []
    size = 0
    for line in lines:
        length = len(line.model_dump_json()) + 1
        if part and (len(part) == LINES_PER_PART or size + length > BYTES_PER_PART):
            yield tuple(part)
            part, size = [], 0
        part.append(line)
        size += length
    if part:
        yield tuple(part)
