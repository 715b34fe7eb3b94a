"""The operator that takes a table of vectors to another space."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from operators import columns
from operators.adapt.adapt import NOT_FINITE, Adapt
from operators.adapt.lengths import unit_length
from operators.adapt.linear import Linear
from operators.adapt.protocol import Pairs
from operators.adapt.registry import MAPS, map_class
from operators.arrays import to_column, to_matrix
from operators.base import Fitted, Operator
from operators.errors import ContractError, SourceError, TableError
from operators.quantize.artefact import SUFFIX, digest_of, packed
from operators.quantize.quantize import Quantize
from pipelines.fingerprint import digest, step_identity

MATRIX = np.random.default_rng(0).standard_normal((40, 10)).astype(np.float32)
MATRIX /= np.linalg.norm(MATRIX, axis=1, keepdims=True)
OTHER = np.random.default_rng(1).standard_normal((40, 10)).astype(np.float32)


def table_of(matrix: np.ndarray) -> pa.Table:
    schema = pa.schema([columns.ID, columns.embedding(matrix.shape[1]), columns.N_TOKENS])
    ids = pa.array([f"d{row}" for row in range(len(matrix))])
    return pa.table([ids, to_column(matrix), pa.array(range(len(matrix)), pa.int32())], schema)


def stored(folder: Path, scheme: str, pairs: Pairs) -> Adapt:
    data = packed(map_class(scheme)().fit(pairs))
    folder.mkdir(exist_ok=True)
    path = folder / (digest_of(data) + SUFFIX)
    path.write_bytes(data)
    return Adapt(scheme=scheme, artefact=str(path))


def through(table: pa.Table, step: Adapt | Quantize) -> pa.Table:
    with step.open() as transform:
        return transform(table)


@pytest.mark.parametrize("scheme", MAPS)
@pytest.mark.parametrize("rows", [0, 1, 40])
def test_the_output_has_the_schema_that_was_bound_and_rows_of_length_one(tmp_path, scheme, rows):
    step = stored(tmp_path, scheme, Pairs(MATRIX, OTHER))
    table = table_of(MATRIX[:rows])
    done = through(table, step)
    assert done.schema.equals(step.bind(table.schema), check_metadata=True)
    assert done["id"].equals(table["id"])
    lengths = np.linalg.norm(to_matrix(done["embedding"], 10), axis=1)
    assert np.allclose(lengths, 1, atol=1e-6)


def test_the_metadata_tells_the_dimensions_of_the_new_space(tmp_path):
    step = stored(tmp_path, "linear", Pairs(MATRIX, OTHER[:, :6]))
    done = through(table_of(MATRIX), step)
    assert columns.dim_of(done.schema.field("embedding")) == 6
    assert done.column_names == ["id", "embedding", "n_tokens"]


def test_a_row_is_mapped_the_same_in_any_unit(tmp_path):
    for scheme in MAPS:
        step = stored(tmp_path, scheme, Pairs(MATRIX, OTHER))
        whole = through(table_of(MATRIX), step)
        for size in (1, 7, 39):
            parts = [
                through(table_of(MATRIX).slice(start, size), step) for start in range(0, 40, size)
            ]
            assert pa.concat_tables(parts).combine_chunks().equals(whole)


@pytest.mark.parametrize("scheme", ["int8", "binary", "fp16"])
def test_codes_are_mapped_by_what_they_stand_for_and_go(tmp_path, scheme):
    step = stored(tmp_path, "orthogonal", Pairs(MATRIX, OTHER))
    done = through(through(table_of(MATRIX), Quantize(scheme=scheme)), step)
    assert done.column_names == ["id", "n_tokens", "embedding"] or scheme == "fp16"
    floats = to_matrix(through(table_of(MATRIX), step)["embedding"], 10)
    near = np.einsum("nd,nd->n", to_matrix(done["embedding"], 10), floats)
    assert near.min() > (0.5 if scheme == "binary" else 0.9999)


def test_no_code_of_the_old_space_stays_beside_the_new_vectors(tmp_path):
    step = stored(tmp_path, "orthogonal", Pairs(MATRIX, OTHER))
    both = through(table_of(MATRIX), Quantize(keep_embedding=True))
    assert through(both, step).column_names == ["id", "embedding", "n_tokens"]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_vector_that_is_not_finite_is_rejected_and_the_others_are_as_without_it(tmp_path, bad):
    step = stored(tmp_path, "linear", Pairs(MATRIX, OTHER))
    broken = MATRIX.copy()
    broken[4, 2] = bad
    done = through(table_of(broken), step)
    assert done["error"].is_valid().to_numpy().nonzero()[0] == [4]
    assert done["error"][4].as_py() == NOT_FINITE
    good = through(table_of(MATRIX), step)
    rest = [row for row in range(40) if row != 4]
    assert done["embedding"].take(rest).equals(good["embedding"].take(rest))


def test_another_map_is_another_identity_and_another_place_is_not(tmp_path):
    one = stored(tmp_path / "a", "linear", Pairs(MATRIX, OTHER))
    moved = stored(tmp_path / "b", "linear", Pairs(MATRIX, OTHER))
    other = stored(tmp_path / "a", "linear", Pairs(MATRIX, OTHER[::-1].copy()))
    assert one.artefact != moved.artefact
    assert digest(step_identity(one)) == digest(step_identity(moved))
    assert digest(step_identity(one)) != digest(step_identity(other))


def test_dimensions_that_the_map_does_not_take_are_refused_when_it_is_bound(tmp_path):
    step = stored(tmp_path, "linear", Pairs(MATRIX, OTHER))
    needed = "vectors of 10 dimensions, as the map .* takes them, but its input has vectors of 7"
    with pytest.raises(ContractError, match=needed):
        step.bind(table_of(MATRIX[:, :7]).schema)


def test_what_holds_no_vectors_is_refused(tmp_path):
    step = stored(tmp_path, "linear", Pairs(MATRIX, OTHER))
    with pytest.raises(ContractError, match="adapt needs column 'embedding' as vectors or their"):
        step.bind(pa.schema([columns.ID]))
    with pytest.raises(ContractError, match=r"no 'corpusmill.dim' there"):
        step.bind(pa.schema([pa.field("embedding", pa.list_(pa.float32()))]))
    with pytest.raises(ContractError, match="binary codes with a fitted artefact"):
        step.bind(pa.schema([columns.ID, columns.bits(10, "binary", "0f")]))


def test_an_artefact_of_another_map_or_none_is_refused(tmp_path):
    step = stored(tmp_path, "linear", Pairs(MATRIX, OTHER))
    with pytest.raises(TableError, match="it holds matrix, which is no adder map"):
        Adapt("adder", step.artefact).bind(table_of(MATRIX).schema)
    with pytest.raises(SourceError):
        Adapt("linear", str(tmp_path / "gone.safetensors")).bind(table_of(MATRIX).schema)
    path = Path(step.artefact)
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    with pytest.raises(TableError, match="its bytes have digest"):
        step.bind(table_of(MATRIX).schema)


def test_a_misspelt_map_or_no_artefact_is_refused_when_it_is_written():
    with pytest.raises(ValidationError, match="did you mean 'linear'"):
        Adapt("liner", "/x/0f.safetensors")
    with pytest.raises(ValidationError, match="artefact"):
        Adapt(scheme="linear", artefact="")


def test_it_is_an_operator_whose_map_was_fitted_elsewhere(tmp_path):
    step = stored(tmp_path, "linear", Pairs(MATRIX, OTHER))
    assert isinstance(step, Operator)
    assert not isinstance(step, Fitted)
    again = unit_length(Linear().apply(MATRIX, Linear().fit(Pairs(MATRIX, OTHER))))
    assert np.array_equal(to_matrix(through(table_of(MATRIX), step)["embedding"], 10), again)
