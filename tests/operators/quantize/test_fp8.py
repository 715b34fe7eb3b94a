import numpy as np
import pyarrow as pa
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from operators.quantize.fp8 import Fp8, Fp8Vectors

FINITE = st.floats(-(2.0**100), 2.0**100, width=32)
VANISHES = 448 * np.finfo(np.float32).tiny


def table_of(matrix: np.ndarray) -> pa.Table:
    schema = pa.schema(Fp8().fields(matrix.shape[1], ""))
    return pa.table(Fp8().apply(matrix, {}), schema=schema)


def opened(matrix: np.ndarray) -> Fp8Vectors:
    vectors = Fp8().vectors(table_of(matrix), {})
    assert isinstance(vectors, Fp8Vectors)
    return vectors


def test_every_code_stands_for_the_number_that_torch_reads_in_it() -> None:
    codes = np.arange(256, dtype=np.uint8)
    meant = Fp8Vectors(codes[:, None], np.ones(256, np.float32)).take(np.arange(256))[:, 0]
    read = torch.from_numpy(codes).view(torch.float8_e4m3fn).to(torch.float32).numpy()
    assert np.array_equal(meant, read, equal_nan=True)
    assert np.flatnonzero(np.isnan(meant)).tolist() == [127, 255]


@given(arrays(np.float32, (4, 6), elements=FINITE))
@example(np.array([[448, 464, 432, 2**-6, 2**-10, 1.5 * 2**-9]] * 4, np.float32) / np.float32(512))
def test_a_code_is_what_torch_rounds_the_value_over_its_scale_to(matrix) -> None:
    vectors = opened(matrix)
    scale = np.where(vectors.scales == 0, np.float32(np.inf), vectors.scales)[:, None]
    cast = torch.from_numpy(matrix / scale).to(torch.float8_e4m3fn).view(torch.uint8)
    assert np.array_equal(vectors.codes, cast.numpy())


@given(arrays(np.float32, (3, 6), elements=FINITE))
@example(np.array([[1e-45, 0], [-2e-38, 1e-38], [0, 0]], np.float32))
def test_the_error_is_a_sixteenth_of_a_value_or_a_thousandth_of_the_scale(matrix) -> None:
    table = table_of(matrix)
    scale = table["scale"].to_numpy().astype(np.float64)[:, None]
    size = np.abs(matrix.astype(np.float64))
    error = np.abs(Fp8().decode(table, {}) - matrix.astype(np.float64))
    bound = np.where(scale == 0, VANISHES, np.maximum(size / 16, scale / 1024))
    assert (error <= bound * (1 + 2**-20)).all()


@given(arrays(np.float32, (3, 6), elements=FINITE))
def test_the_scale_is_the_least_power_of_two_that_brings_all_values_within_448(matrix) -> None:
    greatest = np.abs(matrix).max(axis=1).astype(np.float64)
    scale = opened(matrix).scales.astype(np.float64)
    kept = greatest >= VANISHES
    assert np.array_equal(scale > 0, kept)
    assert (np.frexp(scale[kept])[0] == 0.5).all()
    ratio = greatest[kept] / scale[kept]
    assert ((ratio > 223.9999) & (ratio < 448.0001)).all()


@given(arrays(np.float32, (4, 6), elements=FINITE), st.permutations(range(4)))
def test_a_row_is_coded_the_same_among_any_others(matrix, order) -> None:
    assert np.array_equal(opened(matrix).codes[order], opened(matrix[order]).codes)
