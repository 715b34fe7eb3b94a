"""A table of an old model's vectors mapped to a new space: a table like any other."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from cluster.commands import runner_named
from cluster.execute import Result, run_pipeline
from cluster.progress import Progress
from operators import columns
from operators.adapt.lengths import unit_length
from operators.adapt.orthogonal import Orthogonal
from operators.adapt.protocol import Pairs
from operators.arrays import whole
from operators.beside import Beside, pinned
from operators.errors import ContractError
from operators.quantize.artefact import SUFFIX, digest_of, fetched, packed
from operators.quantize.codes import decoded
from operators.text.fetch import fetch
from operators.text.origin import texts_of
from pipelines.config import parse
from pipelines.verify import verify_table
from tests.pipeline_builders import (
    config,
    good_rows,
    lineage_of,
    lines,
    rows_of,
    vectors_phase,
    write_files,
)

RAY = pytest.param("ray", marks=pytest.mark.ray)
DIM = 16


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> str:
    """A table of int8 codes of 32 dimensions."""
    folder = tmp_path_factory.mktemp("old")
    docs = write_files(str(folder / "docs"), {"a.jsonl": lines(good_rows(0, 40))})
    phase = vectors_phase(docs, str(folder / "vectors"))
    run_pipeline(parse(config(tiny_model, vectors=phase)), runner_named("local", ""), Progress())
    return str(folder / "vectors")


def a_map(folder: Path, seed: int = 0) -> str:
    """A map from 32 to 16 dimensions, named by its digest."""
    drawn = np.random.default_rng(seed)
    pairs = Pairs(*(drawn.standard_normal((40, dim)).astype(np.float32) for dim in (32, DIM)))
    data = packed(Orthogonal().fit(pairs))
    (folder / (digest_of(data) + SUFFIX)).write_bytes(data)
    return str(folder / (digest_of(data) + SUFFIX))


def mapped(old: str, artefact: str, table: str, runner: str = "local") -> Result:
    phase = {
        "read": {"uri": old, "unit_bytes": 2000},
        "steps": [
            {"adapt": {"scheme": "orthogonal", "artefact": artefact}},
            {"quantize": {"scheme": "int8"}},
        ],
        "write": {"table": table, "gate": {"min_rows": 1.0}},
    }
    text = yaml.safe_dump({"phases": {"mapped": phase}})
    (result,) = run_pipeline(parse(text), runner_named(runner, ""), Progress())
    return result


@pytest.mark.parametrize("runner", ["local", RAY])
def test_old_codes_are_mapped_coded_and_committed(old, tmp_path, runner, request):
    if runner == "ray":
        request.getfixturevalue("ray_started")
    artefact, table = a_map(tmp_path), str(tmp_path / "mapped")
    result = mapped(old, artefact, table, runner)
    assert result.counts is not None
    assert result.counts.rows_out == 40
    before, after = rows_of(old), rows_of(table)
    for name in ("id", "content_hash", "source_file", "source_row", "n_tokens"):
        assert after[name].equals(before[name])
    assert columns.dim_of(after.schema.field("codes")) == DIM
    expected = unit_length(Orthogonal().apply(decoded(before), fetched(artefact)))
    assert np.einsum("nd,nd->n", unit_length(decoded(after)), expected).min() > 0.9999
    assert list(verify_table(table))
    again = mapped(old, artefact, table, runner)
    assert (again.version, again.counts) == (0, None)


def test_another_map_makes_another_version_and_another_place_none(old, tmp_path):
    table = str(tmp_path / "mapped")
    mapped(old, a_map(tmp_path), table)
    first = lineage_of(table)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert mapped(old, a_map(elsewhere), table).counts is None
    other = mapped(old, a_map(tmp_path, seed=1), table)
    assert other.version == 1
    assert lineage_of(table)["recipe"] != first["recipe"]
    assert lineage_of(table)["fingerprints"]["codec"] == first["fingerprints"]["codec"]
    assert first["readable"]["steps"][0]["artefact"] == Path(a_map(tmp_path)).name


def test_the_texts_of_a_mapped_table_are_those_of_the_old_one(old, tmp_path):
    table = str(tmp_path / "mapped")
    mapped(old, a_map(tmp_path), table)
    source = texts_of(pinned(Beside(table), {}))
    assert source == texts_of(pinned(Beside(old), {}))
    rows = rows_of(table).combine_chunks()
    names = ("source_file", "source_row", "content_hash")
    texts = fetch(source, *(whole(rows[name]) for name in names))
    assert texts.to_pylist() == [row["text"] for row in good_rows(0, 40)]


def test_vectors_that_changed_under_the_same_texts_are_mapped_anew(tmp_path, tiny_model):
    docs = write_files(str(tmp_path / "docs"), {"a.jsonl": lines(good_rows(0, 20))})
    source, table, artefact = str(tmp_path / "old"), str(tmp_path / "mapped"), a_map(tmp_path)
    for version, pooling in enumerate(("mean", "cls")):
        phase = vectors_phase(docs, source, encode={"pooling": pooling})
        text = config(tiny_model, vectors=phase)
        run_pipeline(parse(text), runner_named("local", ""), Progress())
        assert mapped(source, artefact, table).version == version
        expected = unit_length(Orthogonal().apply(decoded(rows_of(source)), fetched(artefact)))
        found = unit_length(decoded(rows_of(table)))
        assert np.einsum("nd,nd->n", found, expected).min() > 0.9999


def test_a_map_of_another_space_is_refused_before_anything_starts(old, tmp_path):
    table = str(tmp_path / "mapped")
    mapped(old, a_map(tmp_path), table)
    with pytest.raises(ContractError, match="vectors of 32 dimensions, as the map"):
        mapped(table, a_map(tmp_path), str(tmp_path / "twice"))
    assert not (tmp_path / "twice").exists()
