import io
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linepool.members.file import MemberImport, MemberOptions, read_file
from linepool.members.template import TEMPLATE
from linepool.tables.csvtable import CsvOptions
from linepool.tables.reading import Reading
from linepool.tables.writing import csv_text, workbook_bytes
from shared.messages.aggregation import BillingPreferences, Identifier

HEADER = "legal_name,identifiers,contact_name,contact_email,contact_phone"
ROW = "Library,GB-COH 01234567,Ben,ben@example.org,+44 20 1234567"


def read(
    folder: Path, content: bytes | str, options: MemberOptions | None = None, name: str = "m.csv"
) -> MemberImport:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_file(path, options or MemberOptions())


def with_cells(**cells: str) -> str:
    names = HEADER.split(",")
    row = dict(zip(names, ROW.split(","), strict=True)) | cells
    return csv_text([list(row), list(row.values())])


def reasons(found: MemberImport) -> list[tuple[int | None, str | None, str]]:
    return [(bad.line, bad.column, bad.reason) for bad in found.bad_rows]


@pytest.mark.parametrize("name", ["m.csv", "m.xlsx"])
def test_the_template_is_read_as_it_was_meant(tmp_path: Path, name: str) -> None:
    content = csv_text(TEMPLATE).encode() if name == "m.csv" else workbook_bytes(TEMPLATE, "Members")
    found = read(tmp_path, content, name=name)
    assert found.bad_rows == ()
    hall, library = found.to_add("all_or_nothing")
    assert hall.legal_name == "Example Town Hall"
    assert hall.identifiers == (
        Identifier(scheme="XI-LEI", id="5493001KJTIIGC8Y1R12"),
        Identifier(scheme="US-EIN", id="12-3456789"),
    )
    assert (hall.contact_email, hall.contact_phone) == ("ada@example.org", "+49301234567")
    assert hall.billing == BillingPreferences(
        format="pdf", frequency="monthly", payment_days=30, medium="email"
    )
    assert library.identifiers == (Identifier(scheme="GB-COH", id="01234567"),)
    assert (library.contact_phone, library.billing) == (None, None)


def test_a_column_may_have_a_schemes_name(tmp_path: Path) -> None:
    content = "Firma;XI-LEI;FR-RCS;Ansprechpartner;E-Mail\nMairie;5493001KJTIIGC8Y1R12;552 100 554;Zoé;z@example.fr\n"
    (member,) = read(tmp_path, content.encode("windows-1252")).members
    assert [f"{one.scheme} {one.id}" for one in member.identifiers] == [
        "XI-LEI 5493001KJTIIGC8Y1R12",
        "FR-RCS 552100554",
    ]
    assert member.contact_name == "Zoé"


@pytest.mark.parametrize(
    ("column", "text", "reason"),
    [
        ("legal_name", "", "1 to 200"),
        ("legal_name", "x" * 201, "1 to 200"),
        ("legal_name", "two\nlines", "one line"),
        ("identifiers", "", "1 to 5 identifiers, and has 0"),
        ("identifiers", "01234567", "must be as XI-LEI"),
        ("identifiers", "GB-COH: §", "2 to 40 letters"),
        ("identifiers", "GB-COH 123", "the form and the check digits of GB-COH"),
        ("identifiers", "XI-LEI 5493001KJTIIGC8Y1R13", "the form and the check digits of XI-LEI"),
        ("identifiers", "US-XX 11;US-XX 12;US-XX 13;US-XX 14;US-XX 15;US-XX 16", "and has 6"),
        ("contact_name", "", "1 to 200"),
        ("contact_email", "", "one mail address"),
        ("contact_email", "Ben <ben@example.org>", "one mail address"),
        ("contact_email", "ben@example.org, ada@example.org", "one mail address"),
        ("contact_phone", "020 1234567", "must begin with + and the country's code"),
        ("contact_phone", "0044 20 1234567", "instead of 00"),
        ("contact_phone", "+44 (0)20 1234567", "without (0)"),
        ("contact_phone", "+44 20 12 ext 5", "E.164"),
        ("contact_phone", "+4.4E+11", "lost digits"),
    ],
)
def test_a_bad_cell_is_named_and_told_how_it_must_be(
    tmp_path: Path, column: str, text: str, reason: str
) -> None:
    found = read(tmp_path, with_cells(**{column: text}))
    ((line, named, told),) = reasons(found)
    assert line == 2
    assert named == (None if "and has" in reason else column)
    assert reason in told
    assert found.members == ()


def test_a_phone_is_kept_as_e164(tmp_path: Path) -> None:
    for text in ("+44 20 1234567", "+44(20)1234567", "+44-20-123.45/67", "+44\u00a0201234567"):
        assert read(tmp_path, with_cells(contact_phone=text)).members[0].contact_phone == "+44201234567"


