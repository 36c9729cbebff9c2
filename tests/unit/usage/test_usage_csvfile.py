from datetime import date
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linepool.rating.lines import ServiceUsage, UsageLine
from linepool.usage import csvfile
from linepool.usage.csvfile import UsageFileError, parse_usage, read_usage, template, usage_csv
from linepool.usage.csvrow import UNASSIGNED_BUYER, buyer_id_of
from linepool.usage.public import public_lines

HEADER = "line_id,recurring_charge,contract_end,exit_fee,voice.day:MIN,voice.day:charge"


def csv_of(*rows: str, header: str = HEADER) -> bytes:
    return "\n".join([header, *rows, ""]).encode()


def errors_in(content: bytes) -> tuple[str, ...]:
    with pytest.raises(UsageFileError) as caught:
        parse_usage(content)
    assert caught.value.total == len(caught.value.errors)
    return caught.value.errors


def test_the_template_is_a_usage_file() -> None:
    file = parse_usage(template().encode())
    assert sorted(file.buyer_names.values()) == ["Example Library", "Example Town Hall"]
    town_hall, library = file.lines
    assert town_hall.line_id == "+1-555-0100"
    assert town_hall.contract_end == date(2027, 3, 31)
    assert town_hall.exit_fee == Decimal("40.00")
    assert [used.service for used in town_hall.services] == [
        "voice.day",
        "voice.evening",
        "voice.night",
        "voice.international",
    ]
    assert library.services == (ServiceUsage("voice.day", Decimal("161.6"), "MIN", Decimal("27.47")),)
    assert library.contract_end is None


def test_a_row_becomes_a_line_whatever_the_order_of_columns() -> None:
    content = b"mobile.data:charge,buyer,line_id,mobile.data:E34\n9.90,Library,A7,12.345678\n"
    file = parse_usage(content)
    library = buyer_id_of("Library")
    assert file.buyer_names == {library: "Library"}
    assert file.lines == (
        UsageLine(
            library, "A7", (ServiceUsage("mobile.data", Decimal("12.345678"), "E34", Decimal("9.90")),)
        ),
    )


def test_without_a_buyer_column_no_line_has_a_buyer() -> None:
    file = parse_usage(csv_of("1,,,,5,0.85"))
    assert file.buyer_names == {}
    assert file.lines[0].buyer_id == UNASSIGNED_BUYER


