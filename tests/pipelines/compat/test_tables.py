"""Which documents of two tables are compared."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cluster.cli import status
from operators.arrays import to_matrix
from operators.errors import TableError
from pipelines.compat.tables import Version, opened, shared
from tests.pipeline_builders import config, good_rows, lines, rows_of, vectors_phase, write_files

NOBODY = pa.array([], pa.string())


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """`whole` and `cls` hold 60 documents, `part` the first 20, `edited` has ten other texts."""
    folder = tmp_path_factory.mktemp("tables")
    docs = write_files(str(folder / "docs"), {"a.jsonl": lines(good_rows(0, 60))})
    edited = [{**row, "text": f"new {row['text']}"} for row in good_rows(0, 10)]
    other = {"a.jsonl": lines([*edited, *good_rows(10, 60)])}
    phases = {
        "whole": vectors_phase(docs, str(folder / "whole")),
        "cls": vectors_phase(docs, str(folder / "cls"), encode={"pooling": "cls"}),
        "part": vectors_phase(docs, str(folder / "part"), read={"limit": 20}),
        "edited": vectors_phase(write_files(str(folder / "other"), other), str(folder / "edited")),
    }
    place = folder / "config.yaml"
    place.write_text(config(tiny_model, **phases))
    assert status(["run", str(place)]) == 0
    return folder


def both(tables: Path, *names: str) -> tuple[Version, Version]:
    old, new = (opened(str(tables / name)) for name in names)
    return old, new


def test_every_shared_document_has_its_own_vectors_of_both_tables(tables):
    old, new = both(tables, "whole", "cls")
    found = shared(old, new, 1000, NOBODY)
    assert sorted(found.ids.to_pylist()) == [f"d{n:04d}" for n in range(60)]
    for version, matrix in ((old, found.old), (new, found.new)):
        rows = rows_of(version.uri)
        floats = to_matrix(rows["codes"], 32) * np.asarray(rows["scale"])[:, None]
        order = np.argsort(found.ids.to_pylist())
        assert np.array_equal(matrix[order], floats.astype(np.float32))
    assert not np.array_equal(found.old, found.new)


def test_the_sample_is_bounded_holds_the_wanted_and_is_the_same_each_time(tables):
    old, new = both(tables, "whole", "cls")
    wanted = pa.array(["d0003", "d0044", "nowhere"])
    found = shared(old, new, 12, wanted)
    assert len(found) == 12
    assert {"d0003", "d0044"} <= set(found.ids.to_pylist())
    assert shared(old, new, 12, wanted).ids.equals(found.ids)
    assert set(shared(new, old, 12, wanted).ids.to_pylist()) == set(found.ids.to_pylist())
    assert not shared(old, new, 12, wanted, seed=1).ids.equals(found.ids)


@pytest.mark.parametrize("names", [("whole", "part"), ("part", "whole")])
def test_a_table_of_a_part_bounds_the_sample_on_either_side(tables, names):
    found = shared(*both(tables, *names), 15, NOBODY)
    assert len(found) == 15
    assert set(found.ids.to_pylist()) <= {f"d{n:04d}" for n in range(20)}


def test_documents_of_other_texts_are_left_out_and_counted(tables):
    found = shared(*both(tables, "whole", "edited"), 1000, NOBODY)
    assert found.changed == 10
    assert set(found.ids.to_pylist()) == {f"d{n:04d}" for n in range(10, 60)}


def test_the_steps_that_are_recorded_encode_queries(tables):
    version = opened(str(tables / "cls"))
    assert version.recipe.tokenize.role == "query"
    assert version.recipe.encode.pooling == "cls"
    assert version.column.dim == 32


def test_a_folder_that_is_no_table_is_named(tables):
    with pytest.raises(TableError, match="there is no Delta table"):
        opened(str(tables / "docs"))
