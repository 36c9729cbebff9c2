"""Which part of the lock goes into the image."""

import pytest
from packaging.requirements import Requirement

from deploy.image.runtime_requirements import closure, locked_part, runtime_roots

REQUIREMENTS_IN = """
# What it all needs.
# services
asyncpg>=0.31
# linepool, the command
typer>=0.20
# checks
pytest>=9
"""

REQUIREMENTS_TXT = """# Written by a tool.
asyncpg==0.32.0 \\
    --hash=sha256:aa
    # via -r requirements.in
typing-extensions==4.16.0 ; python_version < '3.13' \\
    --hash=sha256:bb
    # via
    #   asyncpg
pytest==9.2.0 \\
    --hash=sha256:cc
"""


def test_the_roots_are_what_services_and_command_need_and_not_the_checks() -> None:
    assert [root.name for root in runtime_roots(REQUIREMENTS_IN)] == ["asyncpg", "typer"]


def test_a_renamed_section_is_named_instead_of_leaving_the_image_empty() -> None:
    with pytest.raises(ValueError, match="linepool, the command"):
        runtime_roots(REQUIREMENTS_IN.replace("# linepool, the command", "# the command"))


def test_the_closure_follows_extras_and_markers() -> None:
    with_extra = closure([Requirement("faststream[kafka]")])
    assert {"faststream", "aiokafka", "anyio"} <= with_extra
    assert "aiokafka" not in closure([Requirement("faststream")])
    assert "pywin32" not in closure([Requirement("docker")])


def test_the_lock_is_cut_along_its_entries_with_hashes_and_markers() -> None:
    part = locked_part(REQUIREMENTS_TXT, {"asyncpg", "typing-extensions"})
    assert part == REQUIREMENTS_TXT[REQUIREMENTS_TXT.index("asyncpg==") : REQUIREMENTS_TXT.index("pytest==")]


def test_a_package_that_is_not_locked_is_named() -> None:
    with pytest.raises(ValueError, match="aiokafka"):
        locked_part(REQUIREMENTS_TXT, {"asyncpg", "aiokafka"})
