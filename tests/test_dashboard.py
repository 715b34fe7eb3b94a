"""The dashboard shows what there is: every metric, and none that does not exist."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.metrics import LABELS, METRICS

DEPLOY = Path(__file__).parents[1] / "configs/deploy"
BOARD: dict[str, Any] = json.loads((DEPLOY / "grafana.json").read_text())
QUERIES = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
MONITOR, RULES = yaml.safe_load_all((DEPLOY / "monitoring.yaml").read_text())
ALERTS = [rule["expr"] for group in RULES["spec"]["groups"] for rule in group["rules"]]


def exported(name: str) -> str:
    """What Ray calls a metric."""
    return f"ray_{name}_total" if METRICS[name].kind == "counter" else f"ray_{name}"


def test_every_metric_is_shown_and_every_name_shown_exists():
    assert set(re.findall(r"ray_corpusmill_\w+", " ".join(QUERIES))) == set(map(exported, METRICS))


@pytest.mark.parametrize("query", [*QUERIES, *ALERTS])
def test_a_query_groups_and_selects_by_labels_that_its_metric_has(query):
    names = {name for name in METRICS if re.search(rf"\b{exported(name)}\b", query)}
    known = {*LABELS, *(METRICS[name].label for name in names)}
    used = {
        label.strip()
        for group in re.findall(r"by \(([^)]*)\)", query)
        for label in group.split(",")
    }
    used |= set(re.findall(r'(\w+)=~?"', query))
    assert set(re.findall(r"ray_corpusmill_\w+", query)) == {exported(name) for name in names}
    assert used <= known
    assert query.count("(") == query.count(")")


def test_counters_are_never_shown_as_gauges_nor_gauges_by_their_rate():
    for query in [*QUERIES, *ALERTS]:
        for name, metric in METRICS.items():
            if re.search(rf"(rate|increase)\({exported(name)}\b", query):
                assert metric.kind == "counter"


def test_panels_have_ids_places_and_titles_of_their_own():
    for key in ("id", "title"):
        values = [panel[key] for panel in BOARD["panels"]]
        assert len(values) == len(set(values))
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in BOARD["panels"]]
    assert len(places) == len(set(places))
    assert all(panel["description"] for panel in BOARD["panels"])


def test_variables_come_from_labels_that_every_metric_has():
    named = [each["name"] for each in BOARD["templating"]["list"] if each["type"] == "query"]
    assert named == ["pipeline", "run"]
    assert set(named) <= set(LABELS)


def test_prometheus_reads_the_file_that_ray_writes():
    from ray._private.ray_constants import PROMETHEUS_SERVICE_DISCOVERY_FILE

    (job,) = yaml.safe_load((DEPLOY / "prometheus.yaml").read_text())["scrape_configs"]
    (file,) = job["file_sd_configs"][0]["files"]
    assert Path(file).name == PROMETHEUS_SERVICE_DISCOVERY_FILE


def test_the_page_on_observing_names_every_metric():
    page = (DEPLOY.parents[1] / "docs/observe.md").read_text()
    told = set(re.findall(r"^\| `(corpusmill_\w+)", page, re.MULTILINE))
    assert told == set(METRICS)


def test_the_operators_monitor_takes_what_kuberay_opens_as_often_as_ray_reports():
    (endpoint,) = MONITOR["spec"]["podMetricsEndpoints"]
    assert endpoint == {"port": "metrics", "interval": "10s"}
    (wanted,) = MONITOR["spec"]["selector"]["matchExpressions"]
    assert wanted == {"key": "ray.io/cluster", "operator": "Exists"}
    assert {MONITOR["kind"], RULES["kind"]} == {"PodMonitor", "PrometheusRule"}
