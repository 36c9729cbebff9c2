"""A folder on a disk of its own that has little room, so that it is full for real."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SmallDisk:
    """A folder whose files are moved to a file system in memory and back. Only root may mount one."""

    folder: Path

    def mount(self, *, room: int) -> None:
        """Move the folder there, and leave so many bytes of room beside what it holds."""
        if os.geteuid() != 0:
            raise PermissionError("a disk is mounted for this test, which only root may")
        self.folder.rename(self._aside)
        self.folder.mkdir()
        used = int(subprocess.check_output(["du", "-s", "--block-size=1", str(self._aside)]).split()[0])
        _do("mount", "-t", "tmpfs", "-o", f"size={used + room}", "tmpfs", self.folder)
        _do("cp", "-a", f"{self._aside}/.", self.folder)
        status = self._aside.stat()
        os.chown(self.folder, status.st_uid, status.st_gid)
        self.folder.chmod(status.st_mode & 0o7777)

    def fill(self) -> None:
        """Leave no room at all."""
        with (self.folder / "ballast").open("wb", buffering=0) as ballast:
            try:
                while ballast.write(bytes(4096)):
                    pass
            except OSError:
                return

    def enlarge(self) -> None:
        """Give it room again, as whoever enlarges a volume does; what is on it stays."""
        _do("mount", "-o", "remount,size=2g", self.folder)

    def unmount(self) -> None:
        """Move the folder back."""
        (self.folder / "ballast").unlink(missing_ok=True)
        shutil.rmtree(self._aside)
        _do("cp", "-a", self.folder, self._aside)
        _do("umount", self.folder)
        self.folder.rmdir()
        self._aside.rename(self.folder)

    @property
    def _aside(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.aside")


def _do(*words: str | Path) -> None:
    subprocess.run([str(word) for word in words], check=True)
