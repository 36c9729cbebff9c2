"""Where one is signed in: one small file that nobody else can read.

`$LINEPOOL_SESSION` names it; otherwise it is `linepool/session.json` in `$XDG_CONFIG_HOME`, or in `~/.config`.
"""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from linepool.people.api import Api, ApiError


@dataclass(frozen=True)
class SignedIn:
    """Who is signed in, where, and until when (RFC 3339)."""

    portal: str
    email: str
    token: str = field(repr=False)
    ends_at: str
    purchase: str | None = None
    """The purchase that commands are about, unless they name another."""

    @property
    def api(self) -> Api:
        """The portal's API, asked as this person."""
        return Api(self.portal, self.token)


def file() -> Path:
    """Return where the session is kept."""
    named = os.environ.get("LINEPOOL_SESSION")
    if named:
        return Path(named)
    config = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(config) / "linepool" / "session.json"


def load() -> SignedIn:
    """Return who is signed in. Raises ApiError when nobody is."""
    try:
        return SignedIn(**json.loads(file().read_text()))
    except (OSError, ValueError, TypeError):
        raise ApiError("not_signed_in", "You are not signed in.") from None


def save(signed: SignedIn, path: Path | None = None) -> None:
    """Keep who is signed in, here or in another file, readable by nobody else."""
    path = path or file()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as output:
        json.dump(asdict(signed), output)
    unfinished.replace(path)


def forget() -> None:
    """Forget who was signed in."""
    file().unlink(missing_ok=True)
