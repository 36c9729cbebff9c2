"""The part of requirements.txt that the image needs: `python -m deploy.image.runtime_requirements`.

The roots are the sections of requirements.in that services and the command need. What these depend on is read
from the metadata of the running interpreter's packages, so there is one lock and no second one to go stale.
"""

import re
import sys
from collections.abc import Iterable
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

RUNTIME_SECTIONS = ("services", "linepool, the command")

_PROJECT = Path(__file__).resolve().parents[2]


def runtime_roots(requirements_in: str) -> list[Requirement]:
    """Requirements that stand under the headings in `RUNTIME_SECTIONS` of requirements.in.

    Raises:
        ValueError: a section is missing or empty, so the image would lack what it runs on.
    """
    sections: dict[str, list[Requirement]] = {}
    heading = ""
    for line in map(str.strip, requirements_in.splitlines()):
        if line.startswith("#"):
            heading = line.removeprefix("#").strip()
        elif line:
            sections.setdefault(heading, []).append(Requirement(line))
    missing = [name for name in RUNTIME_SECTIONS if name not in sections]
    if missing:
        raise ValueError(f"requirements.in has nothing under the heading: {', '.join(missing)}")
    return [root for name in RUNTIME_SECTIONS for root in sections[name]]


def closure(roots: Iterable[Requirement]) -> set[str]:
    """Canonical names of the roots and of everything they depend on in this environment, extras included.

    Raises:
        importlib.metadata.PackageNotFoundError: a needed package is not installed here.
    """
    seen: set[tuple[str, str]] = set()
    waiting = list(roots)
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras}:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            for text in requires(name) or ():
                needed = Requirement(text)
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    waiting.append(needed)
    return {name for name, _ in seen}


def locked_part(requirements_txt: str, names: set[str]) -> str:
    """The entries of a hashed lock file for these canonical names, as they stand there.

    Raises:
        ValueError: a name has no entry.
    """
    entries = re.split(r"^(?=[A-Za-z0-9])", requirements_txt, flags=re.MULTILINE)[1:]
    kept = {entry: canonicalize_name(re.split(r"[=\[;\s]", entry, maxsplit=1)[0]) for entry in entries}
    missing = names - set(kept.values())
    if missing:
        raise ValueError(f"requirements.txt does not lock: {', '.join(sorted(missing))}")
    return "".join(entry for entry, name in kept.items() if name in names)


if __name__ == "__main__":
    wanted = closure(runtime_roots((_PROJECT / "requirements.in").read_text(encoding="utf-8")))
    sys.stdout.write(locked_part((_PROJECT / "requirements.txt").read_text(encoding="utf-8"), wanted))
