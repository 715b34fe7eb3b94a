"""Strategies of encoding from a config to a committed table, made once."""

import numpy as np
import pytest

from cluster.commands import runner_named
from cluster.execute import run_pipeline
from cluster.progress import Progress
from operators import columns
from operators.arrays import to_matrix
from operators.storage.table import Table
from pipelines.config import parse
from pipelines.verify import verify_table
from tests.pipeline_builders import config, good_rows, lines, rows_of, write_files
from tests.tiny_models import build_bert, build_llama

SHORT = 'of <PST> "{text}" is:"'
RUNS = {
    "2dmse": (build_bert, {"layers": 1, "dims": 12}, 12),
    "gem": (build_llama, {"tokens": 2, "pool": "concat"}, 64),
    "token-prepending": (build_llama, {"prompts": [SHORT], "stop": 2, "out": -1}, 32),
}


@pytest.mark.parametrize("kind", RUNS)
def test_a_strategy_becomes_a_table_once(tmp_path, kind):
    build, own, dim = RUNS[kind]
    docs = write_files(str(tmp_path / "docs"), {"a.jsonl": lines(good_rows(0, 12))})
    table = str(tmp_path / "vectors")
    steps = [
        {"tokenize": {"model": "tiny"}},
        {"encode": {"model": "tiny", "strategy": {"kind": kind, **own}}},
    ]
    phase = {"read": {"uri": docs, "unit_bytes": 600}, "steps": steps, "write": {"table": table}}
    text = config(build(tmp_path / "m"), vectors=phase)
    run_pipeline(parse(text), runner_named("local", ""), Progress())
    rows = rows_of(table)
    assert rows["id"].to_pylist() == [f"d{n:04d}" for n in range(12)]
    vectors = to_matrix(rows["embedding"], dim)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert len(np.unique(vectors.round(4), axis=0)) == 12
    field = Table(table).schema().field("embedding")
    assert columns.dim_of(field) == dim
    if kind == "2dmse":
        assert field.metadata[b"corpusmill.layers"] == b"1 of 2"
    assert list(verify_table(table))
    (again,) = run_pipeline(parse(text), runner_named("local", ""), Progress())
    assert (again.version, again.counts) == (0, None)
