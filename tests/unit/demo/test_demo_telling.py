"""How the demonstration talks, masks passwords, and keeps two of itself apart."""

import io
from email.message import EmailMessage
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from deploy.local.handles import StackError
from linepool.cli import app
from linepool.demo.claimed import claimed, holder
from linepool.demo.mails import arrived, has_masked_password, initial_passwords
from linepool.demo.telling import ClaimError, Teller
from linepool.tables.writing import csv_text
from linepool.usage.template import TEMPLATE

PASSWORD = "0123456789ABCDEFGHJKMNPQRS"


def plain() -> tuple[Teller, io.StringIO]:
    written = io.StringIO()
    return Teller(Console(file=written, width=100, highlight=False)), written


def test_without_a_terminal_the_story_is_plain_lines_and_each_change_of_the_counter_is_one() -> None:
    tell, written = plain()
    with tell.live():
        for text in ("0 0", "0 0", "1 0"):
            tell.count(text)
        tell.step("Title [bold]", "text [of a stranger]")
    assert written.getvalue().splitlines()[:2] == ["  0 0", "  1 0"]
    assert "Title [bold]. text [of a stranger]" in written.getvalue()
    assert "\x1b" not in written.getvalue()


def test_a_claim_that_does_not_hold_ends_the_story() -> None:
    tell, written = plain()
    tell.claim("this holds", holds=True)
    with pytest.raises(ClaimError, match="this does not"):
        tell.claim("this does not", holds=False)
    assert "✓ this holds" in written.getvalue()
    assert "✗ this does not" in written.getvalue()
    assert tell.claims == 1


def test_passwords_are_masked_and_a_mail_that_came_twice_is_one_mail(tmp_path: Path) -> None:
    for number, text in enumerate((f"    {PASSWORD}\n", f"    {PASSWORD}\n", "nothing secret\n")):
        mail = EmailMessage()
        mail["To"], mail["Subject"] = "a@example.org", "Hello"
        mail["Message-ID"] = f"<{number // 2}@example.org>"
        mail.set_content(text)
        (tmp_path / f"{number}.eml").write_bytes(mail.as_bytes())
    first, second = arrived(tmp_path)
    assert PASSWORD not in first.text
    assert has_masked_password(first)
    assert not has_masked_password(second)


def test_a_person_finds_the_password_that_was_mailed_to_them_for_this_group(tmp_path: Path) -> None:
    others = PASSWORD.replace("0", "9")
    for number, (to, group, password) in enumerate(
        (
            ("a@example.org", "Towns", PASSWORD),
            ("a@example.org", "Others", others),
            ("b@example.org", "Towns", others),
        )
    ):
        mail = EmailMessage()
        mail["To"], mail["Subject"] = to, f"[{group}] Your initial password"
        mail.set_content(f"This is your initial password:\n\n    {password}\n")
        (tmp_path / f"{number}.eml").write_bytes(mail.as_bytes())
    assert initial_passwords(tmp_path, "a@example.org", "Towns") == [PASSWORD]
    assert initial_passwords(tmp_path, "c@example.org", "Towns") == []


def test_a_folder_is_used_by_one_process_at_a_time(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
    with claimed(tmp_path):
        assert holder(tmp_path) is not None
        with pytest.raises(StackError, match="another process"), claimed(tmp_path):
            pass
    assert holder(tmp_path) is None


def test_the_command_writes_an_example_of_a_usage_file() -> None:
    done = CliRunner().invoke(app, ["demo", "--template"])
    assert (done.exit_code, done.output) == (0, csv_text(TEMPLATE))


def test_the_command_names_line_and_column_of_every_error_in_a_usage_file(tmp_path: Path) -> None:
    file = tmp_path / "usage.csv"
    file.write_text(csv_text(TEMPLATE).replace("265.1", "-1").replace("2027-03-31", "soon"))
    done = CliRunner().invoke(app, ["demo", "--usage", str(file)])
    assert done.exit_code == 1
    assert "linepool: usage.csv, line 2, column contract_end:" in done.stderr
    assert "linepool: usage.csv, line 2, column voice.day:MIN:" in done.stderr


@pytest.mark.parametrize("command", [["topics"], ["tables", "rfp"], ["checker"]])
def test_commands_for_a_running_system_say_in_one_sentence_that_none_runs(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINEPOOL_HOME", str(tmp_path))
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    assert done.stderr == "linepool: nothing is running that `linepool up` started; start it first\n"


def test_stopping_when_nothing_runs_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINEPOOL_HOME", str(tmp_path))
    assert CliRunner().invoke(app, ["down"]).exit_code == 0
