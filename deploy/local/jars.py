"""Apache Kafka's jars: resolved once, checked against a committed list of hashes before every use.

`python -m deploy.local.jars` fetches them now; with `--lock` it writes the list anew for the version below.
"""

import argparse
import hashlib
import logging
import os
import shutil
import tempfile
from pathlib import Path

from deploy.local.handles import StackError
from deploy.local.paths import data_root

KAFKA_VERSION = "4.4.0"
# Without a logging binding a broker that fails to start says nothing.
_ENDPOINT = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
_LOCK = Path(__file__).with_name("kafka.lock")


def kafka_jars(root: Path | None = None) -> tuple[Path, ...]:
    """Return the jars of the locked Kafka, in the order of their names, fetching them when they are absent.

    Raises StackError when they cannot be fetched or when one differs from its recorded SHA-256.
    """
    locked = _read_lock()
    folder = (root or data_root()) / f"kafka-{KAFKA_VERSION}"
    if not folder.exists():
        _fetch(folder)
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


def _fetch(folder: Path) -> None:
    # Imported here because it is needed once per machine.
    import jgo  # noqa: PLC0415 -- as above

    logging.getLogger("jgo").setLevel(logging.ERROR)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetch-") as scratch:
        try:
            resolved = jgo.build(_ENDPOINT, cache_dir=Path(scratch) / "jgo").all_jars
        except Exception as error:
            raise StackError(
                f"Kafka {KAFKA_VERSION} could not be fetched from the Maven repository: {error}"
            ) from error
        complete = Path(scratch) / "jars"
        complete.mkdir()
        for jar in resolved:
            shutil.copyfile(jar, complete / Path(jar).name)
        try:
            complete.rename(folder)
        except OSError:
            # Another process was first; what it put there is checked like our own.
            if not folder.exists():
                raise


def _read_lock() -> dict[str, str]:
    lines = (line.split() for line in _LOCK.read_text().splitlines() if line and not line.startswith("#"))
    return {name: digest for digest, name in lines}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_lock(root: Path) -> None:
    folder = root / f"kafka-{KAFKA_VERSION}"
    if not folder.exists():
        _fetch(folder)
    lines = [f"{_sha256(path)}  {path.name}" for path in sorted(folder.glob("*.jar"))]
    head = f"# SHA-256 of every jar of {_ENDPOINT}; written by `python -m deploy.local.jars --lock`."
    _LOCK.write_text("\n".join([head, *lines]) + os.linesep)


def main() -> None:
    """Fetch and check the jars, or write their hashes down."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--lock", action="store_true", help="write deploy/local/kafka.lock")
    if parser.parse_args().lock:
        _write_lock(data_root())
    kafka_jars()


if __name__ == "__main__":
    main()
