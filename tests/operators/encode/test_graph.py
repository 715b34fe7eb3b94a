"""Graphs that OpenVINO computes: the vectors of torch, exported once, checked each time."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError
from safetensors.numpy import load_file, save_file

from cluster.execute import run_pipeline
from cluster.local import LocalRunner
from cluster.progress import Progress
from operators.arrays import to_matrix
from operators.base import Resources
from operators.encode.encode import Encode
from operators.encode.graph import RUNTIMES
from operators.errors import ModelError
from operators.model import Model
from operators.teach.teach import Teach
from operators.text.tokenizer import Tokenize
from pipelines.fingerprint import step_identity
from tests.pipeline_builders import (
    built,
    good_rows,
    lineage_of,
    lines,
    rows_of,
    vectors_phase,
    write_files,
)
from tests.tiny_models import BUILDERS, build_bert

KINDS = ("bert", "gpt2", "qwen3")
"""Positions in a table, positions that are counted, positions that rotate."""
TEXTS = ["the fox", "a", "the lazy dog of the fox and 12% " * 9, "why the fox " * 40]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of graphs that is empty at first."""
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def vectors(folder: Path, token_budget: int = 0, **fields: str) -> np.ndarray:
    model, on = Model(str(folder)), Resources(token_budget=token_budget)
    table = pa.table({"id": [*"abcd"], "text": TEXTS})
    with Tokenize(model).open() as tokenize, Encode(model, **fields).open(on) as encode:
        return to_matrix(encode(tokenize(table))["embedding"], 32)


@pytest.mark.parametrize("kind", KINDS)
def test_a_graph_gives_the_vectors_of_torch(tmp_path, kind):
    folder = BUILDERS[kind](tmp_path / kind)
    exact = vectors(folder)
    for backend in RUNTIMES:
        np.testing.assert_allclose(vectors(folder, backend=backend), exact, atol=1e-5)


def test_bf16_stays_near_fp32(tmp_path):
    folder = build_bert(tmp_path / "bert")
    found = vectors(folder, backend="openvino", precision="bf16")
    assert (found * vectors(folder)).sum(1).min() > 0.999


def test_int8_stays_near_fp32_and_packing_changes_no_row(tmp_path):
    folder = build_bert(tmp_path / "bert")
    found = [
        vectors(folder, backend="openvino", precision="int8", token_budget=budget)
        for budget in (1, 4096)
    ]
    assert (found[0] * vectors(folder)).sum(1).min() > 0.99
    assert not np.array_equal(found[0], vectors(folder, backend="openvino"))
    assert (found[0] * found[1]).sum(1).min() > 0.9999


def test_a_graph_is_exported_once_and_anew_for_other_weights(tmp_path, cache):
    folder = build_bert(tmp_path / "bert")
    first = vectors(folder, backend="openvino")
    (graph,) = cache.glob("graphs/*/graph.xml")
    made = graph.stat().st_mtime_ns
    np.testing.assert_array_equal(vectors(folder, backend="openvino"), first)
    assert graph.stat().st_mtime_ns == made
    other = build_bert(tmp_path / "other", seed=1)
    assert not np.allclose(vectors(other, backend="openvino"), first, atol=1e-3)
    assert len([*cache.glob("graphs/*")]) == 2


def test_a_graph_that_gives_other_numbers_than_torch_is_refused(tmp_path, cache):
    folder = build_bert(tmp_path / "bert")
    vectors(folder, backend="openvino")
    (path,) = cache.glob("graphs/*/reference.safetensors")
    kept = load_file(path)
    save_file({**kept, "wanted": -kept["wanted"]}, path)
    with pytest.raises(ModelError, match="OpenVINO gives other numbers than torch"):
        vectors(folder, backend="openvino")


REFUSED = [
    ("openvino", "fp16", "computes in fp32 or bf16 or int8, not in fp16"),
    ("onnxruntime", "int8", "computes in fp32, not in int8"),
    ("torch", "int8", "computes in fp32 or bf16 or fp16, not in int8"),
]


@pytest.mark.parametrize(("backend", "precision", "told"), REFUSED)
def test_a_precision_is_refused_with_those_the_backend_has(backend, precision, told):
    for step in (Encode, Teach):
        with pytest.raises(ValidationError, match=told):
            step(Model("m"), precision=precision, backend=backend)


def test_a_backend_is_identity_and_torch_is_what_it_was_without_a_name(tmp_path):
    model = Model(str(build_bert(tmp_path / "bert")))
    plain, graph = step_identity(Encode(model)), step_identity(Encode(model, backend="openvino"))
    assert set(plain["backend"]) == {"torch", "transformers"}
    assert set(graph["backend"]) == {"torch", "transformers", "openvino"}
    assert {**plain, "backend": None} == {**graph, "backend": None}


def test_several_workers_that_export_at_once_end_with_one_graph(tmp_path, cache):
    folder = build_bert(tmp_path / "bert")
    script = (
        "import sys\n"
        "from operators.encode.encode import Encode\nfrom operators.model import Model\n"
        "with Encode(Model(sys.argv[1]), backend='openvino').open():\n    print('opened')\n"
    )
    workers = [
        subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    assert [worker.communicate(timeout=300)[0] for worker in workers] == [b"opened\n"] * 2
    assert len([*cache.glob("graphs/*")]) == 1


def test_a_phase_on_a_graph_commits_vectors_and_names_the_backend(tmp_path, tiny_model):
    docs = write_files(f"{tmp_path}/docs", {"a.jsonl": lines(good_rows(0, 20))})
    tables = []
    for backend in ("torch", "openvino"):
        keep = {"scheme": "int8", "keep_embedding": True}
        phase = vectors_phase(
            docs, f"{tmp_path}/{backend}", encode={"backend": backend}, quantize=keep
        )
        run_pipeline(built(tiny_model, vectors=phase), LocalRunner(), Progress(quiet=True))
        tables.append(rows_of(f"{tmp_path}/{backend}"))
    a, b = (to_matrix(table["embedding"], 32) for table in tables)
    np.testing.assert_allclose(a, b, atol=1e-5)
    encode = lineage_of(f"{tmp_path}/openvino")["readable"]["steps"][1]
    assert "openvino" in encode["backend"]
