"""Ray's Prometheus endpoint has what a run came to, to the number."""

import re
import time
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

from cluster.commands import runner_named
from cluster.execute import run_pipeline
from cluster.metrics import LABELS, METRICS, Metrics
from cluster.progress import Progress
from operators.storage.receipts import RunFolder
from pipelines.config import parse
from tests.pipeline_builders import (
    config,
    good_rows,
    lineage_of,
    lines,
    packed_lines,
    vectors_phase,
    write_files,
)

_SAMPLE = re.compile(r"ray_(corpusmill_\w+)\{(.*)\} (\S+)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')
Samples = dict[tuple[str, str], float]


def scraped() -> Samples:
    """Our metrics at the node's endpoint by name and own label, those of this file's pipeline."""
    import ray

    (node,) = ray.nodes()
    url = f"http://127.0.0.1:{node['MetricsExportPort']}/metrics"
    found: Samples = {}
    for name, labels, value in _SAMPLE.findall(urllib.request.urlopen(url).read().decode()):
        named = dict(_LABEL.findall(labels))
        if named.get("pipeline") == "seen":
            own = METRICS[name.removesuffix("_total")].label
            assert set(LABELS) <= named.keys()
            found[name, named[own] if own else ""] = float(value)
    return found


def waited_for(name: str, value: float) -> Samples:
    """The samples once a counter is that far: Ray collects every ten seconds."""
    for _ in range(120):
        samples = scraped()
        if samples.get((name, "")) == value:
            return samples
        time.sleep(0.5)
    raise AssertionError(f"{name} never became {value:g}: {samples}")


@pytest.mark.ray
def test_the_endpoint_on_ray_has_the_figures_of_the_commit(tmp_path, tiny_model, ray_started):
    rows = [*good_rows(0, 60), {"id": "long", "text": "word " * 300}, {"id": "e", "text": ""}]
    files = {"a.jsonl": lines(rows), "b.jsonl.gz": packed_lines(good_rows(60, 90))}
    source, table = write_files(str(tmp_path / "docs"), files), str(tmp_path / "vectors")
    text = config(tiny_model, vectors=vectors_phase(source, table, gate={"max_bad_rows": 0.5}))
    progress = Progress(quiet=True, watchers=[Metrics("seen")])
    run_pipeline(parse(text), runner_named("ray", ""), progress)
    counts = lineage_of(table)["counts"]
    folder = RunFolder(table, lineage_of(table)["run_key"])
    receipts = folder.receipts().values()
    samples = waited_for("corpusmill_rows_total", counts["rows_out"])
    assert counts["quarantined"] == 1
    assert counts["truncated"] >= 1
    expected = {
        "corpusmill_rows_read_total": counts["rows_in"],
        "corpusmill_tokens_total": counts["tokens"],
        "corpusmill_truncated_rows_total": counts["truncated"],
        "corpusmill_bytes_total": sum(shard.size for r in receipts for shard in r.shards),
        "corpusmill_units_waiting": 0,
        "corpusmill_model_tokens_total": counts["tokens"],
    }
    assert {name: samples[name, ""] for name in expected} == expected
    assert {
        label: value
        for (name, label), value in samples.items()
        if name == "corpusmill_quarantined_rows_total"
    } == counts["bad"]
    units = samples["corpusmill_units_planned", ""]
    assert samples["corpusmill_units_total", "finished"] == units > 2
    seconds = sum((Counter(receipt.seconds) for receipt in receipts), Counter())
    for step in ("read", "tokenize", "encode", "quantize", "write"):
        assert samples["corpusmill_step_seconds_total", step] == pytest.approx(seconds[step])
    padded = samples["corpusmill_padded_tokens_total", ""]
    share = 1 - counts["tokens"] / padded
    assert samples["corpusmill_padding_share", ""] == pytest.approx(share)
    assert 0 < samples["corpusmill_model_busy_share", "encode"] <= 1


def test_a_local_run_neither_needs_the_metrics_of_a_cluster_nor_imports_it(tmp_path, project):
    """In a process of its own: this one may have imported Ray for other tests."""
    import subprocess
    import sys

    write_files(str(tmp_path), {"a.jsonl": lines(good_rows(0, 5))})
    (tmp_path / "rows.yaml").write_text(
        f"phases: {{ rows: {{ read: {{ uri: {tmp_path}/a.jsonl }},"
        f" write: {{ table: {tmp_path}/rows }} }} }}"
    )
    code = (
        "import sys; from cluster.cli import status; "
        f"print(status(['run', '{tmp_path}/rows.yaml']), 'ray' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 False"


def test_every_metric_has_a_name_of_ours_and_no_ending_that_ray_adds():
    assert all(re.fullmatch(r"corpusmill(_[a-z]+)+", name) for name in METRICS)
    assert not [name for name in METRICS if name.endswith("_total")]
    source = (Path(__file__).parents[2] / "cluster/metrics.py").read_text()
    told = {f"corpusmill_{name}" for name in re.findall(r'\("(\w+)", (?:receipt|sum)', source)}
    told |= set(re.findall(r'"(corpusmill_\w+)"(?!: Metric)', source))
    assert told == set(METRICS)
