"""Child processes that die with their parent, free ports, and waiting with a deadline."""

import contextlib
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from deploy.local.handles import StackError

LOOPBACK = "127.0.0.1"
_CHILD = Path(__file__).with_name("child.py")

# The kernel ties a child to the thread that started it, not to the process: all children are started by
# one thread that lives as long as this process.
_launcher = ThreadPoolExecutor(max_workers=1, thread_name_prefix="launcher")


@dataclass(frozen=True)
class User:
    """The system user a program runs as; `keep_file_access` lets it pass folders closed to others."""

    uid: int
    gid: int
    keep_file_access: bool = False


def launch(
    program: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    user: User | None = None,
    folder: Path | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own, with its output appended to `log`.

    It gets `death_signal` when this process ends in whatever way, and does not see the terminal's Ctrl-C,
    so that the parent can stop its children in order. The result's pid is the program's own.
    """
    who = user or User(-1, -1)
    argv = [
        *(sys.executable, "-I", "-S", str(_CHILD)),
        *(str(os.getpid()), str(int(death_signal))),
        *(str(who.uid), str(who.gid), str(int(who.keep_file_access))),
        *program,
    ]
    with log.open("ab") as output:
        return _launcher.submit(
            subprocess.Popen,
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if environment is None else dict(environment),
            cwd=folder,
            start_new_session=True,
        ).result()


def end(process: subprocess.Popen[bytes], how: signal.Signals, patience: float) -> int:
    """Send a signal and wait; SIGKILL after `patience` seconds. Returns the exit code."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(how)
    try:
        return process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def free_port() -> int:
    """Return one free port; see `free_ports`."""
    return free_ports(1)[0]


def free_ports(number: int) -> list[int]:
    """Return different loopback ports nobody listens on, below the range that outgoing connections are given.

    A server that is killed and started again finds its port still free for that reason.
    """
    candidates = random.SystemRandom().sample(range(15000, 32000), 2000)
    found = list(itertools.islice(filter(is_free, candidates), number))
    if len(found) < number:
        raise StackError("no free port between 15000 and 32000 was found on 127.0.0.1")
    return found


def is_free(port: int) -> bool:
    """Say whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def answers(port: int, host: str = LOOPBACK) -> bool:
    """Say whether something accepts connections on this port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


def wait_until(condition: Callable[[], bool], seconds: float, failure: Callable[[], str]) -> None:
    """Ask `condition` until it holds; raise StackError with `failure()` after `seconds`."""
    deadline = time.monotonic() + seconds
    pause = 0.02
    while not condition():
        if time.monotonic() > deadline:
            raise StackError(failure())
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)
