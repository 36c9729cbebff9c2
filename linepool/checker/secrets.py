"""I6: every initial password, link and code, found in its mail, is looked for everywhere else."""

import re
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from linepool.checker.history import History, Mail, Record
from linepool.checker.report import Verdict, found, not_yet


def _fits_hash(record: Record, spelled: str) -> bool:
    try:
        PasswordHasher().verify(str(record.body["verifier"]), spelled)
    except (VerificationError, InvalidHashError):
        return False
    return True


def _fits_digest(record: Record, spelled: str) -> bool:
    return sha256(spelled.encode()).hexdigest() == str(record.body["sha256"])


def _crockford(characters: int) -> re.Pattern[str]:
    letter = "[0-9A-HJKMNP-TV-Z]"
    return re.compile(rf"(?<![0-9A-Za-z-]){letter}(?:-?{letter}){{{characters - 1}}}(?![0-9A-Za-z-])")


@dataclass(frozen=True)
class Kind:
    """A kind of secret.

    `type` is what it is assigned with, `mail` the kind of its mail, `spelled` what it looks like there (Crockford's base32,
    grouped by hyphens or not), and `fits` says whether something spelled so is the one.
    """

    name: str
    type: str
    mail: str
    spelled: re.Pattern[str]
    fits: Callable[[Record, str], bool]


PASSWORD = Kind("password", "credential-assigned", "initial_password", _crockford(26), _fits_hash)
LINK = Kind("link", "invitation-link-assigned", "invitation", _crockford(26), _fits_digest)
CODE = Kind("code", "address-code-assigned", "address_code", _crockford(8), _fits_hash)
KINDS = (PASSWORD, LINK, CODE)


def check_secrets(history: History) -> Verdict:
    """Judge that each secret stands in exactly one mail, to where it was meant to go, and nowhere else."""
    assigned = [
        (kind, record) for kind in KINDS for record in history.facts("aggregation.credentials", kind.type)
    ]
    if not assigned:
        return found("I6", [], 0)
    if history.mails is None:
        return not_yet("I6", ["the folder of mails was not given"], len(assigned))
    findings: list[str] = []
    missing: list[str] = []
    secrets: dict[str, str] = {}
    excused = _given_up(history)
    for kind, record in assigned:
        what = f"the {kind.name} that fits {record.place}"
        spelled = _spelled(history, kind, record)
        if spelled is None:
            about = _about(kind.mail, record)
            if excused[about]:
                excused[about] -= 1
            else:
                missing.append(f"no mail has {what}")
            continue
        secrets[spelled] = what
        mails = [mail for mail in history.mails if _in_mail(spelled, mail)]
        if len({mail.message_id for mail in mails}) > 1:
            findings.append(f"{what} stands in {len({mail.message_id for mail in mails})} mails")
        findings += _astray(history, kind, record, mails)
    findings += _elsewhere(history, secrets)
    if missing and history.unsent and not findings:
        return not_yet("I6", [*missing, *history.unsent], len(assigned))
    return found("I6", [*findings, *missing], len(assigned))


def _about(kind: str, record: Record) -> tuple[str, str, str]:
    return (kind, str(record.body.get("purchase_id")), str(record.body["person_id"]))


def _given_up(history: History) -> Counter[tuple[str, str, str]]:
    """Count the mails that were given up, such as one with a password that was reissued before it left."""
    failed = history.facts("notification.events", "mail-failed")
    return Counter(_about(str(record.body["kind"]), record) for record in failed)


def _spelled(history: History, kind: Kind, record: Record) -> str | None:
    # Verifying is slow by design: what was mailed to this person is tried first, about this purchase before all.
    person = str(record.body["person_id"])
    addresses = {
        str(address)
        for one in history.facts("aggregation.contacts", "contact-recorded")
        if one.body["person_id"] == person
        for address in (one.body["email"], one.body.get("unconfirmed_email"))
        if address is not None
    }

    def unlikely(mail: Mail) -> tuple[bool, bool]:
        to_them = any(address in mail.recipients for address in addresses)
        return not to_them, record.purchase not in mail.text

    mails = sorted(history.mails or (), key=unlikely)
    candidates: list[str] = [spelled for mail in mails for spelled in kind.spelled.findall(mail.text)]
    for spelled in dict.fromkeys(candidates):
        for one in dict.fromkeys((spelled, spelled.replace("-", ""))):
            if kind.fits(record, one):
                return spelled
    return None


def _in_mail(spelled: str, mail: Mail) -> bool:
    return spelled.replace("-", "") in mail.text.replace("-", "")


def _astray(history: History, kind: Kind, record: Record, mails: list[Mail]) -> Iterator[str]:
    """Find mails to an address other than the one that the secret is for; where Kafka has dropped that, nothing can be said."""
    version = record.body.get("contact_version")
    said = {
        one.sequence: one
        for one in history.facts("aggregation.contacts", "contact-recorded")
        if one.body["person_id"] == record.body["person_id"] and one.sequence is not None
    }
    if version not in said:
        return
    if kind is CODE:
        meant = {str(said[version].body.get("unconfirmed_email"))}
    else:
        meant = {str(one.body["email"]) for number, one in said.items() if number >= version}
    for mail in mails:
        if not mail.addresses <= meant:
            yield f"the {kind.name} that fits {record.place} went astray in the mail {mail.message_id}"


def spellings(secret: str) -> re.Pattern[bytes]:
    """Return what finds a secret raw, in hex, and in base64 at any place in what was encoded."""
    raw = secret.encode()
    needles = {raw, raw.replace(b"-", b"")}
    encoded = {needle.hex().encode() for needle in needles}
    for needle in needles:
        for before in range(3):
            # The characters at both ends also depend on what stands beside it.
            end = None if (before + len(needle)) % 3 == 0 else -4
            text = b64encode(b"\0" * before + needle)[4 if before else 0 : end]
            encoded |= {text, text.replace(b"+", b"-").replace(b"/", b"_")}
    return re.compile(b"|".join(re.escape(one) for one in sorted(needles | encoded)), re.IGNORECASE)


def _elsewhere(history: History, secrets: Mapping[str, str]) -> Iterator[str]:
    if not secrets:
        return
    each = [(spellings(spelled), whose) for spelled, whose in secrets.items()]
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
