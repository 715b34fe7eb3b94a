"""A table whose vectors no network made: input vectors of a model, and metadata by hashes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.commands import runner_named
from cluster.execute import Result, run_pipeline
from cluster.progress import Progress
from operators import columns
from operators.arrays import to_matrix
from operators.errors import ContractError
from pipelines.config import parse
from pipelines.verify import verify_table
from tests.pipeline_builders import config, good_rows, lines, rows_of, write_files

SITES = ("north", "south", "")
ROWS = [{**row, "site": SITES[n % 3]} for n, row in enumerate(good_rows(0, 30))]


def run(model: Path, source: str, table: str, **unified: Any) -> Result:
    steps = [
        {"tokenize": {"model": "tiny"}},
        {"encode": {"model": "tiny", "strategy": {"kind": "static-l0"}}},
        {"unified-embedding": {"features": [{"column": "site", "chunks": 2}], **unified}},
    ]
    phase = {
        "read": {"uri": source, "keep": ["site"], "unit_bytes": 800},
        "steps": steps,
        "write": {"table": table},
    }
    return run_pipeline(parse(config(model, vectors=phase)), runner_named("local", ""), Progress())[
        0
    ]


def test_words_and_features_are_committed_and_made_again_alike(tiny_model, tmp_path):
    source, table = str(tmp_path / "docs"), str(tmp_path / "vectors")
    write_files(source, {"a.jsonl": lines(ROWS[:15]), "b.jsonl": lines(ROWS[15:])})
    run(tiny_model, source, table)
    rows = rows_of(table)
    features = to_matrix(rows["features"], columns.dim_of(rows.schema.field("features")))
    sites = np.array(rows["site"].to_pylist())
    np.testing.assert_allclose(np.linalg.norm(features[sites != ""], axis=1), 2**0.5, atol=1e-6)
    assert not features[sites == ""].any()
    assert len(np.unique(features, axis=0)) == 3
    lengths = np.linalg.norm(to_matrix(rows["embedding"], 32), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-5)
    assert "cosine 1.0" in list(verify_table(table))[-1]
    assert run(tiny_model, source, table).counts is None


def test_a_changed_file_gets_the_features_of_its_rows_anew(tiny_model, tmp_path):
    source, table = str(tmp_path / "docs"), str(tmp_path / "vectors")
    write_files(source, {"a.jsonl": lines(ROWS[:15]), "b.jsonl": lines(ROWS[15:])})
    run(tiny_model, source, table, into="embedding", scale=0.5)
    before = to_matrix(rows_of(table)["embedding"], 64)
    moved = [{**row, "site": "north"} for row in ROWS[15:]]
    write_files(source, {"b.jsonl": lines(moved)})
    assert run(tiny_model, source, table, into="embedding", scale=0.5).version == 1
    after = to_matrix(rows_of(table)["embedding"], 64)
    np.testing.assert_array_equal(after[:15], before[:15])
    np.testing.assert_array_equal(after[15:, :32], before[15:, :32])
    north = after[0, 32:]
    np.testing.assert_array_equal(after[15:, 32:], np.tile(north, (15, 1)))


def test_a_column_that_was_not_kept_is_told_before_anything_starts(tiny_model, tmp_path):
    source = write_files(str(tmp_path / "docs"), {"a.jsonl": lines(ROWS)})
    with pytest.raises(ContractError, match="name it in the source's keep"):
        run(tiny_model, source, str(tmp_path / "vectors"), features=[{"column": "colour"}])
