"""The command `linepool status`."""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from linepool.demo import state
from linepool.status.asking import (
    AddressError,
    Answer,
    addresses_of,
    ask,
    duration,
    is_stuck,
    troubles,
    waiting,
)


def status(
    *,
    at: Annotated[
        list[str] | None,
        typer.Option(
            envvar="LINEPOOL_STATUS_AT",
            help="A process, as name=http://host:port; once for each (default: what `linepool up` runs).",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Say it for programs.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Look again until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(min=1, help="Seconds between two looks.")] = 2.0,
) -> None:
    """Show how each process is, and where each purchase waits since when; the exit code is 1 if anything is wrong."""
    try:
        addresses = _addresses(at)
        answers = _watched(addresses, every) if watch else asyncio.run(ask(addresses))
    except (AddressError, state.NothingRunsError) as error:
        sys.stderr.write(f"linepool: {error}\n")
        raise typer.Exit(1) from None
    if as_json:
        sys.stdout.write(json.dumps(_as_json(answers), indent=1) + "\n")
    elif not watch:
        Console(highlight=False).print(_shown(answers), soft_wrap=True)
    raise typer.Exit(1 if troubles(answers) else 0)


def _addresses(at: list[str] | None) -> list[tuple[str, str]]:
    found = addresses_of(at) if at else sorted(state.load().addresses.items())
    if not found:
        raise AddressError("no address is known; name the processes with --at")
    return found


def _watched(addresses: Sequence[tuple[str, str]], every: float) -> list[Answer]:
    answers = asyncio.run(ask(addresses))
    try:
        with Live(_shown(answers), auto_refresh=False, screen=False) as live:
            live.refresh()
            while True:
                time.sleep(every)
                answers = asyncio.run(ask(addresses))
                live.update(_shown(answers), refresh=True)
    except KeyboardInterrupt:
        return answers


def _as_json(answers: Sequence[Answer]) -> dict[str, object]:
    return {
        "ok": not troubles(answers),
        "troubles": troubles(answers),
        "processes": [
            {
                "name": one.name,
                "address": one.address,
                "error": one.error,
                "status": one.status.model_dump(mode="json", exclude={"purchases"}) if one.status else None,
            }
            for one in answers
        ],
        "purchases": [{**one.model_dump(mode="json"), "stuck": is_stuck(one)} for one in waiting(answers)],
    }


def _shown(answers: Sequence[Answer]) -> Group:
    processes = Table("process", "version", "is", "lag", "outbox", "parked", "queues", box=None)
    for one in answers:
        found = one.status
        if found is None:
            processes.add_row(escape(one.name), "", escape(one.error))
            continue
        outbox = f"{found.outbox_rows}, {duration(found.outbox_age_s)}" if found.outbox_age_s else "0"
        parked = ", ".join(f"{n} {name}" for name, n in sorted(found.parked.items()) if n) or "0"
        queues = ", ".join(f"{one.rows} {name}" for name, one in sorted(found.queues.items()))
        how = found.missing or ("ails" if found.ailing else "ready")
        row = (one.name, found.version, how, str(sum(found.lag.values())), outbox, parked, queues)
        processes.add_row(*map(escape, row))
    purchases = Table("purchase", "step", "for", "since", "waits for", box=None)
    for at in waiting(answers):
        since = f"{at.since:%Y-%m-%d %H:%M:%S}" if at.since else "first seen"
        line = (
            str(at.purchase_id)[:8],
            at.step + (" (stuck)" if is_stuck(at) else ""),
            duration(at.age_s),
            since,
            at.waits_for,
        )
        purchases.add_row(*map(escape, line))
    said = [escape(one) for one in troubles(answers)] or ["Nothing is wrong."]
    return Group(processes, "", purchases if purchases.row_count else "No purchase waits.", "", *said)
