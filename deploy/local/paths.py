"""Where the stack on one machine keeps what it downloads and what it writes."""

import os
from pathlib import Path


def data_root() -> Path:
    """Return the folder for downloads and data: LINEPOOL_HOME, or `.linepool` in the source tree or here."""
    named = os.environ.get("LINEPOOL_HOME")
    if named:
        return Path(named).resolve()
    tree = Path(__file__).resolve().parents[2]
    return (tree if (tree / "pyproject.toml").exists() else Path.cwd()) / ".linepool"
