"""The inbox's folders: harmless names, escaped pages, and nothing that was filled in is lost."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest

from linepool.client.journal import Entry
from linepool.provider.bundle import Bundle
from linepool.provider.errors import BundleError, RequestError
from linepool.provider.inbox import NOTICES, Folder, file_names, folder_of, write_notices
from linepool.provider.page import request_page
from shared.envelope import read_headers
from tests.unit.provider.a_request import PURCHASE, a_request

HOSTILE = "<script>alert(1)</script>"


def test_every_text_on_the_page_is_escaped() -> None:
    request = a_request(
        title=HOSTILE,
        description=HOSTILE,
        places=[HOSTILE],
        services=[{"service": "voice.day", "unit": "MIN", "description": HOSTILE}],
        documents={HOSTILE: b"x"},
    )
    page = request_page(request, folder=f"in/{HOSTILE}", files=file_names(request.documents))
    assert "<script" not in page
    assert "<b>One</b>" not in page
    assert page.count("&lt;script&gt;") >= 5


def test_the_page_says_what_is_asked_by_when_and_how_to_answer() -> None:
    request = a_request()
    page = request_page(request, folder="inbox/lines", files=file_names(request.documents))
    for said in (
        "Monday 01 June 2026, 12:00:00 UTC",
        "voice.day",
        "1\u00a0200",
        "linepool provider submit --sheet inbox/lines/price-sheet.xlsx",
        request.presented.content.sha256,
    ):
        assert said in page


@pytest.mark.parametrize("title", ["../../etc/passwd", "/", "..", "C:\\x", "é" * 100, "a" * 200, "-"])
def test_a_title_makes_no_other_folder(tmp_path: Path, title: str) -> None:
    presented = a_request().presented.model_copy(update={"title": title})
    path = folder_of(tmp_path, presented).path
    assert path.parent == tmp_path
    assert path.name.endswith(f"-{str(PURCHASE)[:8]}")
    assert len(path.name) < 60


def test_another_request_whose_id_begins_alike_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    request = a_request()
    folder_of(tmp_path, request.presented).write(request)
    other = request.presented.model_copy(update={"purchase_id": UUID(int=PURCHASE.int + 1)})
    assert folder_of(tmp_path, other).path != folder_of(tmp_path, request.presented).path


def test_documents_get_harmless_and_different_names() -> None:
    names = ["../x", "X", "x", ".x", "a/b", "a\\b", "...", "terms.pdf"]
    files = file_names(names)
    assert len({file.lower() for file in files.values()}) == len(names)
    assert not [file for file in files.values() if "/" in file or "\\" in file or file.startswith(".")]


def test_a_folder_gives_back_the_request_and_keeps_what_was_filled_in(tmp_path: Path) -> None:
    request = a_request(sealed=True, documents={"terms of the group.pdf": b"%PDF"})
    folder = Folder(tmp_path / "x")
    folder.write(request)
    sheet = tmp_path / "x" / "price-sheet.xlsx"
    sheet.write_bytes(b"filled in")
    folder.write(request)
    assert sheet.read_bytes() == b"filled in"
    assert folder.read() == request
    (tmp_path / "x" / "documents" / "usage-lines").write_bytes(b"{}")
    with pytest.raises(RequestError, match="usage-lines"):
        folder.read()


def test_a_reply_is_kept_until_its_receipt_has_come(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert (folder.next_revision(), folder.unanswered()) == (1, None)
    folder.keep_reply(1, b"{}")
    assert (folder.next_revision(), folder.unanswered()) == (2, (1, b"{}"))
    folder.keep_answer(1, b"{}")
    assert folder.unanswered() is None
    with pytest.raises(RequestError, match="no reply with a receipt"):
        folder.last_receipt()


DESCRIPTION = (
    '{"bootstrap_servers": "localhost:9092", "provider_id": "aikoaikoaiko", "username": "x.providers.aikoaikoaiko",'
    ' "prefix": "x.", "topics": {}, "keys": {"receipts": "A", "seal_keys": "B"}, "more": 1}'
)


def a_bundle(folder: Path, description: str = DESCRIPTION, properties: str = "sasl.password=a=b") -> Path:
    (folder / "linepool.json").write_text(description)
    (folder / "client.properties").write_text(f"# ours\n{properties}\n")
    return folder


def test_a_bundle_says_who_how_and_which_keys(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    bundle = Bundle.read(a_bundle(tmp_path, properties="sasl.password=a=b\nssl.ca.location=ca.pem"))
    assert (bundle.provider_id, bundle.keys.receipts, bundle.keys.seal_keys) == ("aikoaikoaiko", "A", "B")
    connection = bundle.connection
    assert (connection.password, connection.ca_file, connection.prefix) == ("a=b", tmp_path / "ca.pem", "x.")
    assert "a=b" not in repr(bundle)


def test_a_bundle_may_bring_a_certificate(tmp_path: Path) -> None:
    named = "ssl.certificate.location=certificate.pem\nssl.key.location=/elsewhere/key.pem"
    (tmp_path / "key.pem").write_text("")
    connection = Bundle.read(a_bundle(tmp_path, properties=named)).connection
    assert (connection.certificate_file, connection.key_file) == (
        Path("certificate.pem"),
        tmp_path / "key.pem",
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"description": "{"}, "is not JSON"),
        ({"description": "{}"}, "see bootstrap_servers, provider_id, username"),
        ({"properties": ""}, "names no complete login"),
    ],
)
def test_a_broken_bundle_is_refused_in_one_sentence(
    tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(BundleError, match=sentence):
        Bundle.read(a_bundle(tmp_path, **changes))


def test_a_missing_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"linepool\.json cannot be read"):
        Bundle.read(tmp_path)


def a_notice(id_: str, said: str, offset: int) -> Entry:
    headers = (("ce_id", id_.encode()), ("ce_type", b"linepool.receipt-issued.v1"))
    body = orjson.dumps({"said": said})
    at = datetime(2026, 6, 1, tzinfo=UTC)
    return Entry("notices.kitakitakita", 0, offset, None, body, headers, at, read_headers(headers))


def test_notices_that_were_kept_stay_when_the_topic_has_them_no_longer(tmp_path: Path) -> None:
    write_notices(tmp_path, [a_notice("1", "a", 0), a_notice("2", "b", 1), a_notice("1", "a", 2)])
    # The topic was cut at both ends since: the first is gone, and another stands where the second was.
    write_notices(tmp_path, [a_notice("2", "b", 0), a_notice("3", "c", 1)])
    kept = [orjson.loads(line) for line in (tmp_path / NOTICES).read_bytes().splitlines()]
    assert [(one["id"], one["message"]["said"]) for one in kept] == [("1", "a"), ("2", "b"), ("3", "c")]


def test_another_notice_under_the_same_id_is_kept_beside_the_first(tmp_path: Path) -> None:
    write_notices(tmp_path, [a_notice("1", "a", 0)])
    write_notices(tmp_path, [a_notice("1", "another", 0)])
    assert len((tmp_path / NOTICES).read_bytes().splitlines()) == 2
