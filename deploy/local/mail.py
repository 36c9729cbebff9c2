"""A real SMTP server, on loopback unless told otherwise, that keeps every mail as one .eml file.

`python -m deploy.local.mail --port 2525 --folder mails` runs it; `LocalMail` runs that as a child.
"""

import argparse
import asyncio
import itertools
import signal
import subprocess
import sys
import time
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from deploy.local.handles import StackError
from deploy.local.process import LOOPBACK, answers, end, free_port, launch, wait_until

_START_SECONDS = 30.0
_STOP_SECONDS = 5.0
_LARGEST_MAIL = 10 * 1024 * 1024


class _Keeper:
    """Writes each accepted mail, byte for byte, before it is acknowledged."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._number = itertools.count()

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 -- the name aiosmtpd calls
        name = f"{time.time_ns()}-{next(self._number)}.eml"
        unfinished = self._folder / f".{name}"
        unfinished.write_bytes(envelope.original_content or b"")
        # Whoever lists the folder sees whole mails only.
        unfinished.rename(self._folder / name)
        return "250 OK"


class LocalMail:
    """The mail server as a child process; the same folder gives the same port again.

    `host` is the address of this machine at which it listens: one that pods reach, where they send the mails.
    """

    def __init__(self, folder: Path, host: str = LOOPBACK) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.host = host
        self._process: subprocess.Popen[bytes] | None = None
        remembered = folder / "port"
        if not remembered.exists():
            remembered.write_text(str(free_port()))
        self.port = int(remembered.read_text())

    @property
    def folder(self) -> Path:
        """Where the .eml files are, named so that their order is that of arrival."""
        return self._folder / "mails"

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start and wait until it accepts connections."""
        try:
            self.begin()
            self.wait_ready()
        except BaseException:
            self.kill()
            raise

    def begin(self) -> None:
        """Start the process without waiting for it."""
        if self.pid:
            return
        command = ["-m", "deploy.local.mail", "--host", self.host, "--port", str(self.port)]
        self._process = launch(
            [sys.executable, *command, "--folder", str(self.folder)],
            log=self._folder / "mail.log",
            folder=Path(__file__).parents[2],
        )

    def wait_ready(self) -> None:
        """Wait until it accepts connections."""
        process = self._process
        log = self._folder / "mail.log"

        def up() -> bool:
            if process is None or process.poll() is not None:
                raise StackError(f"the mail server ended while it was starting; {log} says why")
            return answers(self.port, self.host)

        wait_until(
            up,
            _START_SECONDS,
            lambda: f"the mail server did not answer within {_START_SECONDS:.0f} s; {log} says why",
        )

    def stop(self) -> None:
        """SIGTERM."""
        if self._process:
            end(self._process, signal.SIGTERM, _STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process:
            end(self._process, signal.SIGKILL, _STOP_SECONDS)

    def restart(self) -> None:
        """Stop if it runs, and start at the same port."""
        self.stop()
        self.start()


async def serve(port: int, folder: Path, host: str = LOOPBACK) -> None:
    """Accept mail until cancelled."""
    keeper = _Keeper(folder)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(
            keeper, data_size_limit=_LARGEST_MAIL, enable_SMTPUTF8=True, hostname="localhost", loop=loop
        ),
        host,
        port,
    )
    async with server:
        await server.serve_forever()


def main() -> None:
    """Run the mail server in the foreground."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--host", default=LOOPBACK)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.port, arguments.folder, arguments.host))


if __name__ == "__main__":
    main()
