"""Searching every byte for secrets that were planted: in files, in what a database holds, in what a page says.

A canary is a text with 128 random bits, so a hit is never chance. It is searched as it is, in UTF-16, in hex, in base64 (each of
the three places at which it may begin in a group of three bytes, both alphabets), and as JSON escapes; and all of that again
inside gzip and zlib streams. What cannot be looked into is counted as opaque, so that a test can ask for none.

Postgres hides text from such a search where it compresses (TOAST), and splits it at the borders of TOAST chunks and of WAL pages.
So `keep_values_plain` turns compression off before anything is written, every row of every table is searched as text too, and
WAL is searched again without its page headers.
"""

import zlib
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from struct import Struct

import asyncpg

CHUNK = 8 * 1024 * 1024
UNPACKED_BYTES = 32 * 1024 * 1024
"""A stream is unpacked to at most so many bytes; a longer one is opaque."""
_GZIP_MAGIC = b"\x1f\x8b\x08"
_ZLIB_MAGICS = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_SMALLEST_STREAM = 8
_BATCH = Struct(">qiibIh")
"""How a Kafka batch begins: offset, length, epoch, format, checksum, attributes."""
_BATCH_OVERHEAD = 12
_GZIP_CODEC = 1
_BATCH_HEADER = 61
WAL_PAGE = 8192
_WAL_HEADER, _WAL_LONG_HEADER = 24, 40
_WAL_IS_LONG = 0x0002


def new_canary() -> str:
    """Return a text that occurs nowhere else."""
    return f"CANARY-{token_hex(16)}"


