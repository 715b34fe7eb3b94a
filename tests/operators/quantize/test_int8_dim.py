import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from operators.quantize.int8_dim import AffineVectors, Int8Dim

FINITE = st.floats(-(2.0**60), 2.0**60, width=32)


def opened(matrix: np.ndarray, artefact: dict[str, np.ndarray]) -> AffineVectors:
    scheme = Int8Dim()
    schema = pa.schema(scheme.fields(matrix.shape[1], ""))
    found = scheme.vectors(pa.table(scheme.apply(matrix, artefact), schema=schema), artefact)
    assert isinstance(found, AffineVectors)
    return found


@given(arrays(np.float32, (5, 4), elements=FINITE))
def test_within_the_learned_range_a_value_is_off_by_half_a_scale_at_most(matrix):
    artefact = Int8Dim().fit(matrix)
    meant = opened(matrix, artefact).take(np.arange(5)).astype(np.float64)
    rounding = (np.abs(matrix) + np.abs(artefact["offset"])) * 2.0**-20
    tiny = 127 * np.finfo(np.float32).tiny
    assert (np.abs(meant - matrix) <= artefact["scale"] / 2 + rounding + tiny).all()


def test_beyond_the_range_values_are_clipped_and_none_wraps_around():
    artefact = Int8Dim().fit(np.array([[-1, 0], [3, 0]], np.float32))
    vectors = opened(np.array([[99, 5], [-99, -5]], np.float32), artefact)
    assert vectors.codes.tolist() == [[127, 0], [-127, 0]]
    assert np.allclose(vectors.take(np.arange(2)), [[3, 0], [-1, 0]])


def test_a_bin_number_alone_is_never_a_score():
    sample = np.array([[-1, 0], [1, 100]], np.float32)
    vectors = opened(sample, Int8Dim().fit(sample))
    scores = vectors.scores(np.array([[1, 0], [0, 1]], np.float32), 0, 2)
    assert np.allclose(scores, [[-1, 1], [0, 100]], atol=1e-4)
