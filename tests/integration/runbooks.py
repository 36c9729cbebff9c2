"""The command sequences of docs/runbooks.md, run in a shell as they stand there; only addresses, logins and folders are given.

book = Runbooks(system, tmp_path)
async with book.open():
    await book.run("backup")            # the block that begins with ```sh run backup
    await book.run("restored", code=1)

`start` and `stop` in them stand for whatever supervises the processes. Here they reach this process, which does what systemd
would: a service gets its settings from the file that bears its name in $SETTINGS.
"""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from deploy.local.postgres import programs
from deploy.local.services import Services
from deploy.local.stack import Stack

PAGE = Path(__file__).parents[2] / "docs" / "runbooks.md"
_PATIENCE_S = 400.0
_ASK = """#!/usr/bin/env bash
exec 3<>/dev/tcp/127.0.0.1/{port}
echo "{word} $*" >&3
read -r answer <&3
[ "$answer" = done ] || {{ echo "{word} $*: $answer" >&2; exit 1; }}
"""


def blocks() -> dict[str, str]:
    """Return the page's command sequences by their names."""
    found = re.findall(r"^```sh run ([a-z-]+)\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len({name for name, _ in found}) == len(found)
    return dict(found)


class Place(Protocol):
    """Where they run: servers, and processes on them."""

    @property
    def stack(self) -> Stack:
        """The servers."""

    @property
    def services(self) -> Services:
        """The processes."""


@dataclass
class Runbooks:
    """Runs the page's blocks on a system, in a folder of their own."""

    system: Place
    folder: Path
    given: dict[str, str] = field(default_factory=dict)
    """Variables beside those that every block gets."""

    @property
    def settings(self) -> Path:
        """Where each process's variables lie, a file each, as systemd's EnvironmentFile."""
        return self.folder / "settings"

    @asynccontextmanager
    async def open(self, *, settings: bool = True) -> AsyncIterator["Runbooks"]:
        """Answer `start`, `stop` and `release` while the context lasts; with `settings`, each process has its file already."""
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        commands = self.folder / "bin"
        commands.mkdir(parents=True)
        for word in ("start", "stop", "release"):
            (commands / word).write_text(_ASK.format(port=port, word=word))
            (commands / word).chmod(0o755)
        for name in self.system.services.names if settings else ():
            self.settings.mkdir(mode=0o700, exist_ok=True)
            self.write(name, self.system.services.environment_of(name) | {"LINEPOOL_MIGRATE": "off"})
        async with server:
            yield self

    async def run(self, name: str, *, code: int = 0, **given: str) -> str:
        """Run a block to its end; return what it said, once it has ended with this code."""
        process = await asyncio.create_subprocess_exec(
            *("bash", "-euo", "pipefail", "-c", blocks()[name]),
            cwd=self.folder,
            env={**self.environment(), **given},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            said, _ = await asyncio.wait_for(process.communicate(), _PATIENCE_S)
        finally:
            if process.returncode is None:
                process.kill()
        assert process.returncode == code, f"{name} ended with {process.returncode}:\n{said.decode()}"
        return said.decode()

    def environment(self) -> Mapping[str, str]:
        """What the page says must be set beforehand."""
        stack, services = self.system.stack, self.system.services
        login, _, where = stack.admin_dsn.removeprefix("postgresql://").partition("@")
        user, _, password = login.partition(":")
        address, _, database = where.partition("/")
        host, _, port = address.partition(":")
        paths = (self.folder / "bin", Path(sys.executable).parent, programs(), os.environ["PATH"])
        return {
            "PATH": ":".join(map(str, paths)),
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "COLUMNS": "200",
            "PGHOST": host,
            "PGPORT": port,
            "PGUSER": user,
            "PGPASSWORD": password,
            "PGDATABASE": database,
            "LINEPOOL_POSTGRES_DSN": stack.admin_dsn,
            "LINEPOOL_KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
            "LINEPOOL_KAFKA_USERNAME": stack.admin.username,
            "LINEPOOL_KAFKA_PASSWORD": stack.admin.password,
            "LINEPOOL_KAFKA_CA_FILE": str(stack.ca_file),
            "LINEPOOL_TOPIC_PREFIX": stack.prefix,
            "LINEPOOL_OPERATOR_PASSWORD": stack.passwords["operator"],
            "LINEPOOL_BIDDING_SECRET": stack.secrets["bidding"],
            "LINEPOOL_OPENER_SECRET": stack.secrets["opener"],
            "LINEPOOL_STATUS_AT": " ".join(
                f"{name}=http://127.0.0.1:{services.port(name)}" for name in services.names
            ),
            "PROCESSES": " ".join(services.names),
            "SERVICES": " ".join(name for name in services.names if name != "opener"),
            "SETTINGS": str(self.settings),
            "BACKUP": str(self.folder / "backup"),
            "KAFKA_DISK": str(stack.folder / "kafka" / "data"),
            "KAFKA_TLS": str(stack.folder / "kafka" / "tls"),
            **self.given,
        }

    def read(self, name: str) -> dict[str, str]:
        """Return a process's variables as the operator left them."""
        lines = (self.settings / f"{name}.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def write(self, name: str, values: Mapping[str, str]) -> None:
        """Write a process's variables."""
        text = "".join(f"{key}={value}\n" for key, value in values.items())
        (self.settings / f"{name}.env").write_text(text)

    def start(self, name: str) -> None:
        """Start a process with its file of variables, or a server."""
        if name in {"kafka", "postgres"}:
            getattr(self.system.stack, name).start()
        else:
            self.system.services.start(name, self.read(name), wait=False)

    def stop(self, name: str) -> None:
        """Stop a process or a server in order; it stays away."""
        if name in {"kafka", "postgres"}:
            getattr(self.system.stack, name).stop()
        else:
            self.system.services.stop_one(name)

    def release(self, name: str, folder: str) -> None:
        """Let a process run the code in a folder from its next start on."""
        self.write(name, self.read(name) | {"PYTHONSAFEPATH": "1", "PYTHONPATH": folder})

    async def _answer(self, asked: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        word, *names = (await asked.readline()).decode().split()
        try:
            if word == "release":
                self.release(*names)
            else:
                for name in names:
                    await asyncio.to_thread(self.start if word == "start" else self.stop, name)
            answer.write(b"done\n")
        except Exception as error:  # noqa: BLE001 # it is the block that fails, and says why
            answer.write(f"{error}\n".encode())
        await answer.drain()
        answer.close()
