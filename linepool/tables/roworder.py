"""Whether the rows of a workbook's sheet stand in their order; the library that reads them drops those that do not."""

import codecs
import re
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from itertools import chain
from typing import Any
from zipfile import ZipFile

from linepool.tables.cells import TableError

_CHUNK = 1024 * 1024
_ROW_TAG = re.compile(rb"<(?:[\w.-]{1,50}:)?row(?=[\s/>])(?:[^>]*?\sr\s*=\s*[\"'](\d{1,10})[\"'])?")


def check_row_order(content: bytes, sheet: Any) -> None:
    """Raise TableError for a row whose number is not above that of the row before: openpyxl drops it without a word."""
    before = 0
    # No public name says which part of the file a sheet is.
    for piece in _markup(content, sheet._worksheet_path):  # noqa: SLF001
        for tag in _ROW_TAG.finditer(piece):
            number = int(tag[1] or before + 1)
            if number <= before:
                raise TableError(
                    f"has its rows out of order (row {number} after row {before}), so that some would be lost; "
                    "open and save it in a spreadsheet program",
                    sheet=sheet.title,
                )
            before = number


def _markup(content: bytes, part: str) -> Iterator[bytes]:
    """Give a part of the file in pieces in which no tag is cut, in an encoding in which tags look as in ASCII."""
    with ZipFile(BytesIO(content)) as archive, archive.open(part) as opened:
        first = opened.read(2)
        chunks: Iterator[bytes] = chain([first], iter(partial(opened.read, _CHUNK), b""))
        if first in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
            chunks = (text.encode() for text in codecs.iterdecode(chunks, "utf-16"))
        elif 0 in first:
            wide = "utf-16-be" if first[0] == 0 else "utf-16-le"
            chunks = (text.encode() for text in codecs.iterdecode(chunks, wide))
        rest = b""
        for chunk in chunks:
            whole, opening, cut = (rest + chunk).rpartition(b"<")
            yield whole
            rest = opening + cut
        yield rest
