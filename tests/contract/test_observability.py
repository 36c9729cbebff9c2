"""The twelve questions: complete, each with its panel and its alerts, each alert with its runbook, each figure real."""

import json
import re
from importlib import import_module
from pathlib import Path

import pytest
from prometheus_client import Gauge, generate_latest

from deploy.observability.questions import DASHBOARD, RUNBOOK, alerts, dashboard, questions
from services.bidding.opener.opening import Figures
from shared.telemetry import ANSWER_STEPS, Metrics, SlowestAnswer
from shared.waiting import Step, Waits

ROOT = Path(__file__).parents[2]
WITH_WAITS = ("aggregation", "rfp", "distribution", "bidding", "notification")
OF_JOBS = ("linepool_bidding_boxes_waiting_for_usage", "linepool_bidding_terms_waiting_for_document")
"""Figures that a job registers while it runs."""


def waits() -> list[Waits]:
    return [import_module(f"services.{name}.waiting").WAITS for name in WITH_WAITS]


def all_steps() -> list[Step]:
    return [step for one in waits() for step in one.steps]


def names_in(text: str) -> set[str]:
    return set(re.findall(r"linepool_[a-z_]+", text))


def families(metrics_page: str) -> set[str]:
    """Return every name that a query may use of what a page of figures shows."""
    found = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", metrics_page, re.MULTILINE):
        found |= {f"{name}{end}" for end in ("_bucket", "_count", "_sum")} if kind == "histogram" else {name}
    return found


def expressions() -> list[str]:
    return [panel.expr for one in questions() for panel in one.panels] + [one.expr for one in alerts()]


def test_there_are_twelve_questions_each_with_its_panel_and_its_alert() -> None:
    found = questions()
    assert len(found) == 12
    assert "which purchase is stuck" in found[0].question.lower()
    assert all(one.panels and one.alerts for one in found)
    names = [one.alert for one in alerts()]
    assert len(names) == len(set(names))


def test_every_alert_names_a_runbook_that_is_there() -> None:
    titles = re.findall(r"^### (\S+)$", (ROOT / RUNBOOK).read_text(), re.MULTILINE)
    assert sorted(titles) == sorted(one.alert for one in alerts())


def test_every_figure_that_is_asked_for_is_one_that_a_process_shows() -> None:
    page = generate_latest(Metrics.create("rfp").registry) + generate_latest(Figures().registry)
    shown = families(page.decode()) | set(OF_JOBS)
    assert set().union(*map(names_in, expressions())) <= shown
    assert not names_in("max(linepool_nobody_shows_this)") <= shown


def test_steps_and_queues_that_are_asked_for_are_ones_that_there_are() -> None:
    steps = {step.name for step in all_steps()}
    queues = {queue.name for one in waits() for queue in one.queues}
    for expression in expressions():
        for label, known in (("step", steps), ("queue", queues)):
            for asked in re.findall(rf'{label}=~?"([^"]+)"', expression):
                assert set(asked.split("|")) <= known, expression


def test_the_alert_for_a_stuck_purchase_knows_every_step_of_a_machine() -> None:
    stuck = next(one for one in alerts() if one.alert == "LinepoolPurchaseStuck")
    asked = re.search(r'step=~"([^"]+)"', stuck.expr)
    assert asked is not None
    assert set(asked[1].split("|")) == {step.name for step in all_steps() if step.who == "machine"}


def test_no_step_has_two_meanings_and_the_page_lists_them_all() -> None:
    names = [step.name for step in all_steps()]
    assert len(names) == len(set(names))
    page = (ROOT / "docs" / "observability.md").read_text()
    assert [name for name in names if f"`{name}`" not in page] == []


def test_no_figure_has_a_label_that_could_name_a_purchase_or_a_provider() -> None:
    for registry in (Metrics.create("rfp").registry, Figures().registry):
        for metric in registry._collector_to_names:
            labels = set(getattr(metric, "_labelnames", ()))
            assert labels <= {"consumer", "outcome", "kind", "state", "step", "queue", "service", "version"}


def test_panels_of_the_dashboard_do_not_cover_each_other() -> None:
    taken = set()
    panels = json.loads(dashboard())["panels"]
    for panel in panels:
        at = panel["gridPos"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert x < 24
                assert (x, y) not in taken, panel["title"]
                taken.add((x, y))
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert DASHBOARD.read_text() == dashboard()


@pytest.mark.parametrize(
    ("waited", "shown"), [(0.0, 1.0), (0.9, 1.0), (1.1, 2.0), (4.0, 5.0), (9e9, float("inf"))]
)
def test_how_long_a_provider_waited_is_rounded_up_and_quick_looks_like_nothing(
    waited: float, shown: float
) -> None:
    slowest = SlowestAnswer()
    assert slowest.at_most() == ANSWER_STEPS[0]
    slowest.note(waited)
    slowest.note(0.001)
    assert slowest.at_most() == shown


def test_a_slow_answer_is_forgotten_after_two_windows_and_not_after_one() -> None:
    slowest = SlowestAnswer(window_s=600)
    slowest.note(4)
    slowest.began -= 601
    assert slowest.at_most() == 5.0
    slowest.began -= 601
    assert slowest.at_most() == ANSWER_STEPS[0]


def test_a_figure_without_values_is_still_known_by_its_name() -> None:
    registry = Metrics.create("rfp").registry
    Gauge("linepool_made_up", "Made up.", ["kind"], registry=registry)
    assert "linepool_made_up" in families(generate_latest(registry).decode())
