"""Apache Kafka's jars: resolved once, checked against a committed list of hashes before every use.

`python -m deploy.local.jars` fetches them now; with `--lock` it writes the list anew for the version below.
"""

import argparse
import fcntl
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.handles import StackError
from deploy.local.paths import data_root

KAFKA_VERSION = "4.4.0"
# Without a logging binding a broker that fails to start says nothing.
_ENDPOINT = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
_LOCK = Path(__file__).with_name("kafka.lock")
_TOOLS_LOCK = Path(__file__).with_name("kafka-tools.lock")


def kafka_jars(root: Path | None = None) -> tuple[Path, ...]:
    """Return the jars of the locked Kafka, in the order of their names, fetching them when they are absent.

    Raises StackError when they cannot be fetched or when one differs from its recorded SHA-256.
    """
    folder = (root or data_root()) / f"kafka-{KAFKA_VERSION}"
    if not folder.exists():
        _fetch(folder, _resolve_kafka)
    return _checked(folder, _LOCK)


def kafka_tools(root: Path | None = None) -> Path:
    """Return the jar of Kafka's own commands, such as `kafka-acls`; on a class path it needs `kafka_jars` beside it.

    A broker runs without it. Raises StackError as `kafka_jars` does.
    """
    folder = (root or data_root()) / f"kafka-tools-{KAFKA_VERSION}"
    if not folder.exists():
        _fetch(folder, _resolve_tools)
    [jar] = _checked(folder, _TOOLS_LOCK)
    return jar


def _checked(folder: Path, lock: Path) -> tuple[Path, ...]:
    locked = _read_lock(lock)
    found = {path.name: path for path in sorted(folder.glob("*.jar"))}
    if found.keys() != locked.keys():
        different = ", ".join(sorted(found.keys() ^ locked.keys()))
        raise StackError(
            f"{folder} does not hold the locked jars (differing: {different}); delete it to fetch them anew"
        )
    for name, path in found.items():
        if _sha256(path) != locked[name]:
            raise StackError(
                f"{path} is not the file whose SHA-256 is recorded; delete {folder} to fetch it anew"
            )
    return tuple(found.values())


def _resolve_kafka(scratch: Path) -> Iterable[Path]:
    # Imported here because it is needed once per machine.
    import jgo  # noqa: PLC0415 -- as above

    return [Path(jar) for jar in jgo.build(_ENDPOINT, cache_dir=scratch / "jgo").all_jars]


def _resolve_tools(_scratch: Path) -> Iterable[Path]:
    # What it depends on, but for Kafka's own jars, is for commands that nobody runs here.
    from jgo.maven import MavenContext  # noqa: PLC0415 -- as above

    tools = MavenContext().project("org.apache.kafka", "kafka-tools").at_version(KAFKA_VERSION)
    return [Path(tools.artifact().resolve())]


def _fetch(folder: Path, resolve: Callable[[Path], Iterable[Path]]) -> None:
    logging.getLogger("jgo").setLevel(logging.ERROR)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (
        _one_at_a_time(folder.parent / "fetch.lock"),
        tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetch-") as scratch,
    ):
        if folder.exists():
            # Another process was first; what it put there is checked like our own.
            return
        try:
            resolved = resolve(Path(scratch))
        except Exception as error:
            raise StackError(
                f"Kafka {KAFKA_VERSION} could not be fetched from the Maven repository: {error}"
            ) from error
        complete = Path(scratch) / "jars"
        complete.mkdir()
        for jar in resolved:
            shutil.copyfile(jar, complete / jar.name)
        complete.rename(folder)


@contextmanager
def _one_at_a_time(lock: Path) -> Iterator[None]:
    """Wait for other processes that fetch: they would share the user's Maven cache, and meet each other's half files."""
    with lock.open("w") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield


def _read_lock(lock: Path) -> dict[str, str]:
    lines = (line.split() for line in lock.read_text().splitlines() if line and not line.startswith("#"))
    return {name: digest for digest, name in lines}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_locks(root: Path) -> None:
    for folder, resolve, lock, what in (
        (root / f"kafka-{KAFKA_VERSION}", _resolve_kafka, _LOCK, f"every jar of {_ENDPOINT}"),
        (root / f"kafka-tools-{KAFKA_VERSION}", _resolve_tools, _TOOLS_LOCK, "Kafka's own commands"),
    ):
        if not folder.exists():
            _fetch(folder, resolve)
        lines = [f"{_sha256(path)}  {path.name}" for path in sorted(folder.glob("*.jar"))]
        head = f"# SHA-256 of {what}; written by `python -m deploy.local.jars --lock`."
        lock.write_text("\n".join([head, *lines]) + os.linesep)


def main() -> None:
    """Fetch and check the jars, or write their hashes down."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--lock", action="store_true", help="write the hashes down")
    if parser.parse_args().lock:
        _write_locks(data_root())
    kafka_jars()


if __name__ == "__main__":
    main()
