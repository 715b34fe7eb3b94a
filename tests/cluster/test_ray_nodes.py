"""On a Ray of three nodes every phase runs, where its labels say, and makes the same tables."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
import yaml

from tests.chaos import nodes
from tests.chaos.trial import PHASES, compared, in_small_units
from tests.lake import beir
from tests.where import PLACED

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[nodes.Nodes]:
    with nodes.started(tmp_path_factory.mktemp("nodes"), {}) as cluster:
        yield cluster


def command(cluster: nodes.Nodes, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=nodes.PROJECT,
        env=cluster.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_every_phase_on_three_nodes_commits_what_one_process_does(three, embedded, tmp_path):
    lake = replace(embedded, root=tmp_path, name="")
    beir(tmp_path)
    config = in_small_units(lake.config(parts=2))
    for name, phase in config["phases"].items():
        for step in phase["steps"]:
            if {"encode", "teach", "mine"} & set(step):
                more = 2 if name == "documents" else 1
                on = {"workers": more, "cpus": 0.5, "label_selector": {"pool": "model"}}
                step["resources"] = on
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    run = ["-m", "cluster.cli", "run", str(path), "--runner", "ray", "--address", three.address]
    told = command(three, *run)
    assert [line.partition(":")[0] for line in told.splitlines()] == list(PHASES)
    for phase in PHASES[:2]:
        assert compared(lake.table(phase), embedded.table(phase)).same, phase
    calm = replace(lake, name="calm-")  # from the same vectors: a last bit may decide a rank
    calm.run("local")
    for phase in PHASES[2:]:
        assert compared(lake.table(phase), calm.table(phase)).same, phase
    assert transferred(three) > 0


def test_a_labelled_step_runs_on_the_nodes_with_the_label_and_workers_share_gpus(three, tmp_path):
    found = json.loads(command(three, "-m", "tests.where", three.address, str(tmp_path)))
    assert set(found["places"]) == {"model"}
    assert 1 < len(found["workers"]) <= PLACED.most  # one that starts late may find nothing to do
    assert set(found["gpus"]) == {PLACED.gpus}


def transferred(cluster: nodes.Nodes) -> float:
    """Bytes that the nodes' object stores received from each other, by their own metrics."""
    code = (
        "import json, ray, urllib.request as u\n"
        f"ray.init('{cluster.address}', logging_level='ERROR')\n"
        "ports = [n['MetricsExportPort'] for n in ray.nodes()]\n"
        "pages = [u.urlopen(f'http://127.0.0.2:{p}/metrics').read().decode() for p in ports]\n"
        "print(json.dumps(pages))"
    )
    pages: list[str] = json.loads(command(cluster, "-c", code).splitlines()[-1])
    lines = [line for page in pages for line in page.splitlines()]
    moved = [line for line in lines if line.startswith("ray_object_manager_bytes{")]
    return sum(float(line.rpartition(" ")[2]) for line in moved if 'Type="Received"' in line)
