"""What reaches a person is found in whatever form it stands, and so is what was filed about them."""

from base64 import b64encode
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from aiokafka import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st

from deploy.access.model import topics
from linepool.persons.finding import Person, _base64, _literal
from linepool.persons.papers import Filed, gathered
from shared.messages.aggregation import Contact
from shared.messages.base import Document
from shared.messages.evidence import Agency, EvidencePart, FileEvidence, FileLetter

WORDS = st.emails() | st.text("abcdefgh .-", min_size=8, max_size=40)


@given(before=st.binary(max_size=40), word=WORDS, after=st.binary(max_size=40))
def test_a_word_in_base64_is_found_wherever_it_stands(before: bytes, word: str, after: bytes) -> None:
    encoded = b64encode(before + word.encode() + after).decode()
    assert any(form in encoded for form in _base64(word))


def test_what_sql_would_read_as_a_pattern_is_taken_as_it_is() -> None:
    assert _literal("100%_a\\b") == "100\\%\\_a\\\\b"


def test_a_first_name_alone_is_no_word_to_search_for() -> None:
    contact = Contact(person_id=UUID(int=1), name="Ada", email="ada@harbour.example")
    full = Contact(
        person_id=UUID(int=1), name="Ada Okafor", email="ada@harbour.example", phone="+441632960011"
    )
    assert Person(UUID(int=1), (contact,)).words == {"ada@harbour.example"}
    assert Person(UUID(int=1), (full,)).words == {"ada@harbour.example", "Ada Okafor", "+441632960011"}


PURCHASE, PERSON, BUYER, OTHER = (UUID(int=number) for number in range(1, 5))
FILED = datetime(2026, 5, 1, 8, tzinfo=UTC)
DOCUMENT = Document(name="Ada Okafor.pdf", sha256="a" * 64, size=9, parts=2)
AGENCY = Agency(
    services=("voice",),
    valid_from=date(2026, 5, 1),
    valid_until=date(2026, 6, 1),
    signed_on=date(2026, 4, 1),
)


def filed(part: EvidencePart | FileEvidence | FileLetter, after: timedelta = timedelta()) -> Filed:
    [topic] = [one for one in topics() if one.name == part.stream]
    stamp = int((FILED + after).timestamp() * 1000)
    record: ConsumerRecord = ConsumerRecord(part.stream, 0, 0, stamp, 1, None, None, None, 0, 0, ())
    return topic, record, part


def a_part(party: str, party_id: UUID, number: int = 1) -> EvidencePart:
    about = {"purchase_id": PURCHASE, "kind": "register_extract", "party": party, "party_id": party_id}
    return EvidencePart.model_validate({**about, "document": DOCUMENT, "part": number, "data": ""})


def test_a_document_in_parts_is_one_paper_that_is_gone_with_its_last_part() -> None:
    parts = [
        filed(a_part("coordinator", PERSON)),
        filed(a_part("coordinator", PERSON, 2), timedelta(hours=1)),
    ]
    [paper] = gathered(parts, PERSON, set())
    assert (paper.kind, paper.sha256, paper.filed_at) == (
        "register_extract",
        "a" * 64,
        FILED + timedelta(hours=1),
    )
    assert paper.gone_by == FILED + timedelta(hours=1, days=91)
    assert "Okafor" not in repr(paper)


def test_papers_of_a_buyer_are_about_its_contact_person_and_nobody_else() -> None:
    letter = FileLetter(
        purchase_id=PURCHASE,
        buyer_id=BUYER,
        agency=AGENCY,
        signer="Tom Hall",
        document=DOCUMENT,
        part=1,
        data="",
    )
    about = {"purchase_id": PURCHASE, "party": "coordinator", "party_id": OTHER, "kind": "other"}
    sent = FileEvidence.model_validate({**about, "document": DOCUMENT, "part": 1, "data": ""})
    parts = [filed(letter), filed(sent), filed(a_part("buyer", BUYER)), filed(a_part("buyer", OTHER))]
    found = gathered(parts, PERSON, {(PURCHASE, BUYER)})
    assert [(one.topic, one.kind) for one in found] == [
        ("aggregation.evidence", "register_extract"),
        ("aggregation.commands", "letter_of_agency"),
    ]
    assert gathered(parts, PERSON, {(OTHER, BUYER)}) == []
