"""The dashboard and the rules that operators load: each metric in them is exported, each expression is PromQL."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from server.jobs import JobStore
from server.lean.series import Resolution
from server.observability.baseline import Baseline, Cost
from server.observability.metrics import DAY_OUTCOMES, DOWNLOAD_OUTCOMES, Metrics
from server.plugins.manager import BUILT_IN
from tests.support.programs import program

FOLDER = Path(__file__).parents[2] / "docs" / "observability"
RULES = FOLDER / "prometheus-rules.yml"
OF_PROMETHEUS = {"up", "ALERTS"}
HEADINGS = ("What is exported", "The limits of a rollout")

_NAME = re.compile(r"(?<![\w:$\"{])[a-zA-Z_:][\w:]*(?=\s*[{\[]|\s*$|\s*[)/>=,+-])")
_LABELS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")


@pytest.fixture
def exported() -> Iterator[dict[str, set[str]]]:
    """The labels of each series that a server with the built-in providers exports."""
    store = JobStore(None, lambda: datetime(2024, 6, 3, tzinfo=UTC))
    baseline = Baseline({("polygon", Resolution.MINUTE): Cost(1.0, 0.1)})
    body, _ = Metrics(providers=[name.replace("_", "-") for name in BUILT_IN], store=store, baseline=baseline).render()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    yield found
    store.close()


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    return json.loads((FOLDER / "grafana-dashboard.json").read_bytes())


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def panel_expressions() -> list[str]:
    """Each expression of the dashboard, its variables filled in as Grafana does it."""
    found = [target["expr"] for panel in panels() for target in panel["targets"]]
    found += [one["expr"] for one in dashboard()["annotations"]["list"]]
    return [re.sub(r"\$(job|provider|resolution)\b", ".*", expr.replace("$__rate_interval", "1m")) for expr in found]


def metrics_of(expression: str) -> set[str]:
    """The names of the series that an expression reads."""
    return {name for name in _NAME.findall(_LABELS.sub("", expression)) if "_" in name or name in OF_PROMETHEUS}


def matched_labels(expression: str) -> dict[str, set[str]]:
    """The labels that an expression looks at, by the series' name."""
    found: dict[str, set[str]] = {}
    for name, matchers in re.findall(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}", expression):
        found.setdefault(name, set()).update(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
    return found


def outcomes_of(expression: str) -> Iterator[tuple[str, str]]:
    """The outcomes that an expression asks for, each with the series' name."""
    for name, values in re.findall(r'(\w+)\{[^}]*outcome=~?"([^"]*)"', expression):
        yield from ((name, value) for value in values.split("|"))


def recorded() -> set[str]:
    return {rule["record"] for rule in rules() if "record" in rule}


def all_expressions() -> list[str]:
    return [*(rule["expr"] for rule in rules()), *panel_expressions()]


def test_names_are_found() -> None:
    """The search for names sees metrics, and neither functions nor labels."""
    assert metrics_of('sum by (le, a_label) (rate(some_seconds_bucket{x="a_b"}[1h])) / other_total > 0') == {
        "some_seconds_bucket",
        "other_total",
    }
    assert metrics_of("sum by (job) (increase(a_total[1h]))\n/\n(b_total > 0)") == {"a_total", "b_total"}
    assert metrics_of('job:a_b:ratio1h{job=~".*"}') == {"job:a_b:ratio1h"}


def test_each_metric_named_is_exported(exported: dict[str, set[str]]) -> None:
    """What rules and panels read is exported by the server, recorded by a rule, or Prometheus's own."""
    named = set().union(*map(metrics_of, all_expressions()))

    assert len(named) >= 20
    assert named - set(exported) - recorded() - OF_PROMETHEUS == set()
    assert {rule["expr"].split(" ")[0] for rule in rules() if rule.get("alert", "").endswith("Fail")} <= recorded()


def test_each_metric_exported_is_shown(exported: dict[str, set[str]]) -> None:
    """Every metric of ours is in a panel, by itself or through a rule's record."""
    sources = {rule["record"]: metrics_of(rule["expr"]) for rule in rules() if "record" in rule}
    shown = set().union(*map(metrics_of, panel_expressions()))
    shown |= set().union(*(sources[name] for name in shown & set(sources)))
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in shown}

    ours = {re.sub(r"_(bucket|count|sum)$", "", name) for name in exported if name.startswith("backtest_server_")}
    assert ours - families == set()


def test_each_metric_is_explained(exported: dict[str, set[str]]) -> None:
    """The operators' page has each metric of ours with its labels, each alert, and no other; its links lead on."""
    text = (FOLDER / "README.md").read_text("utf-8")
    metrics, alerts = (text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0] for heading in HEADINGS)
    cells = re.findall(r"^\| `(\w+)` \| ([^|]*) \|", metrics, re.MULTILINE)
    documented = {f"backtest_server_{name}": set(re.findall(r"`(\w+)`", labels)) for name, labels in cells}
    ours: dict[str, set[str]] = {}
    for name, labels in exported.items():
        if name.startswith("backtest_server_"):
            ours.setdefault(re.sub(r"_(bucket|count|sum)$", "", name), set()).update(labels - {"le"})

    assert documented == ours
    assert set(re.findall(r"^\| `(\w+)` \|", alerts, re.MULTILINE)) == {rule.get("alert") for rule in rules()} - {None}
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert (FOLDER / link).exists(), link
    assert set(re.findall(r"`([\w-]+\.(?:ya?ml|json))`", text)) >= {
        path.name for path in FOLDER.iterdir() if path.name != "README.md"
    }


