"""I6: every initial password, found in its mail, is looked for everywhere else."""

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from linepool.checker.history import History, Mail, Record
from linepool.checker.report import Verdict, found, not_yet

PASSWORD = re.compile(r"(?<![0-9A-Za-z-])[0-9A-HJKMNP-TV-Z](?:-?[0-9A-HJKMNP-TV-Z]){25}(?![0-9A-Za-z-])")
"""26 characters of Crockford's base32, grouped by hyphens or not."""


def check_passwords(history: History) -> Verdict:
    """Judge that each verifier fits a password of exactly one mail, and that the password stands nowhere else."""
    credentials = history.facts("aggregation.credentials", "credential-assigned")
    if not credentials:
        return found("I6", [], 0)
    if history.mails is None:
        return not_yet("I6", ["the folder of mails was not given"], len(credentials))
    findings: list[str] = []
    missing: list[str] = []
    passwords: dict[str, Record] = {}
    candidates = [(spelled, mail) for mail in history.mails for spelled in PASSWORD.findall(mail.text)]
    for credential in credentials:
        spelled = _password(credential, candidates)
        if spelled is None:
            missing.append(f"no mail has the password that fits {credential.place}")
            continue
        passwords[spelled] = credential
        mails = {mail.message_id for mail in history.mails if _in_mail(spelled, mail)}
        if len(mails) > 1:
            findings.append(f"the password that fits {credential.place} stands in {len(mails)} mails")
    findings += _elsewhere(history, passwords)
    if missing and history.unsent and not findings:
        return not_yet("I6", [*missing, *history.unsent], len(credentials))
    return found("I6", [*findings, *missing], len(credentials))


def _password(credential: Record, candidates: list[tuple[str, Mail]]) -> str | None:
    # Verifying is slow by design: what was mailed about this purchase is tried first.
    likely_first = sorted(candidates, key=lambda candidate: credential.purchase not in candidate[1].text)
    for spelled in dict.fromkeys(spelled for spelled, _ in likely_first):
        for password in dict.fromkeys((spelled, spelled.replace("-", ""))):
            try:
                if PasswordHasher().verify(str(credential.body["verifier"]), password):
                    return spelled
            except (VerificationError, InvalidHashError):
                continue
    return None


def _in_mail(spelled: str, mail: Mail) -> bool:
    return spelled.replace("-", "") in mail.text.replace("-", "")


def spellings(password: str) -> re.Pattern[bytes]:
    """Return what finds a password raw, in hex, and in base64 at any place in what was encoded."""
    raw = password.encode()
    needles = {raw, raw.replace(b"-", b"")}
    encoded = {needle.hex().encode() for needle in needles}
    for needle in needles:
        for before in range(3):
            # The characters at both ends also depend on what stands beside it.
            end = None if (before + len(needle)) % 3 == 0 else -4
            text = b64encode(b"\0" * before + needle)[4 if before else 0 : end]
            encoded |= {text, text.replace(b"+", b"-").replace(b"/", b"_")}
    return re.compile(b"|".join(re.escape(one) for one in sorted(needles | encoded)), re.IGNORECASE)


def _elsewhere(history: History, passwords: Mapping[str, Record]) -> Iterator[str]:
    if not passwords:
        return
    each = [(spellings(spelled), f"the password that fits {one.place}") for spelled, one in passwords.items()]
    any_ = re.compile(b"|".join(pattern.pattern for pattern, _ in each), re.IGNORECASE)
    for place in dict.fromkeys(place for place, content in _everything(history) if any_.search(content)):
        contents = [content for where, content in _everything(history) if where == place]
        for pattern, whose in each:
            if any(pattern.search(content) for content in contents):
                yield f"{whose} stands in {place}"


def _everything(history: History) -> Iterator[tuple[str, bytes]]:
    for record in history.records:
        for part in (record.key, record.value, *(value for _, value in record.headers)):
            if part is not None:
                yield f"the record {record.place}", part
    for schema, tables in history.tables.items():
        for table, rows in tables.items():
            for row in rows:
                for column, cell in row.items():
                    yield (
                        f"{schema}.{table}.{column}",
                        cell if isinstance(cell, bytes) else str(cell).encode(),
                    )
    for name, content in (history.logs or {}).items():
        yield f"the log file {name}", content
