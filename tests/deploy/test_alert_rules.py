"""Each alert fires on what it is for, and is silent else; judged by Prometheus itself."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.observability.questions import RULES, Alert, alerts
from tests.deploy.promtool import promtool

ALERTS = {one.alert: one for one in alerts()}
pytestmark = pytest.mark.timeout(1200)  # the first use may build promtool


@pytest.fixture(scope="session")
def program() -> str:
    return promtool()


def minutes(duration: str) -> int:
    """Return a rule's `for` in whole minutes, up."""
    number, unit = re.fullmatch(r"(\d+)([mh])", duration).groups()  # type: ignore[union-attr]
    return int(number) * {"m": 1, "h": 60}[unit]


def run(program: str, folder: Path, alert: Alert, series: dict[str, str], expected: list[Any]) -> str:
    """Let promtool play the series, and return what it says where it finds something else."""
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "alert_rule_test": [
                    {
                        "eval_time": f"{minutes(alert.for_) + 15}m",
                        "alertname": alert.alert,
                        "exp_alerts": expected,
                    }
                ],
            }
        ],
    }
    file = folder / "test.yaml"
    file.write_text(yaml.safe_dump(test))
    ended = subprocess.run(
        [program, "test", "rules", str(file)], capture_output=True, text=True, check=False, timeout=60
    )
    return "" if ended.returncode == 0 else ended.stdout + ended.stderr


def expected_of(alert: Alert) -> list[Any]:
    return [
        {
            "exp_labels": {"severity": alert.severity, **alert.labels},
            "exp_annotations": {"summary": alert.summary, "runbook_url": alert.runbook},
        }
    ]


def test_prometheus_accepts_the_rules(program: str, tmp_path: Path) -> None:
    subprocess.run([program, "check", "rules", str(RULES)], check=True, timeout=60)
    broken = tmp_path / "rules.yaml"
    broken.write_text(RULES.read_text().replace("max by (step) (", "max by (step (", 1))
    assert subprocess.run([program, "check", "rules", str(broken)], check=False, timeout=60).returncode != 0


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_fires_on_what_it_is_for(program: str, tmp_path: Path, name: str) -> None:
    alert = ALERTS[name]
    assert run(program, tmp_path, alert, alert.fires, expected_of(alert)) == ""
    assert "FAILED" in run(program, tmp_path, alert, alert.fires, [])


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_is_silent_where_nothing_is_wrong(program: str, tmp_path: Path, name: str) -> None:
    assert run(program, tmp_path, ALERTS[name], ALERTS[name].silent, []) == ""


def test_every_panel_is_a_query_that_prometheus_understands(program: str, tmp_path: Path) -> None:
    board = json.loads((RULES.parent / "dashboard.json").read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    subprocess.run([program, "check", "rules", str(file)], check=True, timeout=60)
    assert len(queries) > 12
