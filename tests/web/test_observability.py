"""The dashboard and the alert rules of docs/observability, against what `/metrics` has."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.worlds.universe import PLAIN, universe

_HERE = Path(__file__).parents[2] / "docs" / "observability"
_OPERATING = _HERE.parent / "operating.md"
_ALERTS, _DASHBOARD = _HERE / "alerts.yml", _HERE / "dashboard.json"
_PROMTOOL = shutil.which("promtool")
_TOKEN = "canary-metrics-token"
_NAME = re.compile(r"modal_runner_\w+")
_ENDS = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}

with_promtool = pytest.mark.skipif(_PROMTOOL is None, reason="promtool is not there; on Debian: apt install prometheus")


async def _exposed() -> Mapping[str, tuple[str, ...]]:
    """Each family that a real page has, and the names of its series."""
    async with universe(settings={"metrics_token": _TOKEN}) as it, httpx.AsyncClient(trust_env=False) as client:
        it.github.newest_runner = it.settings.runner_version
        it.push({"short": (PLAIN, 5)})
        await it.until_done()
        await it.sweep()
        url = str(it.app.hook_url).replace("/webhook", "/metrics")
        accepted = {"Accept": "application/openmetrics-text", "Authorization": f"Bearer {_TOKEN}"}
        page = (await client.get(url, headers=accepted)).text
    kinds = re.findall(r"^# TYPE (\S+) (\S+)$", page, re.MULTILINE)
    return {family: tuple(family + end for end in _ENDS[kind]) for family, kind in kinds}


def _panels() -> Iterator[dict[str, Any]]:
    for panel in json.loads(_DASHBOARD.read_text())["panels"]:
        if panel["type"] != "row":
            yield panel


def _shown() -> list[str]:
    """The expressions of the dashboard."""
    return [target["expr"] for panel in _panels() for target in panel["targets"]]


def _rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(_ALERTS.read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


async def test_dashboard_alerts_and_docs_name_the_metrics_that_there_are() -> None:
    exposed = await _exposed()
    there = {name for names in exposed.values() for name in names}
    shown = set(_NAME.findall(" ".join(_shown())))
    watched = {name for rule in _rules() for name in _NAME.findall(json.dumps(rule))}
    section = _OPERATING.read_text().split("## Metrics")[1].split("\n## ")[0]
    # Below the table's head.
    rows = [line.split("|")[2] for line in section.splitlines() if line.startswith("| ")][2:]
    told = {f"modal_runner_{name}" for row in rows for name in re.findall(r"`(\w+)`", row)}

    assert shown <= there
    assert watched <= there
    # Histograms by their family, as Prometheus' own documentation does.
    assert told == {names[0] if len(names) == 1 else family for family, names in exposed.items()}


def test_the_dashboard_asks_whichever_prometheus_is_chosen() -> None:
    dashboard = json.loads(_DASHBOARD.read_text())
    sources = [panel["datasource"] for panel in _panels()] + [
        target["datasource"] for panel in _panels() for target in panel["targets"]
    ]

    assert {each["uid"] for each in sources} == {"${datasource}"}
    assert [each["name"] for each in dashboard["templating"]["list"]] == ["datasource"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert all(panel["title"] and panel["description"] for panel in _panels())


def test_panels_lie_side_by_side() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(_DASHBOARD.read_text())["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}

        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_each_alert_says_what_to_do() -> None:
    assert all(set(rule["annotations"]) == {"summary", "action"} for rule in _rules())
    assert {rule["labels"]["severity"] for rule in _rules()} == {"critical", "warning"}


def _promtool(folder: Path, *arguments: str) -> str:
    command = [str(_PROMTOOL), *arguments]
    ran = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=60)  # noqa: S603
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@with_promtool
def test_the_alert_rules_do_what_their_tests_say() -> None:
    assert f"{len(_rules())} rules found" in _promtool(_HERE, "check", "rules", "alerts.yml")
    assert "SUCCESS" in _promtool(_HERE, "test", "rules", "alerts.test.yml")


@with_promtool
def test_prometheus_reads_each_expression_of_the_dashboard(tmp_path: Path) -> None:
    asked = [re.sub(r"\$__(rate_interval|range)", "5m", each) for each in _shown()]
    rules = [{"record": f"shown:{number}", "expr": each} for number, each in enumerate(asked)]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "shown", "rules": rules}]}))

    assert f"{len(asked)} rules found" in _promtool(tmp_path, "check", "rules", "rules.yml")
