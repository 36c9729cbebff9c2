"""A person who has nothing but the command `linepool`, a folder and a mailbox."""

import asyncio
import errno
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from tests.integration.system import RealSystem
from tests.integration.test_portal import OWN, mailed, until

README = Path(__file__).parents[2] / "README.md"
TYPING_S = 60.0


@dataclass(frozen=True)
class Shell:
    """A folder in which somebody types."""

    folder: Path
    portal: str

    @property
    def environment(self) -> dict[str, str]:
        """What is set in it; `linepool` is on the path, and the folder is its home."""
        return {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "LINEPOOL_PORTAL": self.portal,
        }

    async def run(self, *command: str, typed: str = "", fails: bool = False) -> str:
        """Run `linepool`; return what it prints, which on failure is what it says on standard error."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "linepool",
            *command,
            cwd=self.folder,
            env=self.environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, complained = await process.communicate(typed.encode())
        assert (process.returncode != 0) == fails, (command, said.decode(), complained.decode())
        return (complained if fails else said).decode()

    async def line(self, line: str) -> str:
        """Run a line of the shell as it stands; return what it prints."""
        process = await asyncio.create_subprocess_exec(
            "bash",
            "-euc",
            line,
            cwd=self.folder,
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, complained = await process.communicate()
        assert process.returncode == 0, (line, said.decode(), complained.decode())
        return said.decode()

    def at_a_terminal(self, line: str, answers: Sequence[tuple[str, str]]) -> str:
        """Run a line at a terminal, and type each answer when it is asked for; return all that the terminal shows."""
        ours, theirs = pty.openpty()
        shown, deadline = b"", monotonic() + TYPING_S
        with subprocess.Popen(
            ["bash", "-euc", line],
            cwd=self.folder,
            env=self.environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        ) as process:
            os.close(theirs)
            try:
                for asked, answer in answers:
                    seen = len(shown)
                    # getpass drops what was typed before it says the end of a prompt.
                    while asked.encode() not in shown[seen:] or not shown.endswith(b": "):
                        more = _read(ours, deadline)
                        assert more, (line, asked, shown.decode())
                        shown += more
                    os.write(ours, f"{answer}\n".encode())
                while more := _read(ours, deadline):
                    shown += more
                assert more is not None, (line, "did not end", shown.decode())
                process.wait(max(0.1, deadline - monotonic()))
            finally:
                process.kill()
                os.close(ours)
        assert process.returncode == 0, (line, shown.decode())
        return shown.decode()


def _read(terminal: int, deadline: float) -> bytes | None:
    """Return what a terminal shows next: nothing once nobody holds it any more, None where the time is up."""
    ready, _, _ = select.select([terminal], [], [], max(0.0, deadline - monotonic()))
    if not ready:
        return None
    try:
        return os.read(terminal, 4096)
    except OSError as error:
        if error.errno == errno.EIO:
            return b""
        raise


@dataclass
class Walk:
    """The commands that a page tells people to type, typed in their order in a shell."""

    shell: Shell
    left: list[str]

    @classmethod
    def of_the_readme(cls, shell: Shell) -> "Walk":
        """Return the walk of the README's part for people at a shell."""
        [block] = re.findall(
            r"^## From the shell$.*?^```\n(.*?)^```$", README.read_text("utf-8"), re.DOTALL | re.MULTILINE
        )
        return cls(shell, [line.partition(" # ")[0].strip() for line in block.splitlines()])

    async def step(self, begins: str, more: str = "", **in_place: str) -> str:
        """Type the next command, which must begin so, with words in the place of the page's; return what it prints."""
        return await self.shell.line(self.next(begins, more, **in_place))

    def next(self, begins: str, more: str = "", **in_place: str) -> str:
        """Return the next command, for somebody else to type."""
        line = self.left.pop(0)
        assert line.startswith(begins), line
        for word, meant in in_place.items():
            assert word in line
            line = line.replace(word, meant)
        return f"{line} {more}"


async def signed_in(system: RealSystem, shell: Shell, email: str) -> None:
    """Sign in with the initial password that is mailed, and choose another."""
    initial = await mailed(system, email, r"^\s+([0-9A-Z]{26})\s*$")

    async def sign_in() -> bool | None:
        try:
            await shell.run("login", "--email", email, "--password-stdin", typed=f"{initial}\n{OWN}\n")
        except AssertionError:  # The mail may be faster than the portal's own reading.
            return None
        return True

    await until(sign_in)
