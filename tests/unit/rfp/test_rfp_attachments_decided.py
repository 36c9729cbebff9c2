"""What may be attached to a draft is decided from the manifest, the part, and what is there already."""

from base64 import b64encode
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.rfp.attachments import MOST, Attachment, may_attach
from services.rfp.content import CONTENT, USAGE_LINES
from services.rfp.domain import Repeated, State
from shared.documents import manifest_of, split
from shared.messages.base import DOCUMENT_BYTES, PART_BYTES, Document
from shared.messages.rfp import AttachDocument
from shared.outcomes import NotYet, Refusal
from tests.unit.rfp.test_rfp_domain import DRAFT, PURCHASE

MAP = b"%PDF-1.7 a map"
MANIFEST = manifest_of("map.pdf", MAP)


def a_part(document: Document = MANIFEST, data: bytes | str = MAP, part: int = 1) -> AttachDocument:
    text = data if isinstance(data, str) else b64encode(data).decode()
    # Decided too about what no model lets through: a document of any size, and what is no base64.
    return AttachDocument.model_construct(purchase_id=PURCHASE, document=document, part=part, data=text)


def decided(command: AttachDocument, *attached: Attachment, state: State = "drafted") -> Any:
    by_name = {one.document.name: one for one in attached}
    verdict = may_attach(replace(DRAFT, state=state), command, by_name)
    return verdict.reason if isinstance(verdict, Refusal | NotYet) else verdict


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("forming", None),
        ("drafted", None),
        ("issued", "request_issued"),
        ("closed", "deadline_passed"),
        ("cancelled", "request_cancelled"),
    ],
)
def test_documents_are_attached_until_the_request_is_issued(state: State, reason: str | None) -> None:
    assert decided(a_part(), state=state) == reason


def test_a_complete_document_again_is_a_quiet_repeat_and_another_of_its_name_is_refused() -> None:
    complete = Attachment(MANIFEST, complete=True)
    assert decided(a_part(), complete) == Repeated()
    other = manifest_of("map.pdf", b"another map")
    assert decided(a_part(other, b"another map"), complete) == "name_taken"
    # Once the request is frozen nothing is a repeat.
    assert decided(a_part(), complete, state="issued") == "request_issued"


def test_a_document_that_lacks_parts_goes_on_or_is_begun_anew_with_other_content() -> None:
    begun = Attachment(MANIFEST, complete=False)
    assert decided(a_part(), begun) is None
    other = manifest_of("map.pdf", b"another map")
    assert decided(a_part(other, b"another map"), begun) is None


@pytest.mark.parametrize("name", [CONTENT, USAGE_LINES])
def test_no_attachment_has_the_name_of_what_the_request_itself_consists_of(name: str) -> None:
    assert decided(a_part(MANIFEST.model_copy(update={"name": name}))) == "name_taken"


def test_there_are_not_too_many_but_each_one_that_was_begun_can_be_ended() -> None:
    begun = [Attachment(manifest_of(f"{number}.pdf", MAP), complete=False) for number in range(MOST)]
    assert decided(a_part(), *begun) == "too_many_documents"
    assert decided(a_part(), *begun[1:]) is None
    assert decided(a_part(begun[0].document), *begun) is None


def test_a_document_may_be_as_large_as_one_may_be() -> None:
    largest = Document(name="map.pdf", sha256="a" * 64, size=DOCUMENT_BYTES, parts=27)
    assert decided(a_part(largest, bytes(PART_BYTES), part=26)) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"size": DOCUMENT_BYTES + 1, "parts": 27}, "document_too_large"),
        ({"parts": 2}, "parts_wrong"),
        ({"size": PART_BYTES + 1}, "parts_wrong"),
        ({"size": len(MAP) + 1}, "part_size_wrong"),
        ({"size": 0}, "part_size_wrong"),
    ],
)
def test_a_manifest_is_believed_only_where_it_can_be(changes: dict[str, Any], reason: str) -> None:
    assert decided(a_part(MANIFEST.model_copy(update=changes))) == reason


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (a_part(part=2), "parts_wrong"),
        (a_part(data="no base64!"), "part_unreadable"),
        (a_part(data="AAA"), "part_unreadable"),
        (a_part(data=MAP[:-1]), "part_size_wrong"),
        (a_part(data=MAP + b" "), "part_size_wrong"),
    ],
)
def test_a_part_that_is_not_one_is_named(command: AttachDocument, reason: str) -> None:
    assert decided(command) == reason


SIZES = st.one_of(
    st.integers(0, 200),
    st.sampled_from([PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES, 2 * PART_BYTES + 1]),
)


@given(SIZES)
def test_every_part_of_a_document_that_is_cut_as_documents_are_may_be_attached(size: int) -> None:
    content = bytes(size)
    manifest = manifest_of("map.pdf", content)
    for number, data in split(manifest, content):
        command = AttachDocument(purchase_id=PURCHASE, document=manifest, part=number, data=data)
        assert decided(command) is None
