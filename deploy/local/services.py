"""The five services and the opener as processes of their own, watched and started again as Kubernetes would."""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.access.model import roles, services
from deploy.local.handles import StackError
from deploy.local.process import end, free_port, launch, wait_until
from deploy.local.stack import Stack
from shared.sealing import INITIAL_PASSWORDS, private_key, public_key_b64

SERVICES = tuple(service.name for service in services())
PROCESSES = tuple(one.name for one in roles())
"""The services, and what runs beside them."""
MAIL_FROM = "linepool@linepool.invalid"
_STOP_SECONDS = 15.0
_PROBE_SECONDS = 2.0
_WATCH_SECONDS = 0.5
_FAILED_PROBES = 3
_STARTUP_SECONDS = 60.0
_LONGEST_PAUSE = 10.0


@dataclass
class _Running:
    """One service's process and what the watcher knows about it."""

    process: subprocess.Popen[bytes]
    environment: Mapping[str, str]
    started: float = field(default_factory=time.monotonic)
    was_alive: bool = False
    failed_probes: int = 0


def python_module(name: str) -> Sequence[str]:
    """Return the program of a process: `python -m services.<name>`."""
    return sys.executable, "-m", module_of(name)


def module_of(name: str) -> str:
    """Return the module that runs a process; the opener belongs to bidding."""
    role = role_of(name)
    return "services.bidding.opener" if role == "opener" else f"services.{role}"


def role_of(name: str) -> str:
    """Return what a process does: `rfp` for itself and for its replicas `rfp-2`, `rfp-3` and so on."""
    return name.partition("-")[0]


