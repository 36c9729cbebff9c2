from uuid import UUID

from linepool.usage.buyers import buyer_id_of


def test_a_buyer_given_as_an_id_keeps_it_and_a_name_has_always_the_same() -> None:
    buyer = UUID("0b0c1f62-1f2e-4f0c-9d51-9d3c6c7a1a11")
    assert buyer_id_of(str(buyer)) == buyer
    assert buyer_id_of("Library") == buyer_id_of("Library") != buyer_id_of("library")
