"""A request as one page for people: self-contained, without scripts, every text of others escaped."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from linepool.provider.request import Request
from linepool.provider.sheet import services_of
from shared.messages.distribution import AccessOffered

_TEMPLATES = Path(__file__).parent / "templates"


def request_page(request: Request, *, folder: str, files: dict[str, str]) -> str:
    """Return the page of a request.

    Args:
        request: what is asked.
        folder: what to type for the folder in which the page lies.
        files: the name of the file of each further document.
    """
    return _render(
        presented=request.presented,
        content=request.content,
        services=services_of(request.content),
        folder=folder,
        files=files,
    )


def offered_page(offered: AccessOffered, *, folder: str) -> str:
    """Return the page of a request that is shown to whoever asks for it."""
    return _render(presented=offered, content=None, services=(), folder=folder, files={})


def _render(**values: object) -> str:
    pages = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.globals.update(utc=_utc, local=_local, number=_number)
    return pages.get_template("request.html.j2").render(**values)


def _utc(time: datetime) -> str:
    return f"{time.astimezone(UTC):%A %d %B %Y, %H:%M:%S} UTC"


def _local(time: datetime) -> str:
    return f"{time.astimezone():%A %d %B %Y, %H:%M:%S %Z}"


def _number(value: Decimal | int) -> str:
    whole, _, decimals = f"{value:f}".partition(".")
    decimals = decimals.rstrip("0")
    return f"{int(whole):,}".replace(",", "\u00a0") + (f".{decimals}" if decimals else "")
