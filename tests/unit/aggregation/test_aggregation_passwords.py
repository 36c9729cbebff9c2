import re
from base64 import b64decode, b64encode
from dataclasses import replace
from uuid import UUID

import pytest
from argon2 import PasswordHasher
from hypothesis import given
from hypothesis import strategies as st

from services.aggregation.passwords import Assigner, Decision, initial_password
from shared.sealing import derive, open_sealed, private_key, public_key_b64, seal_for

SECRET = b"s" * 32
DECISION = Decision(UUID(int=1), UUID(int=2), UUID(int=3))
KEY = private_key(b"n" * 32, "initial passwords")


def test_a_password_follows_from_secret_purchase_person_and_cause_and_from_nothing_else() -> None:
    password = initial_password(SECRET, DECISION)
    assert initial_password(SECRET, DECISION) == password
    others = [
        initial_password(b"t" * 32, DECISION),
        initial_password(SECRET, replace(DECISION, purchase_id=UUID(int=9))),
        initial_password(SECRET, replace(DECISION, person_id=UUID(int=9))),
        initial_password(SECRET, replace(DECISION, cause=UUID(int=9))),
    ]
    assert len({password, *others}) == 5


@given(st.uuids())
def test_a_password_is_26_characters_of_crockfords_base32(cause: UUID) -> None:
    password = initial_password(SECRET, replace(DECISION, cause=cause))
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}", password)


def test_every_character_takes_every_value() -> None:
    passwords = [
        initial_password(SECRET, replace(DECISION, cause=UUID(int=number))) for number in range(2000)
    ]
    assert [len({password[place] for password in passwords}) for place in range(26)] == [32] * 26


async def test_an_assigned_password_verifies_and_is_sealed_anew_each_time() -> None:
    assigner = Assigner(SECRET, public_key_b64(KEY))
    first, again = await assigner.assign(DECISION), await assigner.assign(DECISION)
    assert first.verifier == again.verifier
    assert first.sealed != again.sealed
    password = open_sealed(KEY, first.sealed, DECISION.info).decode()
    assert password == initial_password(SECRET, DECISION)
    assert first.verifier.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert PasswordHasher().verify(first.verifier, password)
    assert password not in repr((assigner, first, DECISION))
    assert "ssss" not in repr(assigner)


def test_a_box_opens_only_with_its_key_and_its_purpose() -> None:
    box = seal_for(public_key_b64(KEY), b"secret", "for this")
    assert open_sealed(KEY, box, "for this") == b"secret"
    assert b"secret" not in b64decode(box)
    with pytest.raises(ValueError, match="does not open"):
        open_sealed(KEY, box, "for that")
    with pytest.raises(ValueError, match="does not open"):
        open_sealed(private_key(b"n" * 32, "another purpose"), box, "for this")


@given(st.binary(max_size=90))
def test_whatever_is_not_a_box_does_not_open(content: bytes) -> None:
    with pytest.raises(ValueError, match="does not open"):
        open_sealed(KEY, b64encode(content).decode(), "for this")


@given(st.text(alphabet="ABCab01+/=", max_size=118))
def test_a_text_that_is_not_base64_is_no_box(text: str) -> None:
    with pytest.raises(ValueError, match="is not in base64"):
        open_sealed(KEY, f"{text}!", "for this")


def test_purposes_have_unrelated_secrets() -> None:
    assert derive(SECRET, "one", 32) != derive(SECRET, "two", 32)
    assert public_key_b64(private_key(SECRET, "one")) != public_key_b64(private_key(SECRET, "two"))