def test_each_label_named_is_exported(exported: dict[str, set[str]]) -> None:
    """A label that an expression looks at is on the series, or Prometheus adds it; an outcome is one that there is."""
    added = {"job", "instance"}
    for expression in all_expressions():
        for name, labels in matched_labels(expression).items():
            if name in exported:
                assert labels - exported[name] - added == set(), expression
        for name, outcome in outcomes_of(expression):
            there = DAY_OUTCOMES if name == "backtest_server_day_outcomes_total" else DOWNLOAD_OUTCOMES
            assert outcome in there, expression


def test_limits_are_those_of_the_rollout() -> None:
    """Alerts stand at an error rate of 5 %, of days and of downloads, and at 1.1 times the baseline."""
    alerts = {rule["alert"]: rule["expr"] for rule in rules() if "alert" in rule}

    assert alerts["BacktestServerDaysFail"].endswith("> 0.05")
    assert alerts["BacktestServerDownloadsFail"].endswith("> 0.05")
    assert alerts["BacktestServerDownloadsSlow"].endswith("> 1.1")


# --- promtool ---


def promtool(*arguments: str | Path, stdin: bytes = b"") -> None:
    done = subprocess.run(
        [program("promtool", "prometheus"), *map(str, arguments)], input=stdin, capture_output=True, timeout=60
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


def test_promtool_accepts_the_metrics() -> None:
    """Names, types and helps are as Prometheus's own linter wants them."""
    promtool("check", "metrics", stdin=Metrics(providers=["polygon"]).render()[0])


def test_promtool_accepts_the_rules() -> None:
    """The rules are well-formed, and each alert has a severity and words for people."""
    promtool("check", "rules", RULES)
    for rule in rules():
        if "alert" in rule:
            assert rule["labels"]["severity"] in ("critical", "warning", "info")
            assert set(rule["annotations"]) == {"summary", "description"}


def test_promtool_evaluates_the_rules() -> None:
    """On series of set values the records come to the right figures, and alerts fire over their limits only."""
    promtool("test", "rules", FOLDER / "prometheus-rules-test.yml")


def test_each_alert_is_evaluated() -> None:
    """Each alert has a case in which it fires, and the limits have one in which they do not."""
    tests = yaml.safe_load((FOLDER / "prometheus-rules-test.yml").read_text("utf-8"))["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}

    assert {case["alertname"] for case in cases if case["exp_alerts"]} == alerts
    assert alerts - {case["alertname"] for case in cases if not case["exp_alerts"]} <= {"BacktestServerBaselineMissing"}


def test_promtool_accepts_the_configuration() -> None:
    """The scrape configuration is Prometheus's, and names the rules next to it."""
    promtool("check", "config", "--syntax-only", FOLDER / "prometheus.yml")
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text("utf-8"))

    assert config["rule_files"] == [RULES.name]
    assert [scrape["job_name"] for scrape in config["scrape_configs"]] == ["backtest-server"]


def test_promtool_accepts_the_panels(tmp_path: Path) -> None:
    """Each expression of the dashboard is PromQL."""
    as_rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(panel_expressions())]
    path = tmp_path / "panels.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": as_rules}]}), encoding="utf-8")

    promtool("check", "rules", path)


# --- the dashboard's form ---


def test_dashboard_takes_any_data_source() -> None:
    """Every panel, variable and annotation uses the data source that is chosen on the dashboard."""
    variables = {variable["name"]: variable for variable in dashboard()["templating"]["list"]}
    chosen = {"type": "prometheus", "uid": "${datasource}"}

    assert variables["datasource"]["type"] == "datasource"
    assert all(variable["datasource"] == chosen for name, variable in variables.items() if name != "datasource")
    assert all(panel["datasource"] == chosen for panel in panels())
    assert all(target["datasource"] == chosen for panel in panels() for target in panel["targets"])
    assert all(one["datasource"] == chosen for one in dashboard()["annotations"]["list"])


def test_panels_lie_beside_each_other() -> None:
    """Identities are unique, no panel lies on another or beyond the edge, and all have a title and a unit."""
    every = dashboard()["panels"]
    cells = [
        (column, line)
        for panel in every
        for column in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for line in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]

    assert len({panel["id"] for panel in every}) == len(every)
    assert len(set(cells)) == len(cells)
    assert max(column for column, _ in cells) < 24
    assert all(panel["title"] and panel["fieldConfig"]["defaults"]["unit"] for panel in panels())


def test_grafana_is_provisioned_with_it() -> None:
    """The data source is Prometheus's service in compose.yaml, and dashboards come from where that mounts them."""
    sources = yaml.safe_load((FOLDER / "grafana-datasources.yml").read_text("utf-8"))["datasources"]
    providers = yaml.safe_load((FOLDER / "grafana-dashboards.yml").read_text("utf-8"))["providers"]
    compose = yaml.safe_load((FOLDER.parents[1] / "compose.yaml").read_text("utf-8"))["services"]
    mounted = [volume.split(":")[1] for volume in compose["grafana"]["volumes"]]

    assert [source["url"] for source in sources] == ["http://prometheus:9090"]
    assert [str(Path(target).parent) for target in mounted if target.endswith(".json")] == [
        provider["options"]["path"] for provider in providers
    ]
