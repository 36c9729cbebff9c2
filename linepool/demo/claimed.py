"""A folder that one process at a time may use."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.handles import StackError


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keep others out of a folder while the context lasts; the kernel lets go when this process ends in whatever way.

    Raises:
        StackError: another process is using it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError(f"another process (pid {holder(folder)}) is using {folder}") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def holder(folder: Path) -> int | None:
    """Return the process id of who is using a folder, None when nobody is."""
    try:
        lock = (folder / "lock").open("r+")
    except FileNotFoundError:
        return None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(lock.read() or 0) or None
        return None
