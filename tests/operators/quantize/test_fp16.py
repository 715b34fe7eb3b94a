import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from operators.arrays import to_column
from operators.quantize.fp16 import Fp16

FINITE = st.floats(-(2.0**120), 2.0**120, width=32)


def table_of(matrix: np.ndarray) -> pa.Table:
    fields = Fp16().fields(matrix.shape[1], "")
    return pa.table(Fp16().apply(matrix, {}), schema=pa.schema(fields))


@given(arrays(np.float32, (3, 5), elements=st.floats(-1, 1, width=32)))
def test_a_value_is_the_nearest_half_float(matrix) -> None:
    decoded = Fp16().decode(table_of(matrix), {})
    assert decoded.dtype == np.float32
    assert np.array_equal(decoded, matrix.astype(np.float16))
    assert (np.abs(decoded - matrix) <= np.maximum(np.abs(matrix) * 2**-11, 2**-25)).all()


@given(arrays(np.float32, (2, 3), elements=FINITE))
def test_rounding_twice_changes_nothing_and_nothing_overflows(matrix) -> None:
    once = Fp16().decode(table_of(matrix), {})
    assert np.isfinite(once).all()
    assert np.array_equal(Fp16().decode(table_of(once), {}), once)


def test_the_column_is_single_precision_and_says_what_made_it() -> None:
    (field,) = Fp16().fields(4, "")
    assert field.type == to_column(np.zeros((1, 4), np.float32)).type
    assert field.metadata[b"corpusmill.scheme"] == b"fp16"
    assert field.metadata[b"corpusmill.dim"] == b"4"


def test_search_sees_the_rounded_values() -> None:
    table = table_of(np.array([[0.1, 0.2]], np.float32))
    scores = Fp16().vectors(table, {}).scores(np.array([[1.0, 0.0]], np.float32), 0, 1)
    assert scores[0, 0] == np.float32(np.float16(0.1))
    assert Fp16().fit(np.zeros((1, 2), np.float32)) == {}
