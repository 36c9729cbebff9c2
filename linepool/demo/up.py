"""Leaving the system running in the background, with a purchase paused before the selection."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from aiokafka.errors import KafkaError
from rich.console import Console

from deploy.local.handles import StackError
from linepool.demo import state
from linepool.demo.choosing import answer_award
from linepool.demo.claimed import claimed, holder
from linepool.demo.run import interruptible, running, services_ready, until_selection
from linepool.demo.scenario import Scenario
from linepool.demo.stage import Stage, open_stage
from linepool.demo.telling import ClaimError, Teller
from linepool.provider import Provider
from linepool.provider.errors import ProviderError

_STOP_SECONDS = 60.0
_POLL_SECONDS = 0.2


def hold(scenario: Scenario, tell: Teller, *, time_to_reply: float | None = None) -> None:
    """Tell the story up to the selection and keep everything running until SIGTERM. This is the background process.

    Raises:
        StackError, ClaimError, TimeoutError, KafkaError: the story did not get that far; everything is stopped.
    """
    folder = state.place()
    with claimed(folder), interruptible():
        shutil.rmtree(folder / "stack", ignore_errors=True)
        state.forget()
        try:
            with running(folder / "stack", tell) as (stack, services):

                async def story() -> None:
                    async with open_stage(scenario, stack, services, tell) as stage:
                        await services_ready(stage)
                        await until_selection(stage, time_to_reply=time_to_reply)
                        state.save(stage)
                        await _play_providers(stage)

                asyncio.run(story())
        except KeyboardInterrupt:
            tell.say("Everything is stopped.")
        except (ClaimError, ProviderError, TimeoutError, KafkaError) as error:
            tell.say(f"The story did not hold: {error or type(error).__name__}")
            raise
        finally:
            state.forget()


async def _play_providers(stage: Stage) -> None:
    """Whoever wins proposes its terms, for as long as this runs."""

    async def play(provider: Provider) -> None:
        award = await provider.award(stage.purchase_id, within=float("inf"))
        await answer_award(provider, award)

    await asyncio.gather(*(play(provider) for provider in stage.providers.values()))
    await asyncio.Event().wait()


def start(arguments: Sequence[str], console: Console) -> bool:
    """Start the background process and follow its story until it waits for the selection; return whether it got there."""
    folder = state.place()
    if holder(folder) is not None:
        raise StackError("it is running already; `linepool down` stops it")
    folder.mkdir(parents=True, exist_ok=True)
    state.forget()
    log = folder / "story.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 # this program itself, with the arguments it was given
            [sys.executable, "-m", "linepool", "up", "--in-foreground", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        with interruptible():
            return _follow(process, log, console)
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
        console.print("Stopped.")
        raise


def _follow(process: subprocess.Popen[bytes], log: Path, console: Console) -> bool:
    with log.open("r", encoding="utf-8", errors="replace") as story:
        while True:
            # What it wrote before this moment is shown before the outcome of this moment is.
            ended, ready = process.poll() is not None, (state.place() / "state.json").exists()
            while line := story.readline():
                console.out(line.rstrip("\n"))
            if ready or ended:
                return ready and not ended
            time.sleep(_POLL_SECONDS)


def stop() -> bool:
    """Stop what `start` started, and wait until it is gone; return whether there was anything.

    Raises:
        StackError: it did not end.
    """
    process = holder(state.place())
    if process is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while holder(state.place()) is not None:
        if time.monotonic() > deadline:
            raise StackError(f"process {process} did not end within {_STOP_SECONDS:.0f} s")
        time.sleep(_POLL_SECONDS)
    shutil.rmtree(state.place() / "stack", ignore_errors=True)
    return True
