"""Usage reports collect in parts, and count once they are complete."""

from uuid import UUID, uuid4

import pytest

from shared.messages.aggregation import RemoveBuyer, ReportUsageRefused, UsageLinesReported, UsageReported
from tests.memory import MemoryKafka, Running
from tests.service.aggregation.conftest import JUNE, Conversation, a_line


@pytest.fixture
async def buyer_id(group: Conversation) -> UUID:
    await group.say(group.opening())
    buyer_id = uuid4()
    await group.say(group.joining(buyer_id))
    return buyer_id


async def test_parts_in_any_order_make_a_report(group: Conversation, buyer_id: UUID) -> None:
    report_id = uuid4()
    third, first, second = (a_line("L5"),), (a_line("L2"), a_line("L1")), (a_line("L4"),)
    await group.say(group.report(buyer_id, *third, report_id=report_id, part=3, parts=3))
    await group.say(group.report(buyer_id, *first, report_id=report_id, part=1, parts=3))
    assert not group.events(UsageReported, UsageLinesReported)
    await group.say(group.report(buyer_id, *second, report_id=report_id, part=2, parts=3))
    assert [(one.part, one.lines) for one in group.events(UsageLinesReported)] == [
        (1, first),
        (2, second),
        (3, third),
    ]
    (reported,) = group.events(UsageReported)
    assert (reported.lines, reported.parts) == (4, 3)


async def test_the_same_part_again_is_quiet(
    aggregation: Running, group: Conversation, buyer_id: UUID
) -> None:
    report = group.report(buyer_id, a_line("L1"), a_line("L2"))
    await group.say(report)
    await group.say(report)
    assert len(group.events(UsageReported)) == 1
    assert not group.refusals()
    assert await aggregation.pool.fetchval("SELECT count(*) FROM usage_lines") == 2


async def test_a_part_does_not_change(aggregation: Running, group: Conversation, buyer_id: UUID) -> None:
    report_id = uuid4()
    await group.say(group.report(buyer_id, a_line("L1"), report_id=report_id))
    await group.say(group.report(buyer_id, a_line("L2"), report_id=report_id))
    await group.say(group.report(buyer_id, a_line("L2"), report_id=report_id, part=2, parts=2))
    assert group.refusals() == ["part_changed", "report_changed"]
    assert await aggregation.pool.fetchval("SELECT line_id FROM usage_lines") == "L1"


@pytest.mark.parametrize("parts", [1, 2])
async def test_a_line_that_stands_twice_refuses_the_whole_report_and_is_named(
    aggregation: Running, group: Conversation, buyer_id: UUID, parts: int
) -> None:
    report_id = uuid4()
    if parts == 1:
        command = await group.say(group.report(buyer_id, a_line("L1"), a_line("L1"), report_id=report_id))
    else:
        await group.say(group.report(buyer_id, a_line("L1"), report_id=report_id, parts=3))
        command = await group.say(group.report(buyer_id, a_line("L1"), report_id=report_id, part=2, parts=3))
    (refused,) = group.events(ReportUsageRefused)
    assert (refused.reason, refused.command_id) == ("line_duplicate", command)
    assert "L1" in refused.detail
    await group.say(
        group.report(buyer_id, a_line("L9"), report_id=report_id, part=parts, parts=2 * parts - 1)
    )
    assert group.refusals() == ["line_duplicate", "report_refused"]
    assert await aggregation.pool.fetchval("SELECT count(*) FROM usage_lines") == 0


async def test_a_bad_line_is_named_by_its_id(group: Conversation, buyer_id: UUID, kafka: MemoryKafka) -> None:
    report = group.report(buyer_id, a_line("L-17"))
    body = report.to_bytes().replace(b'"20.49"', b'"-20.49"')
    command_id = kafka.command(report, group.coordinator)
    record = kafka.topics["aggregation.commands"][-1]
    record.value = body
    await kafka.settle()
    (refused,) = group.events(ReportUsageRefused)
    assert (refused.reason, refused.command_id) == ("invalid", command_id)
    assert "L-17" in refused.detail
    assert "20.49" not in refused.detail


async def test_a_newer_complete_report_replaces_the_older_one(
    aggregation: Running, group: Conversation, buyer_id: UUID
) -> None:
    late_id, newer_id = uuid4(), uuid4()
    await group.say(group.report(buyer_id, a_line("L1")))
    await group.say(group.report(buyer_id, a_line("L2"), report_id=late_id, parts=2))
    await group.say(group.report(buyer_id, a_line("L3"), report_id=newer_id))
    await group.say(group.report(buyer_id, a_line("L4"), report_id=late_id, part=2, parts=2))
    assert group.refusals() == ["report_replaced"]
    await group.say(group.closing())
    rows = await aggregation.pool.fetch("SELECT state, count(*) FROM reports GROUP BY state ORDER BY state")
    assert [tuple(row) for row in rows] == [("counts", 1), ("replaced", 2)]
    assert await aggregation.pool.fetchval("SELECT array_agg(line_id) FROM usage_lines") == ["L3"]


async def test_an_older_report_that_completes_late_is_replaced_when_the_newer_one_completes(
    aggregation: Running, group: Conversation, buyer_id: UUID
) -> None:
    older_id, newer_id = uuid4(), uuid4()
    await group.say(group.report(buyer_id, a_line("L1"), report_id=older_id, parts=2))
    await group.say(group.report(buyer_id, a_line("L3"), report_id=newer_id, parts=2))
    await group.say(group.report(buyer_id, a_line("L2"), report_id=older_id, part=2, parts=2))
    await group.say(group.report(buyer_id, a_line("L4"), report_id=newer_id, part=2, parts=2))
    assert [one.report_id for one in group.events(UsageReported)] == [older_id, newer_id]
    counting = await aggregation.pool.fetchval("SELECT report_id FROM reports WHERE state = 'counts'")
    assert counting == newer_id


async def test_a_group_reports_one_period(group: Conversation, buyer_id: UUID) -> None:
    other_id = uuid4()
    await group.say(group.joining(other_id))
    await group.say(group.report(buyer_id))
    await group.say(group.report(other_id, period=JUNE))
    assert group.refusals() == ["period_differs"]
    await group.say(group.report(buyer_id, period=JUNE))
    await group.say(group.report(other_id, period=JUNE))
    assert group.refusals() == ["period_differs"]
    assert len(group.events(UsageReported)) == 3


async def test_what_a_former_buyer_reported_does_not_count(
    aggregation: Running, group: Conversation, buyer_id: UUID
) -> None:
    await group.say(group.report(buyer_id))
    await group.say(RemoveBuyer(purchase_id=group.purchase_id, buyer_id=buyer_id))
    await group.say(group.report(buyer_id))
    await group.say(group.closing())
    assert group.refusals() == ["buyer_unknown", "no_buyers"]
    assert await aggregation.pool.fetchval("SELECT count(*) FROM usage_lines") == 0
