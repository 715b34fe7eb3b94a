import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from operators.quantize.binary import Binary

SMALL = st.floats(-2, 2, width=32)


def table_of(matrix: np.ndarray, artefact: dict[str, np.ndarray]) -> pa.Table:
    schema = pa.schema(Binary().fields(matrix.shape[1], ""))
    return pa.table(Binary().apply(matrix, artefact), schema=schema)


@given(arrays(np.float32, st.tuples(st.integers(0, 5), st.integers(1, 20)), elements=SMALL))
def test_bits_decode_to_signs_of_length_one(matrix) -> None:
    decoded = Binary().decode(table_of(matrix, {}), {})
    assert np.array_equal(decoded > 0, matrix > 0)
    assert np.allclose(np.linalg.norm(decoded, axis=1), 1, rtol=1e-5)


@given(arrays(np.float32, (5, 9), elements=SMALL), arrays(np.float32, (8, 9), elements=SMALL))
def test_bits_around_medians_decode_to_the_learned_levels(matrix, sample) -> None:
    artefact = Binary("median").fit(sample)
    decoded = Binary().decode(table_of(matrix, artefact), artefact)
    center, spread = np.median(np.unique(sample, axis=0), axis=0), artefact["spread"]
    above = matrix > center.astype(np.float32)
    assert np.allclose(decoded, np.where(above, center + spread, center - spread), atol=1e-6)


def test_medians_split_a_skewed_sample_in_halves_where_zero_does_not() -> None:
    sample = np.random.default_rng(0).normal(3, 1, (1000, 4)).astype(np.float32)
    artefact = Binary("median").fit(sample)
    table = table_of(sample, artefact)
    assert (Binary().decode(table, artefact) > artefact["center"]).mean() == pytest.approx(0.5)
    assert (Binary().decode(table_of(sample, {}), {}) > 0).mean() > 0.99


def test_fitting_does_not_depend_on_the_order_of_the_sample() -> None:
    sample = np.random.default_rng(0).standard_normal((101, 8)).astype(np.float32)
    first, second = Binary("median").fit(sample), Binary("median").fit(sample[::-1])
    assert np.array_equal(first["center"], second["center"])
    assert np.allclose(first["spread"], second["spread"], rtol=1e-6)


def test_zero_learns_nothing() -> None:
    assert not Binary().learns
    assert Binary().fit(np.ones((2, 2), np.float32)) == {}


def test_nine_dimensions_take_two_bytes() -> None:
    table = table_of(np.ones((2, 9), np.float32), {})
    assert table["bits"][0].as_py() == b"\xff\x80"
    assert table.schema.field("bits").type == pa.binary()


def test_medians_of_other_dimensions_are_refused() -> None:
    artefact = Binary("median").fit(np.ones((2, 3), np.float32))
    with pytest.raises(ValueError, match="bits of 4 dimensions cannot be read with 3 medians"):
        Binary().apply(np.ones((1, 4), np.float32), artefact)
