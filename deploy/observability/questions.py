"""Reads questions.yaml, and writes what Prometheus and Grafana take: rules.yaml and dashboard.json."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from deploy.access.model import roles

_HERE = Path(__file__).parent
RULES = _HERE / "rules.yaml"
DASHBOARD = _HERE / "dashboard.json"
RUNBOOK = "docs/operations.md"
_WIDTH, _HEIGHT = 8, 8


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Panel(_Given):
    """One graph; `expr` is PromQL, `legend` and `unit` are Grafana's."""

    title: str
    unit: Literal["s", "short"]
    legend: str
    expr: str


class Alert(_Given):
    """One rule, with series on which it must fire and others on which it must not."""

    alert: str
    expr: str
    for_: Annotated[str, Field(alias="for")] = "0m"
    severity: Literal["critical", "warning", "info"]
    summary: str
    labels: dict[str, str]
    fires: dict[str, str]
    silent: dict[str, str]

    @property
    def runbook(self) -> str:
        """Where it stands what to do."""
        return f"{RUNBOOK}#{self.alert.lower()}"


class Question(_Given):
    """What an operator asks."""

    question: str
    answer: str
    panel: Panel
    more: tuple[Panel, ...] = ()
    alerts: tuple[Alert, ...]

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All its graphs."""
        return (self.panel, *self.more)


def questions() -> list[Question]:
    """Return all questions, in their order."""
    text = (_HERE / "questions.yaml").read_text()
    missing = " or ".join(f'absent(linepool_info{{service="{one.name}"}})' for one in roles())
    given = yaml.safe_load(text)
    for alert in (alert for one in given["questions"] for alert in one["alerts"]):
        alert["expr"] = alert["expr"].replace("{{services}}", missing)
    return [Question.model_validate(one) for one in given["questions"]]


def alerts() -> Iterator[Alert]:
    """Yield all alerts."""
    for one in questions():
        yield from one.alerts


def rules() -> str:
    """Return the file of rules that Prometheus loads."""
    written = [
        {
            "alert": one.alert,
            "expr": one.expr,
            "for": one.for_,
            "labels": {"severity": one.severity},
            "annotations": {"summary": one.summary, "runbook_url": one.runbook},
        }
        for one in alerts()
    ]
    head = "# Written by `python -m docs.generate` from questions.yaml.\n"
    return head + yaml.safe_dump(
        {"groups": [{"name": "linepool", "rules": written}]}, sort_keys=False, width=130
    )


def dashboard() -> str:
    """Return the dashboard that Grafana imports; it asks for the data source."""
    panels: list[dict[str, Any]] = []
    y = 0
    for number, one in enumerate(questions(), start=1):
        panels.append(_row(len(panels) + 1, f"{number}. {one.question}", y))
        for place, panel in enumerate(one.panels):
            panels.append(_graph(len(panels) + 1, panel, x=place * _WIDTH, y=y + 1))
        y += 1 + _HEIGHT
    found = {
        "uid": "linepool",
        "title": "Linepool",
        "tags": ["linepool"],
        "editable": False,
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [{"name": "datasource", "type": "datasource", "query": "prometheus"}]},
        "panels": panels,
    }
    return json.dumps(found, indent=1) + "\n"


def table() -> str:
    """Return the questions as a table for people."""
    lines = ["| question | where the answer stands | panels | alerts |", "| --- | --- | --- | --- |"]
    for number, one in enumerate(questions(), start=1):
        panels = "; ".join(panel.title for panel in one.panels)
        raised = ", ".join(f"[{alert.alert}](operations.md#{alert.alert.lower()})" for alert in one.alerts)
        lines.append(f"| {number}. {one.question} | {one.answer} | {panels} | {raised} |")
    return "\n".join(lines)


def _row(number: int, title: str, y: int) -> dict[str, Any]:
    place = {"h": 1, "w": 24, "x": 0, "y": y}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}


def _graph(number: int, panel: Panel, *, x: int, y: int) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "datasource": source,
        "gridPos": {"h": _HEIGHT, "w": _WIDTH, "x": x, "y": y},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": "A", "datasource": source, "expr": panel.expr, "legendFormat": panel.legend},
        ],
    }
