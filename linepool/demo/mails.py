"""The mails that arrived at the stack's mail server."""

import re
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import parsedate_to_datetime
from pathlib import Path

from linepool.demo.story import Mail

_PASSWORD = re.compile(r"\b[0-9A-HJKMNP-TV-Z]{26}\b")
"""26 characters of Crockford's base32."""
_MASK = "•" * 26


def arrived(folder: Path) -> list[Mail]:
    """Return all mails in the order of their arrival, each Message-ID once, with passwords masked."""
    found: dict[str, Mail] = {}
    for file in sorted(folder.glob("*.eml")):
        mail = _read(file)
        found.setdefault(mail.message_id, mail)
    return list(found.values())


def initial_passwords(folder: Path, email: str, group: str) -> list[str]:
    """Return the initial passwords that were mailed to an address for a group, as they stand in their mails."""
    passwords: list[str] = []
    for file in sorted(folder.glob("*.eml")):
        content = file.read_bytes()
        # Many ask often while hundreds of mails come: most are told apart without parsing them.
        if email.encode() in content:
            message, text = _parsed(content)
            if f"[{group}]" in str(message["Subject"]):
                passwords += _PASSWORD.findall(text)
    return passwords


def has_masked_password(mail: Mail) -> bool:
    """Say whether an initial password stood in the mail."""
    return _MASK in mail.text


def _parsed(content: bytes) -> tuple[EmailMessage, str]:
    message = BytesParser(policy=policy.default).parsebytes(content)
    body = message.get_body(("plain",))
    return message, body.get_content() if body else ""


def _read(file: Path) -> Mail:
    message, text = _parsed(file.read_bytes())
    dated = message["Date"]
    return Mail(
        at=parsedate_to_datetime(dated) if dated else datetime.fromtimestamp(file.stat().st_mtime, UTC),
        to=str(message["To"]),
        subject=str(message["Subject"]),
        text=_PASSWORD.sub(_MASK, text),
        message_id=str(message["Message-ID"]),
    )
