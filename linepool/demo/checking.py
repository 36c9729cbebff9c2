"""Part 6: the independent checker reads every topic and every table, and counts what was lost and what was doubled."""

import asyncio
from dataclasses import replace

import asyncpg

from deploy.access.model import services
from deploy.local.stack import Stack
from linepool.checker.collect import Place, collect
from linepool.checker.judge import check
from linepool.checker.report import Report
from linepool.demo.replying import KILLED, Killed
from linepool.demo.stage import Stage

PATIENCE = 90.0
FINDINGS_SHOWN = 3


async def check_everything(stage: Stage, killed: Killed) -> Report:
    """Tell part 6."""
    tell = stage.tell
    tell.chapter(6, "What the checker says")
    tell.doing("everything comes to rest")
    await come_to_rest(stage.stack)
    tell.doing("the checker reads every topic and every table")
    report = await judge(stage.stack)
    _tell_verdicts(stage, report)
    tell.step(
        "The checker has read every topic and every table",
        f"{KILLED} was killed with kill -9 and was away for {killed.seconds_until_back} s.",
    )
    lost, doubled = lost_and_doubled(report)
    tell.claim(f"{lost} lost, {doubled} doubled", holds=not lost and not doubled)
    tell.claim("no invariant is violated", holds=report.ok)
    return report


def _tell_verdicts(stage: Stage, report: Report) -> None:
    for verdict in report.verdicts:
        stage.tell.say(str(replace(verdict, findings=verdict.findings[:FINDINGS_SHOWN])))
        if len(verdict.findings) > FINDINGS_SHOWN:
            stage.tell.say(f"      and {len(verdict.findings) - FINDINGS_SHOWN} more")


def lost_and_doubled(report: Report) -> tuple[int, int]:
    """Return how many things were lost (receipted replies, messages that did not drain), and how many counted twice."""
    lost = report.of("I2").findings + report.of("I9").findings
    return len(lost), len(report.of("I3").findings)


async def judge(stack: Stack) -> Report:
    """Read a stack with logins that may read everything, and judge it."""
    place = Place(
        bootstrap_servers=stack.bootstrap_servers,
        username=stack.admin.username,
        password=stack.admin.password,
        admin_dsn=stack.admin_dsn,
        prefix=stack.prefix,
        ca_file=stack.ca_file,
    )
    history = await collect(place, mails=stack.mail_folder, logs=[stack.folder / "services"])
    return await asyncio.to_thread(check, history)


async def come_to_rest(stack: Stack) -> None:
    """Wait until no service has anything to send or to try again.

    Raises:
        TimeoutError: there still was something after a minute and a half.
    """
    connection = await asyncpg.connect(stack.admin_dsn)
    schemas = [service.schema for service in services()]
    waiting = " + ".join(
        f'(SELECT count(*) FROM "{schema}".{table})' for schema in schemas for table in ("outbox", "parked")
    )
    unsent = "(SELECT count(*) FROM notification.mails WHERE delivered_at IS NULL AND failed_at IS NULL)"
    try:
        async with asyncio.timeout(PATIENCE):
            # What moves between two services is in neither's tables: nothing, twice, with time to arrive in between.
            quiet = 0
            while quiet < 2:  # noqa: PLR2004 # as above
                await asyncio.sleep(0.3)
                quiet = 0 if await connection.fetchval(f"SELECT {waiting} + {unsent}") else quiet + 1
    except TimeoutError:
        raise TimeoutError(f"the services did not come to rest within {PATIENCE:.0f} s") from None
    finally:
        await connection.close()
