"""What does not fit the cluster is refused with the sum, before anything starts."""

from pathlib import Path
from typing import Any

import pytest

from cluster.cli import status
from cluster.preflight import Node, check_fit, matches
from operators.base import Resources
from operators.encode.encode import Encode
from operators.errors import PreflightError
from operators.model import Model
from operators.text.tokenizer import Tokenize
from pipelines.spec import Step
from tests.pipeline_builders import config, good_rows, lines, vectors_phase, write_files

MODEL = Model("some/model")
TOKENIZE = Step(Tokenize(model=MODEL), Resources(workers=99, cpus=99))


def encode(**resources: Any) -> Step:
    return Step(Encode(model=MODEL), Resources(**resources))


@pytest.mark.parametrize(
    ("steps", "have"),
    [
        ([], {"CPU": 1}),
        ([TOKENIZE], {"CPU": 1}),
        ([TOKENIZE, encode(workers=3)], {"CPU": 4}),
        ([encode(workers=2, cpus=0.5)], {"CPU": 2}),
        ([encode(workers=2, gpus=1)], {"CPU": 3, "GPU": 2}),
        ([encode(memory=100)], {"CPU": 2, "memory": 100}),
        ([encode(workers=[3, 99])], {"CPU": 4}),
    ],
)
def test_pools_that_fit_beside_one_cpu_for_reading_and_writing_are_let_through(steps, have):
    check_fit(steps, [Node(have)])


@pytest.mark.parametrize(
    ("steps", "have", "sum_"),
    [
        ([encode(workers=4)], {"CPU": 4}, "4 encode workers × 1 + 1 to read and write = 5 CPUs"),
        (
            [encode(workers=2, cpus=2), encode(workers=3)],
            {"CPU": 4},
            "2 encode workers × 2 + 3 encode workers × 1 + 1 to read and write = 8 CPUs",
        ),
        ([encode(workers=3, gpus=1)], {"CPU": 9, "GPU": 2}, "3 encode workers × 1 = 3 GPUs"),
        ([encode(gpus=1)], {"CPU": 9}, "1 encode worker × 1 = 1 GPUs, and the cluster has 0"),
        (
            [encode(workers=2, memory=100)],
            {"CPU": 9, "memory": 150},
            "2 encode workers × 100 = 200 bytes, and the cluster has 150",
        ),
    ],
)
def test_pools_that_do_not_fit_are_refused_with_their_sum(steps, have, sum_):
    with pytest.raises(PreflightError) as caught:
        check_fit(steps, [Node(have)])
    assert sum_ in str(caught.value)
    assert caught.value.exit_code == 3


SMALL = Node({"CPU": 2.0, "memory": 50.0}, {"pool": "cpu"})
LARGE = Node({"CPU": 4.0, "GPU": 1.0, "memory": 90.0}, {"pool": "gpu", "zone": "a"})


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        (encode(cpus=5), "one encode worker asks for 5 CPUs, and the largest node has 4"),
        (encode(memory=100), "one encode worker asks for 100 bytes, and the largest node has 90"),
        (
            encode(gpus=2, workers=1),
            "one encode worker asks for 2 GPUs, and the largest node has 1",
        ),
        (encode(label_selector={"pool": "tpu"}), "no node has the labels pool=tpu"),
        (
            encode(cpus=2, workers=3, label_selector={"pool": "gpu"}),
            "3 encode workers × 2 = 6 CPUs, and nodes labelled pool=gpu have 4",
        ),
    ],
)
def test_what_fits_the_sum_but_no_node_or_not_the_labelled_ones_is_refused(step, sentence):
    with pytest.raises(PreflightError) as caught:
        check_fit([step], [SMALL, LARGE, SMALL])
    assert sentence in str(caught.value)


def test_workers_on_labelled_nodes_that_hold_them_are_let_through():
    gpu = encode(cpus=4, gpus=1, label_selector={"pool": "gpu"})
    check_fit([gpu, encode(label_selector={"pool": "!gpu"}, workers=2)], [SMALL, LARGE, SMALL])


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [("gpu", True), ("cpu", False), ("!cpu", True), ("in(cpu, gpu)", True), ("!in(gpu)", False)],
)
def test_labels_match_as_ray_matches_them(wanted, fits):
    assert matches({"pool": wanted}, LARGE.labels) is fits
    assert matches({"pool": wanted}, {}) is wanted.startswith("!")


@pytest.mark.ray
def test_on_ray_a_run_that_asks_for_more_than_the_cluster_has_exits_3_and_writes_nothing(
    tmp_path, tiny_model, ray_started, capsys
):
    docs = write_files(str(tmp_path / "docs"), {"a.jsonl": lines(good_rows(0, 5))})
    phase = vectors_phase(docs, str(tmp_path / "out"))
    phase["steps"][1]["resources"] = {"workers": 1000}
    place = tmp_path / "config.yaml"
    place.write_text(config(tiny_model, v=phase))
    assert status(["run", str(place), "--runner", "ray"]) == 3
    said = capsys.readouterr().err
    assert "1000 encode workers × 1 + 1 to read and write = 1001 CPUs, and the cluster has" in said
    assert not Path(tmp_path, "out").exists()