def test_a_buyer_given_as_an_id_keeps_it() -> None:
    buyer = UUID("0b0c1f62-1f2e-4f0c-9d51-9d3c6c7a1a11")
    assert buyer_id_of(str(buyer)) == buyer
    assert buyer_id_of("Library") == buyer_id_of("Library") != buyer_id_of("library")


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + csv_of("1,2.00,,,5,0.85", "2,,,,6,1.02"),
        csv_of("1,2.00,,,5,0.85", "2,,,,6,1.02").replace(b"\n", b"\r\n"),
        csv_of("1,2.00,,,5,0.85", "2,,,,6,1.02").removesuffix(b"\n"),
        csv_of("1,2.00,,,5,0.85", "", "2,,,,6,1.02", "", ""),
        csv_of('"1","2.00","","",5,0.85', "2,,,,6,1.02"),
    ],
    ids=["byte order mark", "CRLF", "no final newline", "empty rows", "quoted"],
)
def test_the_forms_that_spreadsheets_write_are_read_alike(content: bytes) -> None:
    assert parse_usage(content) == parse_usage(csv_of("1,2.00,,,5,0.85", "2,,,,6,1.02"))


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("-5", "must not be negative"),
        ("NaN", "must be a finite number"),
        ("Infinity", "must be a finite number"),
        ("1e999999999", "must be written without an exponent"),
        ('"1,000"', "must have a point before its decimals and no thousands separators"),
        ("1 000", "must have a point before its decimals and no thousands separators"),
        ("1.2345678", "must have at most 6 decimals"),
        ("9999999999999", "must have at most 12 digits before the point"),
        ("five", "must be a decimal number such as 12.50"),
        ("=1+1", "must be a decimal number such as 12.50"),
    ],
)
def test_a_bad_number_is_named_by_line_and_column(cell: str, reason: str) -> None:
    content = csv_of("1,,,,5,0.85", f"2,,,,{cell},0.85")
    assert errors_in(content) == (f"line 3, column voice.day:MIN: {reason}.",)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("2,1.005,,,5,0.85", "line 3, column recurring_charge: must have at most 2 decimals."),
        ("2,,,-1,5,0.85", "line 3, column exit_fee: must not be negative."),
        ("2,,,,5,0.855", "line 3, column voice.day:charge: must have at most 2 decimals."),
        ("2,,,,5,", "line 3, column voice.day:charge: is empty, the other column of the service is not."),
        ("2,,,,,0.85", "line 3, column voice.day:MIN: is empty, the other column of the service is not."),
        ("2,,31.03.2027,,5,0.85", "line 3, column contract_end: must be a date as YYYY-MM-DD."),
        ("2,,2027-02-29,,5,0.85", "line 3, column contract_end: must be a date as YYYY-MM-DD."),
        ("2,,20270331,,5,0.85", "line 3, column contract_end: must be a date as YYYY-MM-DD."),
        ("1,,,,5,0.85", "line 3, column line_id: is the same as on line 2."),
        (",,,,5,0.85", "line 3, column line_id: must have 1 to 40 letters, digits or . _ + -."),
        (
            "a\x00b,,,,5,0.85",
            "line 3, column line_id: must have 1 to 40 letters, digits or . _ + -.",
        ),
        ("2,,,,5", "line 3: has 5 columns, the header has 6."),
        ("2,,,,5,0.85,", "line 3: has 7 columns, the header has 6."),
        ("a b,,,,5,0.85", "line 3, column line_id: must have 1 to 40 letters, digits or . _ + -."),
        ('2,,,,5,"0.85', "line 3: is not CSV (unexpected end of data)."),
    ],
)
def test_a_bad_row_is_named_by_line_and_column(row: str, sentence: str) -> None:
    assert errors_in(csv_of("1,,,,5,0.85", row)) == (sentence,)


def test_a_buyer_without_a_name_is_refused() -> None:
    content = csv_of("1,Library,5,0.85", "2,,5,0.85", header="line_id,buyer,voice.day:MIN,voice.day:charge")
    assert errors_in(content) == (
        "line 3, column buyer: must have 1 to 200 printable characters, no space at an end.",
    )


def test_line_numbers_stay_those_of_the_file_after_a_cell_with_a_line_break() -> None:
    content = csv_of('"1\n",,,,5,0.85', "2,,,,x,0.85")
    assert errors_in(content) == (
        "line 2, column line_id: must have 1 to 40 letters, digits or . _ + -.",
        "line 4, column voice.day:MIN: must be a decimal number such as 12.50.",
    )


def test_twenty_errors_are_shown_and_all_are_counted() -> None:
    content = csv_of(*(f"{number},,,,x,-1" for number in range(30)))
    with pytest.raises(UsageFileError) as caught:
        parse_usage(content)
    assert caught.value.total == 60
    assert len(caught.value.errors) == 20
    assert str(caught.value).endswith("\nand 40 more")


