"""A server in a container, as a handle of the stack."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import cast

from docker.errors import DockerException
from testcontainers.core.container import DockerContainer

from deploy.local.handles import StackError
from deploy.local.process import wait_until

LOOPBACK = "127.0.0.1"

_START_SECONDS = 90.0
_STOP_SECONDS = 20


class Contained(ABC):
    """A server in a container, which stops and starts again at the same address with the same data."""

    def __init__(self, container: DockerContainer, log: Path) -> None:
        self._container = container
        self._log = log
        self._created = False

    @abstractmethod
    def _answers(self) -> bool:
        """Say whether clients are answered now."""

    def start(self) -> None:
        """Start the container, creating it the first time, and wait until clients are answered."""
        try:
            if self._created:
                self._container.get_wrapped_container().start()
            else:
                self._container.start()
                self._created = True
        except (DockerException, TimeoutError) as error:
            self._keep_log()
            raise StackError(
                f"a container of {self._container.image} could not be started: {error}"
            ) from error
        wait_until(
            self._up,
            _START_SECONDS,
            lambda: (
                f"{self._container.image} did not answer within {_START_SECONDS:.0f} s;"
                f" {self._keep_log()} says why"
            ),
        )

    def stop(self) -> None:
        """Stop in order; the container and its data stay."""
        if self._created:
            self._container.get_wrapped_container().stop(timeout=_STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL to everything in the container; the container and its data stay."""
        if self._created and self._running():
            wrapped = self._container.get_wrapped_container()
            wrapped.kill()
            wrapped.wait(timeout=_STOP_SECONDS)

    def restart(self) -> None:
        """Stop if it runs, and start at the same address."""
        self.stop()
        self.start()

    def remove(self) -> None:
        """Keep the log in the stack's folder and remove the container with its data, running or not."""
        self._keep_log()
        self._container.stop()

    @property
    def log(self) -> Path:
        """What the server says."""
        return self._keep_log()

    def _running(self) -> bool:
        wrapped = self._container.get_wrapped_container()
        wrapped.reload()
        return bool(wrapped.status == "running")

    def _up(self) -> bool:
        if not self._running():
            raise StackError(
                f"{self._container.image} ended while it was starting; {self._keep_log()} says why"
            )
        return self._answers()

    def _keep_log(self) -> Path:
        # Testcontainers knows the container from its creation on, even if its start then failed.
        if self._container._container is not None:  # noqa: SLF001 -- the public getter raises instead
            self._log.write_bytes(self._container.get_wrapped_container().logs())
        return self._log


def publish(container: DockerContainer, inside: int, outside: int) -> None:
    """Publish a port on loopback alone, at a fixed number that a restarted container keeps."""
    # Testcontainers hands the pairs on as they are, and docker-py takes an address with a port.
    cast("dict[str, tuple[str, int]]", container.ports)[str(inside)] = (LOOPBACK, outside)