def forms_of(canary: str) -> dict[str, bytes]:
    """Return how a text may stand in bytes: what it is called, and the bytes."""
    plain = canary.encode()
    forms = {
        "plain": plain,
        "UTF-16 LE": canary.encode("utf-16-le"),
        "UTF-16 BE": canary.encode("utf-16-be"),
        "hex": plain.hex().encode(),
        "HEX": plain.hex().upper().encode(),
        "JSON escapes": "".join(f"\\u{ord(one):04x}" for one in canary).encode(),
        "JSON ESCAPES": "".join(f"\\u{ord(one):04X}" for one in canary).encode(),
    }
    for before in range(3):
        # What stands before and behind shares base64 characters with the first and the last byte: those are left away.
        encoded = b64encode(b"\0" * before + plain)
        inner = encoded[(before * 8 + 5) // 6 : (before + len(plain)) * 8 // 6]
        forms[f"base64 from {before}"] = inner
        forms[f"urlsafe base64 from {before}"] = inner.replace(b"+", b"-").replace(b"/", b"_")
    # The two alphabets often write the same.
    return {name: form for form, name in {form: name for name, form in reversed(forms.items())}.items()}


@dataclass(frozen=True)
class Hit:
    """A canary that was found: where, at which byte, and how it was written."""

    source: str
    offset: int
    form: str
    canary: str


@dataclass
class Search:
    """A search for some canaries, and what it has found so far."""

    canaries: Sequence[str]
    hits: list[Hit] = field(default_factory=list)
    bytes_searched: int = 0
    streams_unpacked: int = 0
    opaque: list[str] = field(default_factory=list)
    """What could not be looked into."""

    def __post_init__(self) -> None:
        self._needles = [
            (canary, name, form) for canary in self.canaries for name, form in forms_of(canary).items()
        ]
        self._overlap = max(len(form) for _, _, form in self._needles) - 1

    @property
    def found(self) -> set[str]:
        """The canaries that were found anywhere."""
        return {hit.canary for hit in self.hits}

    def data(self, source: str, data: bytes) -> None:
        """Search some bytes, and the streams in them."""
        self._search(source, data, 0, len(data))
        self._streams(source, data, 0, len(data))

    def folder(self, folder: Path, *, without: Sequence[Path] = ()) -> None:
        """Search every file below a folder, whatever it is; a file that vanishes meanwhile is left out."""
        for path in sorted(folder.rglob("*")):
            if (
                path.is_file()
                and not path.is_symlink()
                and not any(path.is_relative_to(one) for one in without)
            ):
                self.file(path)

    def file(self, path: Path) -> None:
        """Search a file; Kafka's segments batch by batch too, and WAL once more without its page headers."""
        try:
            for offset, piece, kept in _pieces(path, self._overlap):
                self._search(str(path), piece, offset - kept, len(piece))
                self._streams(str(path), piece, offset - kept, len(piece) - kept)
        except FileNotFoundError:
            return
        if path.parent.name == "pg_wal" and path.stat().st_size:
            self.data(f"{path} without page headers", without_wal_headers(path.read_bytes()))
        if path.suffix == ".log" and path.stem.isdigit():
            self._segment(path)

    def _search(self, source: str, data: bytes, at: int, size: int) -> None:
        self.bytes_searched += size
        for canary, name, form in self._needles:
            offset = data.find(form)
            while offset >= 0:
                hit = Hit(source, at + offset, name, canary)
                # What lies in the overlap of two pieces is seen twice.
                if hit not in self.hits[-len(self._needles) :]:
                    self.hits.append(hit)
                offset = data.find(form, offset + 1)

    def _streams(self, source: str, data: bytes, at: int, begins_before: int) -> None:
        for magic, window in ((_GZIP_MAGIC, 31), *((magic, 15) for magic in _ZLIB_MAGICS)):
            offset = data.find(magic)
            while 0 <= offset < begins_before:
                unpacked = self._unpack(source, data, offset, at + offset, window)
                if len(unpacked) >= _SMALLEST_STREAM:
                    self.streams_unpacked += 1
                    self._search(f"{source} unpacked from {at + offset}", unpacked, 0, len(unpacked))
                offset = data.find(magic, offset + 1)

    def _unpack(self, source: str, data: bytes, offset: int, at: int, window: int) -> bytes:
        stream = zlib.decompressobj(window)
        unpacked = b""
        try:
            # Little at first: nearly all that begins like a stream is none.
            unpacked = stream.decompress(data[offset : offset + 4096], UNPACKED_BYTES)
            if stream.unconsumed_tail or not stream.eof:
                rest = stream.unconsumed_tail + data[offset + 4096 :]
                unpacked += stream.decompress(rest, UNPACKED_BYTES - len(unpacked))
        except zlib.error:
            return unpacked
        if not stream.eof and len(unpacked) >= UNPACKED_BYTES:
            self.opaque.append(f"{source} from {at}: a stream that is too long")
        return unpacked

    def _segment(self, path: Path) -> None:
        """Look into compressed batches; those of a codec that is not in the standard library are opaque."""
        data = path.read_bytes()
        at = 0
        while at + _BATCH.size <= len(data):
            _, length, _, _, _, attributes = _BATCH.unpack_from(data, at)
            if length <= 0:
                return
            if codec := attributes & 0x07:
                if codec == _GZIP_CODEC:
                    self.data(
                        f"{path} batch at {at}", data[at + _BATCH_HEADER : at + _BATCH_OVERHEAD + length]
                    )
                else:
                    self.opaque.append(f"{path} batch at {at}: codec {codec}")
            at += _BATCH_OVERHEAD + length


def _pieces(path: Path, overlap: int) -> Iterator[tuple[int, bytes, int]]:
    """Yield (where the new bytes begin, the piece, how many bytes of it were in the piece before)."""
    with path.open("rb") as file:
        kept, at = b"", 0
        while new := file.read(CHUNK):
            yield at, kept + new, len(kept)
            at += len(new)
            kept = (kept + new)[-overlap:] if overlap else b""


def without_wal_headers(segment: bytes) -> bytes:
    """Return a WAL segment's records without the page headers that stand every 8 KB in between."""
    pages = []
    for start in range(0, len(segment), WAL_PAGE):
        page = segment[start : start + WAL_PAGE]
        is_long = int.from_bytes(page[2:4], "little") & _WAL_IS_LONG
        pages.append(page[_WAL_LONG_HEADER if is_long else _WAL_HEADER :])
    return b"".join(pages)


async def keep_values_plain(connection: asyncpg.Connection, schemas: Sequence[str]) -> None:
    """Let Postgres compress nothing that is written from now on, so that its files and its WAL can be searched."""
    assert await connection.fetchval("SHOW wal_compression") == "off"
    columns = await connection.fetch(
        "SELECT c.oid::regclass::text AS name, a.attname AS attribute FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
        "WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND a.attstorage IN ('x', 'm') "
        "AND c.relnamespace = ANY($1::text[]::regnamespace[])",
        list(schemas),
    )
    for column in columns:
        await connection.execute(
            f'ALTER TABLE {column["name"]} ALTER COLUMN "{column["attribute"]}" SET STORAGE EXTERNAL'
        )


async def search_tables(search: Search, connection: asyncpg.Connection, schemas: Iterable[str]) -> None:
    """Search every row of every table of these schemas: each value as text, and bytes as they are."""
    tables = await connection.fetch(
        "SELECT schemaname, tablename FROM pg_tables WHERE schemaname = ANY($1::text[]) ORDER BY 1, 2",
        list(schemas),
    )
    for schema, table in tables:
        async with connection.transaction(readonly=True):
            async for row in connection.cursor(f'SELECT * FROM "{schema}"."{table}"'):
                for name, value in row.items():
                    data = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
                    search.data(f"{schema}.{table}.{name}", data)
