"""Identifiers of organisations: what a register cannot have given is kept out, and an unknown register is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.iso7064 import mod_97_10

from linepool.registers import form_of
from services.aggregation.domain.identifiers import may_identify
from shared.messages.aggregation import Identifier


@pytest.mark.parametrize(
    ("scheme", "good", "bad"),
    [
        ("XI-LEI", "5493001KJTIIGC8Y1R12", "5493001KJTIIGC8Y1R13"),
        ("US-EIN", "91-1144442", "07-1144442"),
        ("GB-COH", "SC123456", "123"),
        ("GB-COH", "01234567", "0123456A7"),
        ("GB-COH", "IP00019R", "IPX0019R"),
        ("GB-VAT", "980780684", "802311781"),
        ("DE-VAT", "DE136695976", "136695978"),
        ("DE-VAT", "136695976", "DE13669597"),
        ("FR-VAT", "FR40303265045", "FR41303265045"),
        ("FR-INSEE", "552008443", "404833047"),
        ("FR-SIRET", "73282932000074", "73282932000079"),
        ("DK-CVR", "13585628", "13585627"),
        ("FI-PRO", "2077474-0", "2077474-1"),
        ("NO-BRC", "988077917", "988077918"),
        ("SE-BLV", "123456-7897", "123456-7891"),
        ("CH-FDJP", "CHE-100.155.212", "CHE-100.155.213"),
        ("PL-NIP", "8567346215", "8567346216"),
        ("GR-VAT", "EL094259216", "EL123456781"),
        ("BR-CNPJ", "16.727.230/0001-97", "16.727.230.0001-98"),
        ("AU-ABN", "83914571673", "99999999999"),
        ("UA-EDR", "32855961", "32855968"),
    ],
)
def test_a_number_has_the_form_of_its_register_or_is_refused(scheme: str, good: str, bad: str) -> None:
    right, wrong = Identifier(scheme=scheme, id=good), Identifier(scheme=scheme, id=bad)
    assert (form_of(right), form_of(wrong)) == ("well_formed", "malformed")
    assert may_identify([right]) is None
    refusal = may_identify([right, wrong])
    assert refusal is not None
    assert refusal.reason == "identifier_invalid"
    assert bad not in refusal.detail


def test_a_number_of_a_register_without_check_digits_is_taken_as_it_is() -> None:
    identifier = Identifier(scheme="NL-KVK", id="12345678")
    assert form_of(identifier) == "not_checked"
    assert may_identify([identifier]) is None


@given(st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=18, max_size=18), st.integers(0, 19))
def test_one_wrong_digit_or_letter_of_a_legal_entity_identifier_is_found(stem: str, place: int) -> None:
    right = stem + mod_97_10.calc_check_digits(stem)
    # A digit for a letter shifts what follows, and one in 97 of those passes.
    others = "12" if right[place].isdigit() else "AB"
    wrong = right[:place] + others[right[place] == others[0]] + right[place + 1 :]
    assert form_of(Identifier(scheme="XI-LEI", id=right)) == "well_formed"
    assert form_of(Identifier(scheme="XI-LEI", id=wrong)) == "malformed"


@given(
    st.from_regex(r"[A-Za-z0-9./-]{2,40}", fullmatch=True), st.sampled_from(["DE-VAT", "XI-LEI", "GB-COH"])
)
def test_no_identifier_that_the_contract_takes_breaks_a_check(number: str, scheme: str) -> None:
    form_of(Identifier(scheme=scheme, id=number))
