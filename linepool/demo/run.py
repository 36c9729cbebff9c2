"""The whole story from an empty folder to the page; what it starts it stops."""

import asyncio
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from aiokafka.errors import KafkaError

from deploy.local.paths import data_root
from deploy.local.services import PROCESSES, Services
from deploy.local.stack import Stack, start_stack
from linepool.demo import (
    checking,
    choosing,
    comparing,
    forming,
    gate,
    intruders,
    page,
    replying,
    sealed,
    unverified,
    verified,
)
from linepool.demo.claimed import claimed
from linepool.demo.scenario import Scenario
from linepool.demo.stage import Stage, open_stage
from linepool.demo.story import Intruder, Sealed
from linepool.demo.telling import ClaimError, Teller
from linepool.demo.told import Parts, story_of
from linepool.demo.waiting import until
from linepool.provider.errors import ProviderError

OUTPUT = Path("demo-output")
STARTUP_SECONDS = 60.0
SEVEN = 7
"""Five services, the portal and the opener."""


@dataclass(frozen=True)
class ReadyToSelect:
    """The story up to the moment before the selection."""

    started_at: datetime
    formed: forming.Formed
    invited: gate.Invited
    intruders: tuple[Intruder, ...]
    replied: replying.Replied
    sealed: Sealed
    compared: comparing.Compared
    other: unverified.Other


def run_demo(scenario: Scenario, tell: Teller, *, output: Path, time_to_reply: float | None = None) -> bool:
    """Tell the whole story and write the page; return whether it held. Everything is stopped at the end, however it comes.

    Raises:
        StackError: the stack or a service cannot be had; the text is one sentence.
    """
    folder = data_root() / "demo"
    with claimed(folder), interruptible():
        shutil.rmtree(folder / "stack", ignore_errors=True)
        held = False
        try:
            with tell.live(), running(folder / "stack", tell) as (stack, services):
                written = asyncio.run(_tell_all(scenario, stack, services, tell, time_to_reply))
                output.mkdir(parents=True, exist_ok=True)
                (output / "index.html").write_text(written, "utf-8")
                held = True
        except (ClaimError, ProviderError, TimeoutError, KafkaError) as error:
            tell.say(f"The story did not hold: {error or type(error).__name__}")
            tell.say(f"What ran has left its logs in {folder / 'stack'}.")
        if held:
            shutil.rmtree(folder / "stack", ignore_errors=True)
            tell.step(
                "The story held", f"{tell.claims} claims were checked. The page: {output / 'index.html'}"
            )
    return held


@contextmanager
def running(folder: Path, tell: Teller) -> Iterator[tuple[Stack, Services]]:
    """Start a stack and begin with the services, the portal and the opener; stop them at the end."""
    tell.doing("Kafka, Postgres and a mail server start")
    with start_stack(folder) as stack:
        tell.step(
            "The stack runs", f"Real Kafka with access rules, real Postgres, a mail server ({stack.source})."
        )
        tell.doing("five services, the portal and the opener start")
        services = Services(stack)
        try:
            services.begin_all()
            yield stack, services
        finally:
            tell.doing("everything is stopped")
            services.stop()


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the program in the same way, also where it was started with Ctrl-C ignored."""
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Within a story asyncio answers SIGINT in order; SIGTERM is to be answered likewise.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


async def services_ready(stage: Stage) -> None:
    """Wait until every service is ready. TimeoutError names those that are not, and their logs."""
    services, ready = stage.services, set[str]()

    def all_ready() -> bool:
        ready.update(name for name in services.names if name not in ready and services.is_ready(name))
        return ready == set(services.names)

    try:
        await until(all_ready, within=STARTUP_SECONDS, what="the services")
    except TimeoutError:
        logs = ", ".join(str(services.log(name)) for name in services.names if name not in ready)
        raise TimeoutError(
            f"not every service was ready within {STARTUP_SECONDS:.0f} s; see {logs}"
        ) from None
    stage.tell.step(
        "Seven processes run",
        "Five services and the portal, each with a Kafka principal and a Postgres role of its own, and the opener, "
        "which has a role, no way to Kafka, and alone the secret that the keys of sealed replies follow from.",
    )
    pids = {name: services.pid(name) for name in services.names}
    stage.tell.claim(
        f"seven processes run: {', '.join(pids)}",
        holds=len({*pids.values()} - {None}) == len(pids) == len(PROCESSES) == SEVEN,
    )
    stage.tell.claim(
        "the opener has no login at Kafka, and no other process was handed its secret",
        holds="opener" not in stage.stack.passwords
        and [name for name in pids if stage.stack.secrets["opener"] in services.environment_of(name).values()]
        == ["opener"],
    )


async def until_selection(stage: Stage, *, time_to_reply: float | None = None) -> ReadyToSelect:
    """Tell the story up to the moment before the selection."""
    started_at = datetime.now(UTC)
    formed = await forming.form_group(stage)
    invited = await gate.open_gate(stage, formed, time_to_reply=time_to_reply)
    denied = await intruders.try_to_intrude(stage)
    other = asyncio.create_task(unverified.form_other_group(stage))
    try:
        replied = await replying.take_replies(stage)
        compared = await comparing.compare(stage, formed, bidders=len(replied.offers))
        opened = await sealed.tell_of_opening(stage, replied.looked, replied.passed.deadline)
        return ReadyToSelect(started_at, formed, invited, denied, replied, opened, compared, await other)
    finally:
        other.cancel()


async def _tell_all(
    scenario: Scenario, stack: Stack, services: Services, tell: Teller, time_to_reply: float | None
) -> str:
    """Tell everything; return the page."""
    async with open_stage(scenario, stack, services, tell) as stage:
        await services_ready(stage)
        ready = await until_selection(stage, time_to_reply=time_to_reply)
        accepted = await choosing.choose(stage, ready.compared)
        genuine = await verified.verify_a_receipt(stage, ready.replied)
        await unverified.refuse_other_group(stage, ready.other)
        report = await checking.check_everything(stage, ready.replied.killed)
        parts = Parts(
            started_at=ready.started_at,
            formed=ready.formed,
            invited=ready.invited,
            replied=ready.replied,
            compared=ready.compared,
            accepted=accepted,
            sealed=ready.sealed,
            verified=genuine,
            intruders=ready.intruders,
            report=report,
        )
        return page.render(await story_of(stage, parts))
