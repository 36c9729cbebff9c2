"""`make bench`: how fast the parts are, as ratios against the bare client and database in the same run.

Three rounds each; every round measures ours and the bare one in turn, so that both meet the same machine. Nothing is asserted.
"""

import asyncio
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from bench import drain, fairness, intake, latency
from deploy.local.stack import Stack, start_stack

ROUNDS = 3


def ratio(ours: list[float], bare: list[float]) -> str:
    """Return the median of the rounds' ratios, with their range."""
    ratios = sorted(one / other for one, other in zip(ours, bare, strict=True))
    return f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def main() -> None:
    """Measure what the arguments name (see `PARTS`), or all."""
    wanted = set(sys.argv[1:]) or set(PARTS)
    console = Console(width=130)
    table = Table(
        "what", "ours", "bare", "ours / bare", title=f"medians of {ROUNDS} rounds, and the rounds' ratios"
    )
    for name, add_rows in PARTS.items():
        if name in wanted:
            # Each on a stack of its own: what one leaves behind must not slow the next.
            with tempfile.TemporaryDirectory() as folder, start_stack(Path(folder)) as stack:
                add_rows(table, stack)
    console.print(table)


def _intake(table: Table, stack: Stack) -> None:
    figures = [intake.measure(stack, number) for number in range(ROUNDS)]
    ours, bare, single = ([getattr(one, name) for one in figures] for name in ("batched", "bare", "single"))
    table.add_row(
        f"reply intake, {intake.REPLIES:,} replies, messages/s",
        f"{median(ours):,.0f}",
        f"{median(bare):,.0f}",
        ratio(ours, bare),
    )
    table.add_row(
        "the same service, one transaction per message",
        f"{median(single):,.0f}",
        "",
        f"batches are {ratio(ours, single)} times as fast",
    )


def _drain(table: Table, stack: Stack) -> None:
    pairs = [asyncio.run(drain.measure(stack, number)) for number in range(ROUNDS)]
    ours, bare = [one for one, _ in pairs], [other for _, other in pairs]
    table.add_row(
        f"outbox to {drain.TOPICS} topics, {drain.MESSAGES:,} invitations, messages/s",
        f"{median(ours):,.0f}",
        f"{median(bare):,.0f}",
        ratio(ours, bare),
    )


def _latency(table: Table, stack: Stack) -> None:
    found = latency.measure(stack)
    table.add_row(
        f"GroupQualified to the last of {latency.PROVIDERS} invitations, ms (median, p99 of {latency.PURCHASES})",
        f"{found.median_ms:.0f}, {found.p99_ms:.0f}",
        f"{found.bare_median_ms:.1f}, {found.bare_p99_ms:.1f}",
        "bare: one produce and consume",
    )


def _fairness(table: Table, stack: Stack) -> None:
    found = fairness.measure(stack)
    alone = found.alone
    for what, ours in (
        (
            f"others' receipts behind a backlog of {fairness.POISON:,} of one, ms (median, p99)",
            found.behind_backlog,
        ),
        (
            f"others' receipts beside a flood of {fairness.POISON:,} of one, ms (median, p99)",
            found.beside_flood,
        ),
    ):
        table.add_row(
            what,
            f"{ours[0]:.0f}, {ours[1]:.0f}",
            f"{alone[0]:.0f}, {alone[1]:.0f}",
            f"{ours[0] / alone[0]:.1f}, {ours[1] / alone[1]:.1f} (bare: nobody floods)",
        )


PARTS: dict[str, Callable[[Table, Stack], None]] = {
    "intake": _intake,
    "drain": _drain,
    "latency": _latency,
    "fairness": _fairness,
}


if __name__ == "__main__":
    main()
