import numpy as np
import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from operators.quantize.int8 import Int8
from operators.quantize.kernels import Int8Vectors

FINITE = st.floats(-(2.0**100), 2.0**100, width=32)
VANISHES = 127 * np.finfo(np.float32).tiny


def table_of(matrix: np.ndarray) -> pa.Table:
    schema = pa.schema(Int8().fields(matrix.shape[1], ""))
    return pa.table(Int8().apply(matrix, {}), schema=schema)


def codes_of(matrix: np.ndarray) -> np.ndarray:
    vectors = Int8().vectors(table_of(matrix), {})
    assert isinstance(vectors, Int8Vectors)
    return vectors.codes


@given(arrays(np.float32, (3, 6), elements=FINITE))
@example(np.array([[1e-45, 0], [-2e-38, 1e-38], [0, 0]], np.float32))
def test_the_error_of_a_value_is_at_most_half_a_scale(matrix) -> None:
    table = table_of(matrix)
    scale = table["scale"].to_numpy().astype(np.float64)[:, None]
    error = np.abs(Int8().decode(table, {}) - matrix.astype(np.float64))
    rounding = np.abs(matrix.astype(np.float64)) * 2**-22  # of the float32 arithmetic itself
    assert (error <= scale / 2 + rounding + np.where(scale == 0, VANISHES, 0)).all()


@given(arrays(np.float32, (3, 6), elements=FINITE))
def test_the_greatest_value_of_a_vector_has_code_127_and_none_has_more(matrix) -> None:
    greatest = np.abs(matrix).max(axis=1)
    codes = np.abs(codes_of(matrix).astype(int)).max(axis=1)
    assert np.array_equal(codes[greatest > VANISHES], np.full((greatest > VANISHES).sum(), 127))


@given(arrays(np.float32, (3, 6), elements=FINITE), st.integers(-20, 20))
def test_codes_do_not_depend_on_the_length_of_a_vector(matrix, exponent) -> None:
    matrix = np.where(np.abs(matrix).max(axis=1, keepdims=True) > 1e-20, matrix, 1)
    longer = matrix * np.float32(2.0**exponent)
    normal = (np.abs(longer) > 1e-30) | (longer == 0)
    assert np.array_equal(codes_of(matrix)[normal], codes_of(longer)[normal])


@given(arrays(np.float32, (4, 6), elements=FINITE), st.permutations(range(4)))
def test_a_row_is_coded_the_same_among_any_others(matrix, order) -> None:
    assert np.array_equal(codes_of(matrix)[order], codes_of(matrix[order]))


def test_a_zero_vector_has_scale_zero_and_decodes_to_zeros() -> None:
    table = table_of(np.zeros((2, 3), np.float32))
    assert np.array_equal(table["scale"].to_numpy(), [0, 0])
    assert np.array_equal(Int8().decode(table, {}), np.zeros((2, 3)))


def test_no_rows_give_no_codes() -> None:
    assert codes_of(np.zeros((0, 3), np.float32)).shape == (0, 3)
    assert Int8().fit(np.zeros((0, 3), np.float32)) == {}


def test_the_columns_are_a_list_of_bytes_and_a_scale() -> None:
    codes, scale = Int8().fields(3, "")
    assert (codes.type, scale.type) == (pa.list_(pa.int8()), pa.float32())
    assert codes.metadata[b"corpusmill.scheme"] == b"int8"
