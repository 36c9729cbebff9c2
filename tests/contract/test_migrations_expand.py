"""Migrations only expand: what the release before writes and reads is still there, and still allowed."""

import json
import re
from hashlib import sha256
from pathlib import Path

import pytest

from shared.migrations import Migration
from tests.contract.released import FILE, migration_files

FILES = migration_files()
RELEASED: dict[str, str] = json.loads(FILE.read_text())["migrations"]
BEFORE_ANY_RELEASE = "applied before anything was released, so nothing older ever ran beside it"
EXCEPTIONS = {
    "shared/sql/0002_chain.sql": BEFORE_ANY_RELEASE,
    "services/aggregation/migrations/0003_letters_evidence_minimum.sql": BEFORE_ANY_RELEASE,
    "services/bidding/migrations/0002_sealed_replies.sql": BEFORE_ANY_RELEASE,
    "services/bidding/migrations/0003_chains_and_checkpoints.sql": BEFORE_ANY_RELEASE,
    "services/distribution/migrations/0002_access_and_answers.sql": BEFORE_ANY_RELEASE,
    "services/notification/migrations/0003_mails_about_people.sql": BEFORE_ANY_RELEASE,
}
NAME = r'(?:if (?:not )?exists )?(?:only )?"?(?:\w+"?\."?)?(\w+)"?'


def statements(sql: str) -> list[str]:
    """Return the statements in lower case, without comments, bodies of functions and needless space."""
    text = re.sub(r"--[^\n]*", " ", sql)
    text = re.sub(r"(\$\w*\$).*?\1", "''", text, flags=re.DOTALL)
    return [found for one in text.split(";") if (found := " ".join(one.split()).lower())]


def actions(rest: str) -> list[str]:
    """Split the actions of one ALTER TABLE at the commas outside brackets."""
    parts, depth = [""], 0
    for character in rest:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def contractions(sql: str) -> list[str]:
    """Return what in a migration could break a process of the release before."""
    own: set[str] = set()
    found = []
    for statement in statements(sql):
        if created := re.match(rf"create (?:unlogged )?table {NAME}", statement):
            own.add(created[1])
        elif altered := re.match(rf"alter table {NAME} (.*)", statement):
            if altered[1] not in own:
                listed = actions(altered[2])
                found += [one for one in listed if contracts(one, listed)]
        elif unique := re.match(rf"create unique index {NAME} on {NAME}", statement):
            found += [statement] if unique[2] not in own else []
        elif re.match(
            r"drop (?!index|trigger)|alter \w+ .*\brename\b|truncate|delete from|revoke", statement
        ):
            found.append(statement)
    return found


def contracts(action: str, beside: list[str]) -> bool:
    """Whether one action of ALTER TABLE takes away, renames or narrows. A CHECK may be replaced under its name."""
    if dropped := re.match(rf"drop constraint {NAME}", action):
        return not any(re.match(rf"add constraint {dropped[1]} check", one) for one in beside)
    if added := re.match(rf"add constraint {NAME} (\w+)", action):
        replaced = any(re.match(rf"drop constraint {added[1]}\b", one) for one in beside)
        return not (replaced and added[2] == "check")
    if re.match(r"add (column )?", action) and not re.match(
        r"add (primary|unique|foreign|check|exclude)\b", action
    ):
        return "not null" in action and "default" not in action and "generated" not in action
    return not re.match(r"alter (column )?\w+ (set default|drop not null)|validate constraint", action)


def stored_name(place: str) -> str:
    """Return what the table `migrations` calls a file."""
    return f"{'delivery' if place.startswith('shared/') else 'service'}/{Path(place).name}"


@pytest.mark.parametrize("name", FILES)
def test_a_migration_only_expands_or_names_what_a_process_must_know_to_do_without(name: str) -> None:
    sql = FILES[name].read_text()
    found, needs = contractions(sql), Migration(stored_name(name), sql).needs
    if name in EXCEPTIONS:
        assert found, f"{name} needs no exception"
    elif found:
        # The release before knows it, and has done without what is taken away since.
        assert needs in {stored_name(one) for one in RELEASED if Path(one).parent == Path(name).parent}
    else:
        assert needs is None


@pytest.mark.parametrize("name", sorted(RELEASED))
def test_a_released_migration_is_as_it_was(name: str) -> None:
    assert name in FILES, "gone"
    assert sha256(FILES[name].read_bytes()).hexdigest() == RELEASED[name]


def test_exceptions_are_for_files_that_there_are() -> None:
    assert set(EXCEPTIONS) <= set(FILES)


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE mails;",
        "DROP VIEW waiting;",
        "ALTER TABLE mails DROP COLUMN kind;",
        "ALTER TABLE mails DROP kind;",
        "ALTER TABLE mails RENAME COLUMN kind TO sort;",
        "ALTER TABLE mails RENAME TO letters;",
        "ALTER VIEW waiting RENAME TO shut;",
        "ALTER TABLE mails ALTER COLUMN tries TYPE bigint;",
        "ALTER TABLE mails ALTER tries SET DATA TYPE bigint;",
        "ALTER TABLE mails ALTER COLUMN kind SET NOT NULL;",
        "ALTER TABLE mails ALTER COLUMN kind DROP DEFAULT;",
        "ALTER TABLE mails ADD COLUMN topic text NOT NULL;",
        "ALTER TABLE mails\n  ADD COLUMN a int, -- fine\n  ADD b text NOT NULL;",
        "ALTER TABLE mails ADD CONSTRAINT few CHECK (tries < 3);",
        "ALTER TABLE mails ADD UNIQUE (kind);",
        "ALTER TABLE mails DROP CONSTRAINT mails_end_once;",
        "ALTER TABLE mails DROP CONSTRAINT few, ADD CONSTRAINT few UNIQUE (tries);",
        "CREATE UNIQUE INDEX once ON mails (kind);",
        "DELETE FROM mails;",
        "TRUNCATE mails;",
        "REVOKE SELECT ON mails FROM opener;",
    ],
)
def test_what_takes_away_renames_or_narrows_is_found(sql: str) -> None:
    assert contractions(sql) != []


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE more (id uuid PRIMARY KEY); CREATE UNIQUE INDEX once ON more (id); ALTER TABLE more DROP COLUMN id;",
        "ALTER TABLE mails ADD COLUMN topic text;",
        "ALTER TABLE mails ADD COLUMN topic text NOT NULL DEFAULT 'none';",
        "ALTER TABLE mails ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY NOT NULL;",
        "ALTER TABLE mails ALTER COLUMN purchase_id DROP NOT NULL;",
        "ALTER TABLE mails ALTER COLUMN kind SET DEFAULT 'x';",
        "ALTER TABLE mails DROP CONSTRAINT few, ADD CONSTRAINT few CHECK (tries < 9);",
        "DROP INDEX mails_due; CREATE INDEX mails_due ON mails (next_try_at);",
        "-- DROP TABLE mails;\nCREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM mails; END $$;",
        "UPDATE mails SET tries = 0 WHERE tries IS NULL;",
        "GRANT SELECT ON mails TO opener;",
    ],
)
def test_what_only_expands_is_let_through(sql: str) -> None:
    assert contractions(sql) == []
