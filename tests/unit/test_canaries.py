"""The search for canaries finds what was planted, however it is written, and wherever it lies."""

import gzip
import json
import zlib
from base64 import b64encode, urlsafe_b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import canaries
from tests.canaries import WAL_PAGE, Search, forms_of, new_canary, without_wal_headers
from tests.raw_batches import raw_batch, raw_record

CANARY = new_canary()
WRITTEN = {
    "plain": CANARY.encode(),
    "in a sentence": f"He said: {CANARY}, twice.".encode(),
    "UTF-16 LE": CANARY.encode("utf-16-le"),
    "UTF-16 BE": CANARY.encode("utf-16-be"),
    "hex": CANARY.encode().hex().encode(),
    "hex in capitals": CANARY.encode().hex().upper().encode(),
    "JSON escapes": "".join(f"\\u{ord(one):04x}" for one in CANARY).encode(),
    "gzip": gzip.compress(f"before {CANARY} after".encode()),
    "zlib": zlib.compress(f"before {CANARY} after".encode(), 9),
    "zlib, fast": zlib.compress(f"before {CANARY} after".encode(), 1),
    "base64 in gzip": gzip.compress(b64encode(f"x{CANARY}".encode())),
    "two members": gzip.compress(b"first") + gzip.compress(CANARY.encode()),
}


@pytest.mark.parametrize("data", WRITTEN.values(), ids=WRITTEN)
def test_each_way_of_writing_is_found(data: bytes) -> None:
    search = Search([CANARY])
    search.data("here", b"\0" * 99 + data + b"\xff" * 99)
    assert search.found == {CANARY}


@given(before=st.binary(max_size=20), after=st.binary(max_size=20), urlsafe=st.booleans())
def test_base64_is_found_wherever_it_begins(before: bytes, after: bytes, *, urlsafe: bool) -> None:
    search = Search([CANARY])
    whole = before + CANARY.encode() + after
    search.data("here", urlsafe_b64encode(whole) if urlsafe else b64encode(whole))
    assert search.found == {CANARY}


def test_no_form_is_short_enough_to_be_met_by_chance() -> None:
    assert min(len(form) for form in forms_of(CANARY).values()) >= 39
    assert min(len(form) for form in forms_of("0123456789ABCDEFGHJKMNPQRS").values()) >= 26


def test_another_canary_and_a_part_of_one_are_no_hit() -> None:
    search = Search([CANARY])
    search.data("here", new_canary().encode() + CANARY[:-1].encode() + CANARY[1:].encode())
    assert search.hits == []


@pytest.mark.parametrize("shift", range(-len(CANARY) - 2, 3))
def test_a_canary_across_the_border_of_two_pieces_is_found_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shift: int
) -> None:
    monkeypatch.setattr(canaries, "CHUNK", 4096)
    content = bytearray(b"." * 10_000)
    content[4096 + shift : 4096 + shift + len(CANARY)] = CANARY.encode()
    (tmp_path / "file").write_bytes(content)
    search = Search([CANARY])
    search.folder(tmp_path)
    assert [(hit.offset, hit.form) for hit in search.hits] == [(4096 + shift, "plain")]


def test_every_file_is_searched_and_its_bytes_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a" / ".hidden").mkdir(parents=True)
    (tmp_path / "a" / ".hidden" / "file").write_bytes(CANARY.encode())
    (tmp_path / "b").write_bytes(b"x" * 1000)
    (tmp_path / "left-out").mkdir()
    (tmp_path / "left-out" / "mail").write_bytes(CANARY.encode())
    search = Search([CANARY])
    search.folder(tmp_path, without=[tmp_path / "left-out"])
    assert [Path(hit.source).name for hit in search.hits] == ["file"]
    assert search.bytes_searched == 1000 + len(CANARY)


def test_kafkas_batches_are_looked_into_and_those_of_other_codecs_are_opaque(tmp_path: Path) -> None:
    record = raw_record(json.dumps({"name": CANARY}).encode())
    segment = tmp_path / f"{0:020d}.log"
    segment.write_bytes(raw_batch(raw_record(b"first"), 1) + raw_batch(gzip.compress(record), 1, codec=1))
    search = Search([CANARY])
    search.folder(tmp_path)
    assert search.found == {CANARY}
    assert search.opaque == []
    segment.write_bytes(raw_batch(b"who knows", 1, codec=4))
    search.folder(tmp_path)
    assert len(search.opaque) == 1


def test_wal_is_searched_across_its_pages(tmp_path: Path) -> None:
    long_page = b"\x18\xd1\x02\x00" + b"\0" * 36
    page = b"\x18\xd1\x00\x00" + b"\0" * 20
    text = b"." * (WAL_PAGE - len(long_page) - 5) + CANARY.encode()
    first = long_page + text[: WAL_PAGE - len(long_page)]
    second = (page + text[WAL_PAGE - len(long_page) :]).ljust(WAL_PAGE, b"\0")
    assert CANARY.encode() in without_wal_headers(first + second)
    (tmp_path / "pg_wal").mkdir()
    (tmp_path / "pg_wal" / "000000010000000000000001").write_bytes(first + second)
    search = Search([CANARY])
    search.folder(tmp_path)
    assert search.found == {CANARY}
