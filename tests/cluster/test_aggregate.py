"""A table of passages becomes one of documents, wherever the passages lie."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml

from cluster.commands import runner_named
from cluster.execute import Result, run_pipeline
from cluster.progress import Progress
from operators import columns
from operators.aggregate.aggregate import states_of
from operators.arrays import to_matrix, whole
from operators.beside import Beside, pinned
from operators.errors import ConfigError, GateError
from operators.storage.table import Table
from operators.text.fetch import fetch
from operators.text.origin import texts_of
from pipelines.config import parse
from pipelines.forecast import forecasts
from pipelines.verify import verify_table
from tests.pipeline_builders import config, ids_of, lines, rows_of, run_folder, write_files

RAY = pytest.param("ray", marks=pytest.mark.ray)
METHODS = ("mean", "max", "gde")
DOCUMENTS = [
    {
        "id": f"doc{n:02d}",
        "text": " ".join(f"Sentence {n} {part} of the text." for part in range(n % 7 + 1)),
    }
    for n in range(24)
]
ENCODED: list[dict[str, Any]] = [{"tokenize": {"model": "tiny"}}, {"encode": {"model": "tiny"}}]
CUT = {"passages": {"model": "tiny", "tokens": 24, "overlap": 4}}


def run(text: str, runner: str = "local") -> Result:
    return run_pipeline(parse(text), runner_named(runner, ""), Progress())[-1]


def joined(source: str, table: str, runner: str = "local", **fields: Any) -> Result:
    gate = {"max_bad_rows": 0, "norm": [0.99, 1.01], **fields.pop("gate", {})}
    phase = {
        "read": {"uri": source, "unit_bytes": 2000},
        "steps": [{"aggregate": fields}],
        "write": {"table": table, "gate": gate},
    }
    return run(yaml.safe_dump({"phases": {"documents": phase}}), runner)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("corpus"))
    return write_files(folder, {"a.jsonl": lines(DOCUMENTS[:10]), "b.jsonl": lines(DOCUMENTS[10:])})


@pytest.fixture(scope="module")
def passages(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, corpus: str) -> str:
    """A table of passages, in several files."""
    table = str(tmp_path_factory.mktemp("passages"))
    phase = {
        "read": {"uri": corpus, "unit_bytes": 500},
        "steps": [CUT, *ENCODED],
        "write": {"table": table},
    }
    run(config(tiny_model, passages=phase))
    return table


@pytest.fixture(scope="module")
def scattered(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> str:
    """A table of rows whose parents' parts come in any order, in many files."""
    folder = tmp_path_factory.mktemp("scattered")
    rows = [
        {"id": f"row{n:03d}", "parent_id": f"p{n % 9}", "text": f"the text of row {n}"}
        for n in np.random.default_rng(0).permutation(120)
    ]
    bounds = range(0, 121, 15)
    files = {f"{a:03d}.jsonl": lines(rows[a:b]) for a, b in pairwise(bounds)}
    phase = {
        "read": {"uri": write_files(str(folder / "docs"), files), "keep": ["parent_id"]},
        "steps": ENCODED,
        "write": {"table": str(folder / "vectors")},
    }
    phase["read"]["unit_bytes"] = 500
    run(config(tiny_model, vectors=phase))
    return str(folder / "vectors")


def by_hand(table: str, method: str) -> dict[str, tuple[int, np.ndarray]]:
    """Passages, and the raw vector, of each document."""
    rows = rows_of(table)
    matrix = to_matrix(rows["embedding"], 32).astype(np.float64)
    parents = np.array(rows["parent_id"].to_pylist())
    how = np.max if method == "max" else np.mean
    return {
        parent: (int((parents == parent).sum()), how(matrix[parents == parent], axis=0))
        for parent in np.unique(parents)
    }


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("source", ["passages", "scattered"])
def test_a_document_is_one_row_of_all_its_passages_over_all_units(
    source, method, tmp_path, request
):
    vectors, table = request.getfixturevalue(source), str(tmp_path / "documents")
    assert len(Table(vectors).files(0)) > 3
    result = joined(vectors, table, method=method)
    expected, found = by_hand(vectors, method), rows_of(table)
    assert result.counts is not None
    assert result.counts.rows_out == len(found)
    assert found["id"].to_pylist() == sorted(expected)
    assert found["passages"].to_pylist() == [expected[i][0] for i in sorted(expected)]
    raw = np.stack([expected[i][1] for i in sorted(expected)])
    np.testing.assert_allclose(states_of(found).vectors, raw, atol=1e-6)
    assert list(verify_table(table))


def test_the_units_of_that_run_did_cut_documents_in_two(passages, tmp_path):
    table = str(tmp_path / "documents")
    joined(passages, table)
    receipts = run_folder(table).receipts()
    assert len(list(Path(run_folder(table).path("amended")).iterdir())) > 1
    assert sum(receipt.rows_out for receipt in receipts.values()) == len(DOCUMENTS)


