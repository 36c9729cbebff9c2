"""`make bench`: how fast the parts are, as ratios against the bare client and database in the same run.

Three rounds each; every round measures ours and the bare one in turn, so that both meet the same machine. Nothing is asserted.
"""

import asyncio
import logging
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import structlog
from rich.console import Console
from rich.table import Table

from bench import capacity, drain, fairness, intake, latency, opening, takeover
from deploy.local.stack import Stack, start_stack

ROUNDS = 3


def ratio(ours: list[float], bare: list[float]) -> str:
    """Return the median of the rounds' ratios, with their range."""
    ratios = sorted(one / other for one, other in zip(ours, bare, strict=True))
    return f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def main() -> None:
    """Measure what the arguments name (see `PARTS`), or all."""
    # What is called here in this process would fill the table's terminal with its log.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
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


def _seals(table: Table, stack: Stack) -> None:
    pairs = [
        (
            intake.service_round(stack, f"h{number}", intake.REPLIES, batch=500, seal="hpke"),
            intake.service_round(stack, f"n{number}", intake.REPLIES, batch=500),
        )
        for number in range(ROUNDS)
    ]
    sealed, plain = [one for one, _ in pairs], [other for _, other in pairs]
    table.add_row(
        f"intake of {intake.REPLIES:,} sealed replies, against the same unsealed, messages/s",
        f"{median(sealed):,.0f}",
        f"{median(plain):,.0f}",
        ratio(sealed, plain),
    )


def _opening(table: Table, stack: Stack) -> None:
    found = opening.measure(stack)
    first = found[0]
    for one in found:
        table.add_row(
            f"the opener opens {one.replies:,} sealed replies, s; ms each",
            f"{one.opened_s:.2f}; {1000 * one.opened_s / one.replies:.2f}",
            "",
            f"{one.opened_s / first.opened_s:.1f} times the first, for {one.replies / first.replies:.0f} times the replies",
        )
        table.add_row(
            "bidding judges them, s; ms each",
            f"{one.judged_s:.2f}; {1000 * one.judged_s / one.replies:.2f}",
            "",
            f"{one.judged_s / first.judged_s:.1f} times the first",
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
    for what, one in (
        ("beside a flood of one within its quotas", found.flood_within_quotas),
        (f"behind a backlog of {fairness.POISON:,} of one", found.backlog),
        ("beside a flood of one without quotas", found.flood),
    ):
        ours, bare = one.disturbed, one.quiet
        table.add_row(
            f"others' receipts {what}, ms (median, p99)",
            f"{ours[0]:.0f}, {ours[1]:.0f}",
            f"{bare[0]:.0f}, {bare[1]:.0f}",
            f"{ours[0] / bare[0]:.1f}, {ours[1] / bare[1]:.1f} (bare: the quiet time just before)",
        )


def _takeover(table: Table, stack: Stack) -> None:
    for way in takeover.WAYS:
        took = takeover.measure(stack, way, ROUNDS)
        table.add_row(
            f"kill -9 to the next messages, {way.name}, s",
            f"{median(took):.1f}",
            "",
            f"{min(took):.1f} to {max(took):.1f}",
        )


def _capacity(table: Table, stack: Stack) -> None:
    found = capacity.measure(stack)
    for what, one in (
        ("a purchase", found.purchase),
        ("each further line of usage", found.line),
        ("each further provider on the list", found.listed),
        ("each further reply", found.reply),
        ("a provider, once it is added", found.provider),
        ("an empty installation, and a second of idling", found.idle),
    ):
        cpu = ", ".join(f"{name} {seconds * 1000:.1f}" for name, seconds in one.cpu.items())
        table.add_row(
            f"{what}: kB in Postgres, in Kafka; ms of CPU",
            f"{one.postgres / 1000:,.2f}, {one.kafka / 1000:,.2f}; {one.seconds * 1000:,.1f}",
            "",
            cpu,
        )
    table.add_row(
        "topics, partitions", f"{found.topics}, {found.partitions}", "", "and 3 of each per provider"
    )


PARTS: dict[str, Callable[[Table, Stack], None]] = {
    "intake": _intake,
    "seals": _seals,
    "opening": _opening,
    "drain": _drain,
    "latency": _latency,
    "fairness": _fairness,
    "takeover": _takeover,
    "capacity": _capacity,
}


if __name__ == "__main__":
    main()
