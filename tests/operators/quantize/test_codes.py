import numpy as np
import pyarrow as pa
import pytest

from operators import columns
from operators.arrays import to_column
from operators.errors import ContractError, TableError
from operators.quantize.artefact import SUFFIX, digest_of
from operators.quantize.codes import decoded, vectors_of
from operators.quantize.kernels import BitVectors, FloatVectors, Int8Vectors
from operators.quantize.quantize import Quantize

MATRIX = np.random.default_rng(0).standard_normal((20, 12)).astype(np.float32)


def floats() -> pa.Table:
    schema = pa.schema([columns.embedding(12)])
    return pa.table([to_column(MATRIX)], schema=schema)


def coded(table: pa.Table, step: Quantize) -> pa.Table:
    with step.open() as transform:
        return transform(table)


def test_plain_floats_are_opened_as_they_are() -> None:
    assert isinstance(vectors_of(floats()), FloatVectors)
    assert np.array_equal(decoded(floats()), MATRIX)


@pytest.mark.parametrize(("scheme", "kind"), [("fp16", FloatVectors), ("int8", Int8Vectors)])
def test_a_column_is_opened_by_what_its_metadata_says(scheme, kind) -> None:
    table = coded(floats(), Quantize(scheme=scheme))
    assert isinstance(vectors_of(table), kind)
    assert np.allclose(decoded(table), MATRIX, atol=0.02)


def test_the_finest_column_is_taken_unless_one_is_named() -> None:
    both = coded(coded(floats(), Quantize(scheme="binary", keep_embedding=True)), Quantize())
    assert both.column_names == ["bits", "codes", "scale"]
    assert isinstance(vectors_of(both), Int8Vectors)
    assert isinstance(vectors_of(both, "bits"), BitVectors)


def test_learned_bits_need_the_artefact_that_coded_them(tmp_path) -> None:
    step = Quantize(scheme="binary", center="median")
    data = step.fit(floats())
    path = tmp_path / (digest_of(data) + SUFFIX)
    path.write_bytes(data)
    table = coded(floats(), Quantize(scheme="binary", center="median", artefact=str(path)))
    bits = vectors_of(table, "bits", data)
    assert np.allclose(
        bits.take(np.arange(20)) > np.median(MATRIX, axis=0),
        decoded(table, "bits", data) > np.median(MATRIX, axis=0),
    )
    with pytest.raises(TableError, match="column bits: its bytes have digest none"):
        vectors_of(table, "bits")


def test_a_table_without_vectors_is_refused() -> None:
    with pytest.raises(ContractError, match="but its input has only id"):
        vectors_of(pa.table({"id": ["a"]}))
    with pytest.raises(ContractError, match="needs column 'bits'"):
        vectors_of(floats(), "bits")


def test_a_slice_of_several_chunks_is_opened_right() -> None:
    table = coded(floats(), Quantize(scheme="binary", keep_embedding=True))
    cut = pa.concat_tables([table.slice(3, 4), table.slice(11, 5)])
    rows = np.r_[3:7, 11:16]
    for column in ("embedding", "bits"):
        assert np.array_equal(decoded(cut, column), decoded(table, column)[rows])
