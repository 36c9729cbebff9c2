"""What the officer is shown follows from the events, and what is saved is what was filed."""

import stat
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from aiokafka import ConsumerRecord

from deploy.access.broker import AccessError
from linepool.client.journal import Entry, entry_of
from linepool.officer.cases import Case, read_cases
from linepool.officer.documents import Paper, save
from linepool.officer.naming import end_of, find_case, find_document, find_subject
from linepool.officer.place import Given, find_officer, who_verifies
from linepool.officer.telling import lines_of, standing, visible
from shared.documents import manifest_of, split
from shared.messages import Message
from shared.messages.aggregation import (
    BuyerJoined,
    BuyerLeft,
    GroupAggregated,
    GroupDissolved,
    GroupOpened,
    Identifier,
    Period,
)
from shared.messages.evidence import EvidenceFiled
from shared.messages.people import AddressConfirmed
from shared.messages.rfp import (
    BuyerVerified,
    GroupNotQualified,
    GroupQualified,
    QualificationLapsed,
    QualificationPolicy,
    RequestCancelled,
    RequestDrafted,
)

PURCHASE, COORDINATOR, AAL, BEL, BEN = (UUID(int=number << 96) for number in range(1, 6))
NOW = datetime(2026, 6, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=20)
POLICY = QualificationPolicy(
    coordinator_level="address_confirmed", buyer_level="document_reviewed", buyers="all"
)


def entries(*messages: Message) -> list[Entry]:
    made = []
    for number, message in enumerate(messages):
        time = (NOW - timedelta(days=9) + timedelta(hours=number)).isoformat()
        headers = [("ce_type", message.type().encode()), ("ce_time", time.encode())]
        record = ConsumerRecord(
            message.stream, 0, number, 0, 1, None, message.to_bytes(), None, -1, -1, headers
        )
        made.append(entry_of(record))
    return made


def joined(buyer_id: UUID, name: str) -> BuyerJoined:
    return BuyerJoined(
        purchase_id=PURCHASE,
        buyer_id=buyer_id,
        legal_name=name,
        identifiers=(Identifier(scheme="NL-KVK", id="12345678"),),
        contact_id=BEN,
    )


OPENED = GroupOpened(
    purchase_id=PURCHASE, name="Harbour towns", currency="EUR", tax_basis="net", coordinator_id=COORDINATOR
)
CLOSED = GroupAggregated(
    purchase_id=PURCHASE,
    name="Harbour towns",
    currency="EUR",
    tax_basis="net",
    coordinator_id=COORDINATOR,
    buyer_ids=(AAL,),
    reports={},
    period=Period(start=date(2026, 5, 1), end=date(2026, 5, 31), months=1),
    lines=1,
    usage_digest="1" * 64,
    snapshot="2" * 64,
)
DRAFTED = RequestDrafted(purchase_id=PURCHASE, snapshot="2" * 64, usage_digest="1" * 64, policy=POLICY)
FORMED = (OPENED, joined(AAL, "Town of Aal"), joined(BEL, "Town of Bel"), CLOSED, DRAFTED)
QUALIFIED = GroupQualified(purchase_id=PURCHASE, number=1, snapshot="2" * 64, valid_until=LATER)


def verified(party_id: UUID, until: datetime = LATER) -> BuyerVerified:
    return BuyerVerified(
        purchase_id=PURCHASE,
        snapshot="2" * 64,
        party="buyer",
        party_id=party_id,
        valid_until=until,
        level="document_reviewed",
    )


def filed(sha256: str, party_id: UUID = AAL) -> EvidenceFiled:
    return EvidenceFiled(
        purchase_id=PURCHASE, party="buyer", party_id=party_id, kind="other", sha256=sha256, size=7
    )


def the_case(*messages: Message) -> Case:
    (case,) = read_cases(entries(*messages)).values()
    return case


@pytest.mark.parametrize(
    ("said", "waits"),
    [
        (FORMED[:3], False),
        (FORMED, True),
        ((*FORMED, QUALIFIED), False),
        ((*FORMED, QUALIFIED.model_copy(update={"valid_until": NOW})), True),
        ((*FORMED, QUALIFIED, QualificationLapsed(purchase_id=PURCHASE, number=1, reason="expired")), True),
        (
            (
                *FORMED,
                QUALIFIED,
                QualificationLapsed(purchase_id=PURCHASE, number=1, reason="expired"),
                QUALIFIED.model_copy(update={"number": 2}),
            ),
            False,
        ),
        ((*FORMED, RequestCancelled(purchase_id=PURCHASE, reason="No money")), False),
        ((*FORMED[:3], GroupDissolved(purchase_id=PURCHASE, reason="Too few")), False),
        # Topics are read beside each other: rfp's events may be seen before those of aggregation that they follow.
        ((DRAFTED, QUALIFIED, *FORMED[:4]), False),
    ],
)
def test_a_group_waits_while_it_is_closed_and_neither_qualified_nor_over(
    said: tuple[Message, ...], waits: bool
) -> None:
    assert the_case(*said).waits(NOW) == waits