class Services:
    """Starts services on a stack, each with its own Kafka login, Postgres role, secret, port and log file.

    With `restarts`, one that died, or whose /livez failed three times, is started again, after a pause that
    grows up to 10 s while it keeps dying. `environment` is given to all of them. Use as a context manager:
    leaving it stops them all, and they die with this process in any case.

    A name with a number, such as `rfp-2`, is another replica: the same login, role and secret, a port and a log file of
    its own. It may be started although it is not among `names`.
    """

    def __init__(
        self,
        stack: Stack,
        names: Iterable[str] = PROCESSES,
        *,
        restarts: bool = True,
        session_timeout_ms: int = 6000,
        environment: Mapping[str, str] | None = None,
        program: Callable[[str], Sequence[str]] = python_module,
    ) -> None:
        self.restarts = restarts
        self.names = tuple(names)
        self._stack = stack
        self._session_timeout_ms = session_timeout_ms
        self._environment = dict(environment or {})
        self._program = program
        # Mails name the portal's address, whether or not it is started here.
        self._ports = {name: free_port() for name in {*self.names, "portal"}}
        self._folder = stack.folder / "services"
        self._folder.mkdir(exist_ok=True)
        self._running: dict[str, _Running] = {}
        self._deaths = Counter[str]()
        self._not_before = defaultdict[str, float](float)
        self._lock = threading.RLock()
        self._finished = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="services", daemon=True)

    def __enter__(self) -> Self:
        try:
            self.start_all()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start_all(self, seconds: float = _STARTUP_SECONDS) -> None:
        """Start every service at once and wait until each is ready. StackError names those that are not."""
        self.begin_all()
        self.wait_ready(seconds=seconds)

    def begin_all(self) -> None:
        """Start every service at once, without waiting for any."""
        for name in self.names:
            self.start(name, wait=False)
        if not self._watcher.is_alive():
            self._watcher.start()

    def start(self, name: str, environment: Mapping[str, str] | None = None, *, wait: bool = True) -> None:
        """Start one service that is not running; `environment` is added to its own, also when it restarts."""
        with self._lock:
            if self.pid(name) is not None:
                raise StackError(f"{name} is running already")
            self._ports.setdefault(name, free_port())
            self._launch(name, dict(environment or {}))
        if wait:
            self.wait_ready([name])

    def wait_ready(self, names: Iterable[str] | None = None, seconds: float = _STARTUP_SECONDS) -> None:
        """Wait until /readyz of each answers 200. StackError names the ones that do not, and their logs."""
        waiting = set(names if names is not None else self.names)

        def ready() -> bool:
            for name in sorted(waiting):
                if not self.restarts and self.pid(name) is None:
                    raise StackError(f"{name} ended while it was starting; {self.log(name)} says why")
                running = self._running.get(name)
                if running and self.status(name, "/readyz") == http.client.OK:
                    running.was_alive = True
                    waiting.discard(name)
            return not waiting

        def failure() -> str:
            logs = ", ".join(str(self.log(name)) for name in sorted(waiting))
            return f"not ready within {seconds:.0f} s: {', '.join(sorted(waiting))}; see {logs}"

        wait_until(ready, seconds, failure)

    def kill(self, name: str) -> None:
        """SIGKILL one service; with `restarts` it comes back by itself."""
        with self._lock:
            if running := self._running.get(name):
                end(running.process, signal.SIGKILL, _STOP_SECONDS)

    def stop_one(self, name: str) -> int | None:
        """SIGTERM one service, which then stays away until `start`; return its exit code, -9 if it did not end by itself."""
        with self._lock:
            running = self._running.pop(name, None)
        return end(running.process, signal.SIGTERM, _STOP_SECONDS) if running else None

    def stop(self) -> None:
        """SIGTERM all at once, wait for each, and watch no more."""
        self._finished.set()
        with self._lock:
            for running in self._running.values():
                with contextlib.suppress(ProcessLookupError):
                    running.process.terminate()
            for running in self._running.values():
                end(running.process, signal.SIGTERM, _STOP_SECONDS)
            self._running.clear()
        if self._watcher.is_alive() and self._watcher is not threading.current_thread():
            self._watcher.join()

    def pid(self, name: str) -> int | None:
        """Return the service's process id while it runs."""
        running = self._running.get(name)
        return running.process.pid if running and running.process.poll() is None else None

    def restarts_of(self, name: str) -> int:
        """Return how often the service was started again by itself."""
        return self._deaths[name]

    def log(self, name: str) -> Path:
        """Return the file a service writes to; it grows over restarts."""
        return self._folder / f"{name}.log"

    def port(self, name: str) -> int:
        """Return the loopback port of the service's health and metrics."""
        return self._ports[name]

    def is_ready(self, name: str) -> bool:
        """Say whether the service answers /readyz with 200 now."""
        return self.status(name, "/readyz") == http.client.OK

    def status(self, name: str, path: str) -> int | None:
        """Return the HTTP status of one GET, or None when there is no answer in time."""
        connection = http.client.HTTPConnection("127.0.0.1", self._ports[name], timeout=_PROBE_SECONDS)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def environment_of(self, name: str) -> dict[str, str]:
        """Return the environment variables that tell a service who and where it is."""
        role = role_of(name)
        values = {
            "LINEPOOL_POSTGRES_DSN": self._stack.dsn(role),
            "LINEPOOL_HTTP_PORT": str(self._ports[name]),
            "LINEPOOL_SECRET": self._stack.secrets[role],
        }
        if role not in SERVICES:
            return values
        login = self._stack.login(role)
        values |= {
            "LINEPOOL_KAFKA_BOOTSTRAP_SERVERS": self._stack.services_bootstrap,
            "LINEPOOL_KAFKA_CA_FILE": str(self._stack.ca_file),
            "LINEPOOL_KAFKA_USERNAME": login.username,
            "LINEPOOL_KAFKA_PASSWORD": login.password,
            "LINEPOOL_TOPIC_PREFIX": self._stack.prefix,
            "LINEPOOL_SESSION_TIMEOUT_MS": str(self._session_timeout_ms),
        }
        if role == "notification":
            values["LINEPOOL_SMTP_HOST"] = self._stack.smtp_host
            values["LINEPOOL_SMTP_PORT"] = str(self._stack.smtp_port)
            values["LINEPOOL_MAIL_FROM"] = MAIL_FROM
            values["LINEPOOL_PORTAL_URL"] = f"http://127.0.0.1:{self._ports['portal']}"
            values["LINEPOOL_SMTP_SECURITY"] = "none"
        if role == "aggregation":
            secret = bytes.fromhex(self._stack.secrets["notification"])
            values["LINEPOOL_NOTIFICATION_PUBLIC_KEY"] = public_key_b64(
                private_key(secret, INITIAL_PASSWORDS)
            )
        return values

    def _launch(self, name: str, extra: Mapping[str, str]) -> None:
        outside = {key: value for key, value in os.environ.items() if not key.startswith("LINEPOOL_")}
        process = launch(
            self._program(name),
            log=self.log(name),
            environment=outside | self.environment_of(name) | self._environment | dict(extra),
            folder=Path(__file__).parents[2],
        )
        self._running[name] = _Running(process, extra)

    def _watch(self) -> None:
        while not self._finished.wait(_WATCH_SECONDS):
            if not self.restarts:
                continue
            for name in tuple(self._running):
                # Probed without the lock: a service that does not answer must not delay a kill or a stop.
                running = self._running.get(name)
                if running is None:
                    continue
                hangs = running.process.poll() is None and self._hangs(running, self.status(name, "/livez"))
                with self._lock:
                    if self._running.get(name) is running and not self._finished.is_set():
                        self._revive(name, running, hangs=hangs)

    def _revive(self, name: str, running: _Running, *, hangs: bool) -> None:
        now = time.monotonic()
        if hangs:
            end(running.process, signal.SIGTERM, _STOP_SECONDS)
        if running.process.poll() is None or now < self._not_before[name]:
            return
        self._deaths[name] += 1
        lived_long = now - running.started > _STARTUP_SECONDS
        pause = 0.0 if lived_long else min(_LONGEST_PAUSE, 0.5 * 2 ** min(self._deaths[name], 10))
        self._not_before[name] = now + pause
        self._launch(name, running.environment)

    @staticmethod
    def _hangs(running: _Running, status: int | None) -> bool:
        """Count a probe. A service that has not answered yet has its start-up time."""
        if status == http.client.OK:
            running.was_alive, running.failed_probes = True, 0
            return False
        if not running.was_alive and time.monotonic() - running.started < _STARTUP_SECONDS:
            return False
        running.failed_probes += 1
        return running.failed_probes >= _FAILED_PROBES
