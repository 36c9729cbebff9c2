"""Prometheus's own checker of rules: from the environment, from the path, or built once by Go at a pinned version."""

import os
import shutil
import subprocess
from pathlib import Path

VERSION = "v0.316.0"
MODULE = "github.com/prometheus/prometheus/cmd/promtool"
TOOLS = Path(__file__).parents[2] / "build" / "tools"


def promtool() -> str:
    """Return the program; RuntimeError says what is missing. Only the parts of it that discover targets are left out."""
    found = os.environ.get("PROMTOOL") or shutil.which("promtool")
    if found:
        return found
    built = TOOLS / f"promtool-{VERSION}"
    if not built.exists():
        go = shutil.which("go")
        if go is None:
            raise RuntimeError("promtool is not installed, and there is no Go to build it with; set PROMTOOL")
        TOOLS.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "GOBIN": str(TOOLS)}
        subprocess.run(
            [go, "install", "-tags", "remove_all_sd", f"{MODULE}@{VERSION}"], env=environment, check=True
        )
        (TOOLS / "promtool").rename(built)
    return str(built)