@pytest.mark.parametrize(
    ("header", "sentences"),
    [
        ("line_id;voice.day:MIN;voice.day:charge", ["the columns must be separated by commas."]),
        ("voice.day:MIN,voice.day:charge", ["the column line_id is missing."]),
        ("line_id", ["there is no service column such as voice.day:MIN."]),
        ("line_id,voice.day:MIN", ["voice.day has a quantity column and no charge column."]),
        ("line_id,voice.day:charge", ["voice.day has a charge column and no quantity column."]),
        ("line_id,line_id,a:MIN,a:charge", ["the column line_id stands twice."]),
        ("line_id,a:MIN,a:E34,a:charge", ["a stands in two units."]),
        ("line_id,a:minutes,a:charge,b:MIN,b:charge", None),
        (
            "line_id,note,a:MIN,a:charge",
            [
                (
                    "column 2 must be buyer, line_id, recurring_charge, contract_end, exit_fee"
                    " or <service>:<unit or charge>."
                )
            ],
        ),
        (",".join(f"s{n}:MIN" for n in range(1001)), ["there are more than 1000 columns."]),
    ],
)
def test_a_header_that_is_not_understood_is_explained(header: str, sentences: list[str] | None) -> None:
    expected = sentences or [
        "the column of a must name a UN/ECE Rec 20 unit such as MIN, or charge.",
        "a has a charge column and no quantity column.",
    ]
    assert errors_in(csv_of("1", header=header)) == tuple(f"line 1: {sentence}" for sentence in expected)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "the file is empty."),
        (b"\xef\xbb\xbf", "the file is empty."),
        (b"\n\r\n \n", "the file is empty."),
        (HEADER.encode(), "line 2: the file has a header and no lines."),
        (csv_of("1,,,,5,0.85") + b"M\xfcller,,,,5,0.85\n", "line 3: is not UTF-8."),
        ("line_id".encode("utf-16"), "line 1: is not UTF-8."),
        (b'"line_id', "line 1: is not CSV (unexpected end of data)."),
    ],
)
def test_a_file_that_is_no_usage_file_is_refused_in_one_sentence(content: bytes, sentence: str) -> None:
    assert errors_in(content) == (sentence,)


def test_a_file_that_is_too_large_is_refused_before_it_is_read_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "usage.csv"
    path.write_bytes(csv_of("1,,,,5,0.85") + b"\n" * 1024 * 1024)
    monkeypatch.setattr(csvfile, "MAXIMUM_BYTES", 1024 * 1024)
    with pytest.raises(UsageFileError, match="the file has more than 1 MiB"):
        read_usage(path)


def test_twenty_thousand_lines_are_read_from_a_file_and_equal_those_written(tmp_path: Path) -> None:
    public = public_lines()
    lines = tuple(
        UsageLine(buyer_id_of(f"Buyer {copy}"), f"{line.line_id}-{copy}", line.services)
        for copy in range(4)
        for line in public
    )
    path = tmp_path / "usage.csv"
    names = {buyer_id_of(f"Buyer {copy}"): f"Buyer {copy}" for copy in range(4)}
    path.write_text(usage_csv(lines, names), encoding="utf-8")
    file = read_usage(path)
    assert len(file.lines) == 20_000
    assert file.lines == lines
    assert file.buyer_names == names


def test_a_service_in_two_units_cannot_be_written() -> None:
    lines = [
        UsageLine(UNASSIGNED_BUYER, unit, (ServiceUsage("a", Decimal(1), unit, Decimal(0)),))
        for unit in ("MIN", "E34")
    ]
    with pytest.raises(ValueError, match="a is counted in MIN and in E34"):
        usage_csv(lines)


amounts = st.decimals("0", "1000000", places=2)


@given(
    st.lists(
        st.builds(
            UsageLine,
            st.just(UNASSIGNED_BUYER) | st.uuids(),
            st.from_regex(r"[A-Za-z0-9._+-]{1,40}", fullmatch=True),
            st.sets(st.sampled_from(["a", "b.c", "d.e2.f"]), min_size=1).flatmap(
                lambda codes: st.tuples(
                    *(
                        st.builds(
                            ServiceUsage,
                            st.just(code),
                            st.decimals("0", "9", places=6),
                            st.just("MIN"),
                            amounts,
                        )
                        for code in sorted(codes)
                    )
                )
            ),
            amounts,
            st.none() | st.dates(),
            amounts,
        ),
        min_size=1,
        max_size=5,
        unique_by=lambda line: line.line_id,
    )
)
def test_lines_that_were_written_are_read_back_unchanged(lines: list[UsageLine]) -> None:
    read = parse_usage(usage_csv(lines).encode()).lines
    assert [set(line.services) for line in read] == [set(line.services) for line in lines]
    assert [
        (line.buyer_id, line.line_id, line.recurring_charged, line.contract_end, line.exit_fee)
        for line in read
    ] == [
        (line.buyer_id, line.line_id, line.recurring_charged, line.contract_end, line.exit_fee)
        for line in lines
    ]
