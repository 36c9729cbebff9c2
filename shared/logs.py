"""Log lines: one JSON object each, with ids and outcomes, never bodies, because replies are confidential."""

import logging
import sys
from dataclasses import dataclass, field
from time import monotonic

import structlog

PAUSE_S = 30.0
SENTENCES = 1_000
"""So many are remembered before those that are long past are forgotten."""


@dataclass
class SayOnce(logging.Filter):
    """Lets through what a library says for the first time, and the same again only after a pause.

    While a broker is away, aiokafka says several hundred times a second that it is.
    """

    library: str
    pause_s: float = PAUSE_S
    _said: dict[str, tuple[float, int]] = field(default_factory=dict)
    """When each sentence was let through last, and how often it was left out since."""

    def __post_init__(self) -> None:
        super().__init__(self.library)

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether this line is written; it tells how many like it were not."""
        if not super().filter(record):
            return True
        text, now = record.getMessage(), monotonic()
        at, left_out = self._said.get(text, (float("-inf"), 0))
        if now - at < self.pause_s:
            self._said[text] = (at, left_out + 1)
            return False
        if len(self._said) >= SENTENCES:
            self._said = {one: known for one, known in self._said.items() if now - known[0] < self.pause_s}
        self._said[text] = (now, 0)
        if left_out:
            record.msg, record.args = f"{text} (and {left_out} more like it)", ()
        return True


def set_up_logging(service: str) -> None:
    """Write one JSON object a line to standard output, our own lines and the libraries' alike."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(SayOnce("aiokafka"))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
