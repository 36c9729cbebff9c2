"""Several processes may start their first broker at once, as two workers of a test run do."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

from deploy.local.jars import _fetch


def test_who_comes_second_waits_and_takes_what_the_first_one_fetched(tmp_path: Path) -> None:
    begun, may_end, asked = Event(), Event(), list[Path]()

    def resolve(scratch: Path) -> Iterable[Path]:
        asked.append(scratch)
        begun.set()
        assert may_end.wait(10)
        (scratch / "some.jar").write_bytes(b"jar")
        return [scratch / "some.jar"]

    with ThreadPoolExecutor() as threads:
        first = threads.submit(_fetch, tmp_path / "jars", resolve)
        assert begun.wait(10)
        second = threads.submit(_fetch, tmp_path / "jars", resolve)
        may_end.set()
        first.result()
        second.result()
    assert len(asked) == 1
    assert [file.name for file in (tmp_path / "jars").iterdir()] == ["some.jar"]