def test_a_report_does_not_quote_how_people_are_reached(tmp_path: Path) -> None:
    found = read(tmp_path, with_cells(contact_email="ben at example.org", contact_phone="020 7654321"))
    assert "ben" not in str(reasons(found))
    assert "7654321" not in str(reasons(found))
    assert "ben" not in repr(read(tmp_path, f"{HEADER}\n{ROW}\n").members)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (HEADER.replace("legal_name", "something"), "there is no column legal_name"),
        (HEADER.replace("contact_email", "something"), "there is no column contact_email"),
        (HEADER.replace("identifiers", "billing_format"), "there is no column identifiers"),
        (HEADER.replace("contact_phone", "billing_format"), "there is no column billing_medium"),
        (HEADER.replace("contact_phone", "shoe size"), "is not known"),
    ],
)
def test_a_header_at_fault_says_what_is_wrong(tmp_path: Path, header: str, reason: str) -> None:
    found = read(tmp_path, f"{header}\n{ROW}\n")
    assert any(reason in bad.reason and bad.line == 1 for bad in found.bad_rows)
    assert found.members == ()


def test_billing_preferences_are_whole_and_of_the_contract(tmp_path: Path) -> None:
    billing = {
        "billing_format": "PDF",
        "billing_frequency": "monthly",
        "billing_payment_days": "30",
        "billing_medium": "post",
    }
    preferences = read(tmp_path, with_cells(**billing)).members[0].billing
    assert preferences == BillingPreferences(
        format="pdf", frequency="monthly", payment_days=30, medium="post"
    )
    for column, text in (
        ("billing_format", ""),
        ("billing_medium", "pigeon"),
        ("billing_payment_days", "121"),
        ("billing_payment_days", "1,5"),
    ):
        ((line, named, _),) = reasons(read(tmp_path, with_cells(**billing | {column: text})))
        assert (line, named) == (2, column)


def test_members_that_are_the_same_are_bad_wherever_they_stand(tmp_path: Path) -> None:
    rows = [
        ROW,
        "library ,GB-COH 07654321,Ada,ada@example.org,",
        "Hall,GB-COH 0123 4567,Cy,cy@example.org,",
        "Pool,GB-COH 05555555,Di,BEN@example.org,",
        "Park,GB-COH 06666666,Ed,ed@example.org,",
    ]
    found = read(tmp_path, "\n".join([HEADER, *rows]))
    assert [(line, column) for line, column, _ in reasons(found)] == [
        (2, "legal_name"),
        (2, "identifiers"),
        (2, "contact_email"),
        (3, "legal_name"),
        (4, "identifiers"),
        (5, "contact_email"),
    ]
    assert [member.legal_name for member in found.to_add("keep_good")] == ["Park"]
    assert found.to_add("all_or_nothing") == ()


def test_numbers_of_a_spreadsheet_lose_zeros_so_they_are_no_identifiers(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["legal_name", "GB-COH", "contact_name", "contact_email", "contact_phone"])
    sheet.append(["Library", 1234567, "Ben", "ben@example.org", 442012345678])
    file = io.BytesIO()
    book.save(file)
    found = read(tmp_path, file.getvalue(), name="m.xlsx")
    assert [(line, column) for line, column, _ in reasons(found)] == [(2, "GB-COH"), (2, "contact_phone")]
    assert all("format the cell as text" in reason for _, _, reason in reasons(found))


def test_a_missing_file_is_a_bad_row_too(tmp_path: Path) -> None:
    ((_, _, reason),) = reasons(read_file(tmp_path / "none.csv", MemberOptions()))
    assert "cannot be read" in reason


TEXTS: Any = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=30
).map(lambda text: text.strip() or "x")


@settings(deadline=None)
@given(
    TEXTS.filter(lambda text: text.isprintable()),
    st.from_regex(r"[a-z]{1,20}@[a-z]{1,20}\.org", fullmatch=True),
    st.from_regex(r"[A-Z]{2}-[A-Z0-9]{2,10} [A-Za-z0-9./-]{2,40}", fullmatch=True),
    st.sampled_from(["utf-8", "utf-16", "utf-8-sig"]),
)
def test_any_member_that_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, name: str, email: str, identifier: str, encoding: str
) -> None:
    content = csv_text([HEADER.split(","), [name, identifier, name, email, ""]]).encode(encoding)
    found = read(tmp_path_factory.mktemp("m"), content)
    if found.bad_rows:
        # An exponent is what a spreadsheet leaves of a long number.
        assert all("lost digits" in bad.reason for bad in found.bad_rows)
        return
    (member,) = found.members
    assert (member.legal_name, member.contact_email) == (name, email)
    assert f"{member.identifiers[0].scheme} {member.identifiers[0].id}" == identifier


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_do_harm(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    assert read(tmp_path_factory.mktemp("m"), content, MemberOptions(Reading(csv=CsvOptions()))).bad_rows