def test_in_the_phase_that_encodes_it_gives_the_same_documents(
    passages, corpus, tiny_model, tmp_path
):
    table, apart = str(tmp_path / "at-once"), str(tmp_path / "apart")
    phase = {
        "read": {"uri": corpus, "unit_bytes": 500},
        "steps": [CUT, *ENCODED, {"aggregate": {"method": "gde"}}],
        "write": {"table": table},
    }
    run(config(tiny_model, documents=phase))
    joined(passages, apart, method="gde")
    one, other = rows_of(table), rows_of(apart)
    alike = one.schema.remove_metadata().equals(other.schema.remove_metadata(), check_metadata=True)
    assert alike
    for name in ("id", "content_hash", "source_file", "source_row", "passages"):
        assert one[name].equals(other[name])
    np.testing.assert_allclose(
        to_matrix(one["embedding"], 32), to_matrix(other["embedding"], 32), atol=1e-5
    )


def test_a_document_has_the_hash_and_the_text_of_its_source(passages, corpus, tmp_path):
    table = str(tmp_path / "documents")
    joined(passages, table)
    plain = run_source(corpus)
    rows = rows_of(table)
    assert (
        dict(zip(*rows.select(["id", "content_hash"]).to_pydict().values(), strict=True)) == plain
    )
    source = texts_of(pinned(Beside(uri=table), {}))
    placed = [whole(rows[name]) for name in ("source_file", "source_row", "content_hash")]
    found = fetch(source, *placed)
    assert found.to_pylist() == [row["text"] for row in DOCUMENTS]


def run_source(corpus: str) -> dict[str, bytes]:
    """The content hash of each document as a source gives it."""
    from operators.text.hashes import content_hashes

    texts = pa.array([str(row["text"]) for row in DOCUMENTS])
    hashes = content_hashes(texts).to_pylist()
    return {str(row["id"]): each for row, each in zip(DOCUMENTS, hashes, strict=True)}


def test_a_second_version_joins_documents_again(scattered, tmp_path):
    table = str(tmp_path / "documents")
    joined(scattered, table)
    again = joined(scattered, table)
    assert (again.version, again.counts) == (0, None)
    other = joined(scattered, table, method="max")
    assert other.version == 1
    assert ids_of(table) == [f"p{n}" for n in range(9)]
    np.testing.assert_allclose(
        states_of(rows_of(table)).vectors,
        np.stack([vector for _, vector in by_hand(scattered, "max").values()]),
        atol=1e-6,
    )


def test_a_run_that_goes_on_after_joining_joins_alike(scattered, tmp_path):
    table = str(tmp_path / "documents")
    with pytest.raises(GateError, match="rows"):
        joined(scattered, table, gate={"min_rows": 1000})
    joined(scattered, table)
    expected = by_hand(scattered, "mean")
    assert rows_of(table)["passages"].to_pylist() == [expected[name][0] for name in ids_of(table)]


def test_a_step_behind_it_is_refused_before_anything_starts(passages, tmp_path):
    phase = {
        "read": {"uri": passages},
        "steps": [{"aggregate": {}}, {"quantize": {"scheme": "int8"}}],
        "write": {"table": str(tmp_path / "documents")},
    }
    with pytest.raises(ConfigError, match="quantize cannot follow it"):
        run(yaml.safe_dump({"phases": {"documents": phase}}))


def test_a_plan_tells_the_columns_before_there_is_a_table_of_passages(corpus, tiny_model, tmp_path):
    phases = {
        "cut": {
            "read": {"uri": corpus},
            "steps": [CUT, *ENCODED],
            "write": {"table": str(tmp_path / "passages")},
        },
        "documents": {
            "read": {"phase": "cut"},
            "steps": [{"aggregate": {"method": "gde"}}],
            "write": {"table": str(tmp_path / "documents")},
        },
    }
    told = list(forecasts(parse(config(tiny_model, **phases)), probe=False))
    assert told[1].schema.names[-4:] == ["passages", "length", "embedding", "deviation"]
    assert not any(tmp_path.iterdir())


@pytest.mark.ray
def test_on_ray_documents_are_joined_alike(ray_started, scattered, tmp_path):
    here, there = str(tmp_path / "local"), str(tmp_path / "ray")
    joined(scattered, here, method="gde")
    joined(scattered, there, "ray", method="gde")
    one, other = rows_of(here), rows_of(there)
    assert one["id"].equals(other["id"])
    assert one["passages"].equals(other["passages"])
    for name in ("embedding", "deviation"):
        assert columns.dim_of(one.schema.field(name)) == 32
        np.testing.assert_allclose(to_matrix(one[name], 32), to_matrix(other[name], 32), atol=1e-6)