def test_a_group_that_lapsed_waits_since_then() -> None:
    lapsed = QualificationLapsed(purchase_id=PURCHASE, number=1, reason="expired")
    closed, again = the_case(*FORMED), the_case(*FORMED, QUALIFIED, lapsed)
    assert closed.waiting_since == NOW - timedelta(days=9) + timedelta(hours=3)
    assert again.waiting_since == NOW - timedelta(days=9) + timedelta(hours=6)


def test_the_newest_finding_says_how_a_party_stands() -> None:
    aal, bel = ("buyer", AAL), ("buyer", BEL)
    refused = GroupNotQualified(
        purchase_id=PURCHASE, snapshot="2" * 64, party="buyer", party_id=AAL, reason="Struck off"
    )
    case = the_case(*FORMED, verified(AAL), refused, verified(BEL, NOW))
    assert standing(case.subjects[aal], NOW) == "refused: Struck off"
    assert standing(case.subjects[bel], NOW) == "expired on 2026-06-01"
    assert case.subjects[bel].level(NOW) is None
    case = the_case(*FORMED, refused, verified(AAL))
    assert standing(case.subjects[aal], NOW) == "document reviewed until 2026-06-21"
    assert case.needed("coordinator") == "address_confirmed"


def test_who_left_is_no_party_and_a_confirmed_address_is_shown() -> None:
    case = the_case(
        *FORMED, BuyerLeft(purchase_id=PURCHASE, buyer_id=BEL), AddressConfirmed(person_id=COORDINATOR)
    )
    assert [(who, one.address_confirmed) for (who, _), one in case.subjects.items()] == [
        ("coordinator", True),
        ("buyer", False),
    ]


def test_the_queue_says_what_is_needed_and_what_there_is() -> None:
    head, *parties = lines_of(the_case(*FORMED, filed("a" * 64)), NOW)
    assert head.endswith("needs coordinator address confirmed, every buyer document reviewed")
    assert parties[1].endswith("Town of Aal: not looked at; other aaaaaaaaaaaa")


def test_a_name_cannot_turn_around_or_hide_what_the_officer_reads() -> None:
    assert visible("Town\u202e laA fo\u200b \x9b31m é 町") == r"Town\u202e laA fo\u200b \u009b31m é 町"


def test_what_is_named_must_be_one_thing() -> None:
    cases = read_cases(entries(*FORMED, filed("ab" * 32), filed("ac" * 32)))
    case = find_case(cases, str(PURCHASE)[:8])
    assert find_subject(case, " town of  AAL ").who == ("buyer", AAL)
    assert find_subject(case, str(BEL)[:8]).who == ("buyer", BEL)
    assert find_subject(case, "coordinator").who == ("coordinator", COORDINATOR)
    aal = find_subject(case, "Town of Aal")
    assert find_document(aal, "AB") == "ab" * 32
    for wrong in (
        lambda: find_case(cases, "9"),
        lambda: find_subject(case, "buyer"),
        lambda: find_subject(case, "0000"),
        lambda: find_document(aal, "a"),
        lambda: find_document(aal, "b"),
        lambda: end_of("tomorrow"),
    ):
        with pytest.raises(AccessError):
            wrong()
    assert end_of("2027-05-31") == datetime(2027, 5, 31, 23, 59, 59, 999999, tzinfo=UTC)


def paper(name: str, content: bytes, sent: bytes | None = None) -> Paper:
    document = manifest_of(name, content)
    parts = dict(split(document, sent or content))
    return Paper("buyer", AAL, "other", None, document, parts)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "..", ".bashrc", "a\u202egpj.exe", "x" * 200]
)
def test_a_senders_name_does_not_lead_out_of_the_folder(tmp_path: Path, name: str) -> None:
    one = paper(name, b"content")
    written, left_out = save([one], tmp_path / "papers", {one.document.sha256})
    assert not left_out
    (file,) = written
    assert file.resolve().parent.parent == (tmp_path / "papers").resolve()
    assert file.read_bytes() == b"content"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_a_document_is_saved_only_if_it_is_what_was_filed(tmp_path: Path) -> None:
    changed, unheard_of = paper("a.pdf", b"content", b"CONTENT"), paper("b.pdf", b"another")
    written, left_out = save([changed, unheard_of], tmp_path, {changed.document.sha256})
    assert not written
    assert len(left_out) == 2
    missing = paper("c.pdf", b"content")
    missing.parts.clear()
    assert missing.content is None


def test_the_officer_says_where_and_who(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("kept in a file\n")
    given = Given("kafka.example:9092", None, "north.")
    found = find_officer(given, {"LINEPOOL_OFFICER_PASSWORD_FILE": str(file)})
    assert (found.username, found.password, found.prefix) == ("north.officer", "kept in a file", "north.")
    with pytest.raises(AccessError, match="LINEPOOL_OFFICER_PASSWORD"):
        find_officer(given, {})
    assert who_verifies({"LINEPOOL_OFFICER_ID": str(BEN)}) == BEN
    with pytest.raises(AccessError, match="LINEPOOL_OFFICER_ID"):
        who_verifies({})
