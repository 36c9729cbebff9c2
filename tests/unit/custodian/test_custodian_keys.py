"""A custodian's keys: made from one secret, each for one purchase and deadline, and released after it."""

import json
import stat
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from linepool.cli import app
from linepool.custodian.keys import CustodianError, key_for, make_secret, read_secret, released_key
from shared.sealing import public_key_b64, read_private_key

PURCHASE, OTHER = UUID(int=1), UUID(int=2)
DEADLINE = datetime(2026, 6, 1, 12, tzinfo=UTC)
SECRET = b"c" * 32
A_MOMENT = timedelta(microseconds=1)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["custodian", *arguments])


def test_each_purchase_and_each_deadline_has_a_key_of_its_own_the_same_each_time() -> None:
    keys = [
        public_key_b64(key_for(secret, purchase, deadline))
        for secret in (SECRET, b"d" * 32)
        for purchase in (PURCHASE, OTHER)
        for deadline in (DEADLINE, DEADLINE + A_MOMENT)
    ]
    assert len(set(keys)) == len(keys)
    in_berlin = DEADLINE.astimezone(timezone(timedelta(hours=2)))
    assert public_key_b64(key_for(SECRET, PURCHASE, in_berlin)) == keys[0]


@given(
    st.datetimes(timezones=st.just(UTC)),
    st.timedeltas(timedelta(0), timedelta(days=400)),
)
def test_no_key_is_released_before_the_deadline_that_it_was_made_for(now: datetime, ahead: timedelta) -> None:
    try:
        deadline = now + ahead
    except OverflowError:
        return
    if ahead:
        with pytest.raises(CustodianError, match="and not before"):
            released_key(SECRET, PURCHASE, deadline, now)
    else:
        released = released_key(SECRET, PURCHASE, deadline, now)
        assert public_key_b64(released) == public_key_b64(key_for(SECRET, PURCHASE, deadline))


def test_whoever_is_told_an_earlier_deadline_releases_a_key_that_opens_nothing() -> None:
    told = DEADLINE - timedelta(days=1)
    released = released_key(SECRET, PURCHASE, told, told)
    assert public_key_b64(released) != public_key_b64(key_for(SECRET, PURCHASE, DEADLINE))


def test_the_secret_is_in_a_file_that_nobody_else_can_read_and_that_is_never_written_over(
    tmp_path: Path,
) -> None:
    file = tmp_path / "custodian.json"
    make_secret(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    secret = read_secret(file)
    with pytest.raises(CustodianError, match="cannot be made"):
        make_secret(file)
    assert read_secret(file) == secret
    file.chmod(0o640)
    with pytest.raises(CustodianError, match="chmod 600"):
        read_secret(file)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"custodian_secret": 1}', '{"custodian_secret": "YQ=="}']
)
def test_a_file_without_a_secret_is_refused_in_a_sentence(tmp_path: Path, text: str) -> None:
    file = tmp_path / "custodian.json"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(CustodianError, match="holds no custodian's secret"):
        read_secret(file)


def test_the_commands_print_the_public_key_and_after_the_deadline_the_private_one(tmp_path: Path) -> None:
    file = tmp_path / "custodian.json"
    assert run("keys", str(file)).exit_code == 0
    secret = ("--keys", str(file))
    early, late = "2100-01-01T00:00:00Z", "2026-01-01T00:00:00Z"
    public = run("public", str(PURCHASE), late, *secret).stdout.strip()
    released = json.loads(run("release", str(PURCHASE), late, *secret).stdout)
    assert released["public_key"] == public
    assert public_key_b64(read_private_key(released["private_key"])) == public

    refused = run("release", str(PURCHASE), early, *secret)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "The deadline is 2100-01-01 00:00:00 UTC" in refused.stderr
    assert run("public", str(PURCHASE), early, *secret).stdout.strip() not in {"", public}
    for wrong in ("tomorrow", "2026-01-01T00:00:00"):
        assert run("public", str(PURCHASE), wrong, *secret).exit_code == 1
