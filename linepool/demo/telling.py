"""How the story is told: lines that stay, below them a live view, and claims that must hold for the story to go on."""

import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from linepool.client.watcher import Mark, Watcher
from linepool.demo.story import Moved, Step

PLAIN_WIDTH = 130


class ClaimError(Exception):
    """The story did not hold: what was claimed is not so."""


def story_console() -> Console:
    """Return a console for the person who looks on; where that is no terminal, plain lines of a fixed width."""
    # The clients log what they try again, and what they are denied; the story tells what matters of it.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PLAIN_WIDTH, no_color=True)


@dataclass
class Teller:
    """Tells the story and remembers its steps for the page."""

    console: Console
    started: float = field(default_factory=time.monotonic)
    watcher: Watcher | None = None
    steps: list[Step] = field(default_factory=list)
    claims: int = 0
    now: str = ""
    """What is going on, for the live view."""
    counter: str = ""
    """The providers' topics and what the gate waits for, for the live view."""
    _mark: Mark = field(default_factory=lambda: Mark(0))

    def chapter(self, number: int, title: str) -> None:
        """Begin a part of the story."""
        self.console.print()
        self.console.rule(f"[bold]{number}. {escape(title)}", align="left")

    def say(self, text: str) -> None:
        """Tell something in a line."""
        self.console.print(f"  {escape(text)}")

    def show(self, what: RenderableType) -> None:
        """Show something larger, such as a table."""
        self.console.print(what)

    def doing(self, text: str) -> None:
        """Say what is going on; a line of its own where there is no live view."""
        self.now = text

    def count(self, text: str) -> None:
        """Show the live counter; each change is a line where there is no live view."""
        if text != self.counter:
            self.counter = text
            if not self.console.is_terminal:
                self.say(text)

    def claim(self, sentence: str, *, holds: bool) -> None:
        """Say what is now shown.

        Raises:
            ClaimError: it is not so.
        """
        if not holds:
            self.console.print(f"  [bold red]✗ {escape(sentence)}")
            raise ClaimError(sentence)
        self.claims += 1
        self.console.print(f"  [green]✓[/green] {escape(sentence)}")

    def step(self, title: str, text: str) -> None:
        """End a step: tell it, with what moved over which topic since the last one."""
        moved = self._moved()
        self.steps.append(Step(at=datetime.now(UTC), title=title, text=text, moved=moved))
        self.console.print(f"[dim]{self.elapsed():5.1f} s[/dim] [bold]{escape(title)}.[/bold] {escape(text)}")
        if moved:
            self.console.print(f"[dim cyan]        {escape(_in_short(moved))}", soft_wrap=False)

    def elapsed(self) -> float:
        """Return the seconds since the story began."""
        return time.monotonic() - self.started

    @contextmanager
    def live(self) -> Iterator[None]:
        """Keep a live view below the lines while the context lasts, where there is a terminal."""
        if not self.console.is_terminal:
            yield
            return
        with Live(console=self.console, get_renderable=self._view, refresh_per_second=8, transient=True):
            yield

    def _moved(self) -> tuple[Moved, ...]:
        if self.watcher is None:
            return ()
        since, self._mark = self._mark, self.watcher.mark()
        return tuple(
            Moved(message=type_name, topic=topic, count=number)
            for topic, types in sorted(self.watcher.counts(since).items())
            for type_name, number in types.items()
        )

    def _view(self) -> RenderableType:
        counts: Mapping[str, Counter[str]] = self.watcher.counts() if self.watcher else {}
        grid: Any = Table.grid(padding=(0, 2))
        cells = [f"[cyan]{escape(topic)}[/cyan] {types.total()}" for topic, types in sorted(counts.items())]
        for first in range(0, len(cells), 4):
            grid.add_row(*cells[first : first + 4])
        lines: list[RenderableType] = [grid]
        if self.counter:
            lines.append(f"[bold]{escape(self.counter)}")
        return Panel(
            Group(*lines),
            title=f"{self.elapsed():.0f} s  {escape(self.now)}",
            title_align="left",
            border_style="dim",
        )


def _in_short(moved: tuple[Moved, ...]) -> str:
    topics: dict[str, Counter[str]] = {}
    for one in moved:
        kind, dot, rest = one.topic.partition(".")
        # What goes to many providers is one line here; the page has every topic.
        name = f"{kind}.*" if kind in {"invitations", "replies", "notices"} else f"{kind}{dot}{rest}"
        topics.setdefault(name, Counter())[one.message] += one.count
    return "; ".join(
        f"{topic}: " + ", ".join(f"{number} {name}" for name, number in types.items())
        for topic, types in topics.items()
    )
