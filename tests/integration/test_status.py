"""What operators look at while everything runs: `linepool status`, figures, traces and log lines, of one purchase."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from deploy.observability.questions import alerts, questions
from shared.messages.bidding import BidBoxReady
from shared.messages.distribution import RequestDistributed
from tests.contract.test_observability import families, names_in
from tests.flow.purchase import Purchase, form, issue, verify
from tests.integration.collector import Collector, collector
from tests.integration.system import RealSystem, own_stack, running_system

LINEPOOL = Path(sys.executable).with_name("linepool")


@pytest.fixture(scope="module")
async def watched(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[RealSystem, Collector]]:
    """All processes on a stack of their own, sending their traces to a collector."""
    with collector() as traces, own_stack(tmp_path_factory.mktemp("watched")) as stack:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": traces.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "200"}
        async with running_system(stack, environment=environment) as system:
            yield system, traces


@pytest.fixture(scope="module")
async def purchase(watched: tuple[RealSystem, Collector]) -> Purchase:
    """A purchase that waits for the replies, after everything else came to rest."""
    system, _ = watched
    purchase = system.purchase()
    await form(system, purchase)
    snapshot = await issue(system, purchase, datetime.now(UTC) + timedelta(hours=1))
    await system.until(BidBoxReady, purchase.purchase_id)
    await verify(system, purchase, snapshot)
    await system.until(RequestDistributed, purchase.purchase_id)
    await system.rest()
    return purchase


async def linepool_status(system: RealSystem, *options: str) -> tuple[int, str]:
    services = system.services
    at = [f"--at={name}=http://127.0.0.1:{services.port(name)}" for name in services.names]
    process = await asyncio.create_subprocess_exec(
        str(LINEPOOL), "status", *at, *options, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, said.decode()


async def test_status_says_of_each_process_how_it_is_and_where_a_purchase_waits(
    watched: tuple[RealSystem, Collector], purchase: Purchase
) -> None:
    system, _ = watched
    code, said = await linepool_status(system, "--json")
    found: dict[str, Any] = json.loads(said)
    assert (code, found["troubles"]) == (0, [])
    assert {one["name"] for one in found["processes"]} == set(system.services.names)
    assert all(one["status"]["missing"] == "" for one in found["processes"])
    mine = [one for one in found["purchases"] if one["purchase_id"] == str(purchase.purchase_id)]
    assert [(one["step"], one["who"], one["stuck"]) for one in mine] == [("replies", "deadline", False)]
    assert 0 < mine[0]["age_s"] < 600
    _, shown = await linepool_status(system)
    assert "the deadline for replies" in shown
    assert "Nothing is wrong." in shown


async def test_every_figure_that_panels_and_alerts_ask_for_is_in_a_real_scrape(
    watched: tuple[RealSystem, Collector], purchase: Purchase
) -> None:
    system, _ = watched
    assert purchase
    shown = set()
    for name in system.services.names:
        shown |= families((await asyncio.to_thread(system.metrics, name)).decode())
    asked = [panel.expr for one in questions() for panel in one.panels] + [one.expr for one in alerts()]
    assert set().union(*map(names_in, asked)) - shown == set()


async def test_an_order_is_one_trace_through_outbox_and_kafka_and_log_lines_have_its_ids(
    watched: tuple[RealSystem, Collector], purchase: Purchase
) -> None:
    system, traces = watched
    about = str(purchase.purchase_id)

    def issuing() -> str | None:
        for _, span in traces.spans:
            attributes = {one.key: one.value.string_value for one in span.attributes}
            if attributes.get("linepool.type") == "linepool.issue-request.v1" and (
                attributes["linepool.purchase"] == about
            ):
                return span.trace_id.hex()
        return None

    def services_in(trace_id: str) -> set[str]:
        return {service for service, span in traces.spans if span.trace_id.hex() == trace_id}

    deadline = monotonic() + 30
    while (trace_id := issuing()) is None or not services_in(trace_id) >= {"rfp", "distribution", "bidding"}:
        assert monotonic() < deadline, "the spans did not come"
        await asyncio.sleep(0.1)
    spans = {span.span_id: span for _, span in traces.spans if span.trace_id.hex() == trace_id}
    roots = [span for span in spans.values() if span.parent_span_id not in spans]
    # The order itself was sent by this test, so its own span of sending is missing.
    assert {span.name for span in roots} == {"process rfp.rfp.commands"}
    lines = [
        json.loads(line)
        for name in ("rfp", "distribution", "bidding")
        for line in system.services.log(name).read_text().splitlines()
        if line.startswith("{")
    ]
    mine = [line for line in lines if line.get("trace_id") == trace_id]
    assert {line["service"] for line in mine} == {"rfp", "distribution", "bidding"}
    assert {line["purchase"] for line in mine} == {about}
    processed = {span.span_id.hex() for span in spans.values() if span.name.startswith("process ")}
    assert {line["span_id"] for line in mine if line["event"] == "handled"} <= processed


async def test_a_process_that_is_away_is_a_trouble_and_exit_code_1(
    watched: tuple[RealSystem, Collector], purchase: Purchase
) -> None:
    system, _ = watched
    assert purchase
    await asyncio.to_thread(system.services.stop_one, "notification")
    try:
        code, said = await linepool_status(system)
    finally:
        await asyncio.to_thread(system.services.start, "notification")
    assert code == 1
    assert "notification does not answer" in said
