import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.errors import TableError
from operators.quantize.drawn import drawn
from operators.quantize.residual import ResidualCodec, centroids_of, packed_levels, unpacked_levels

UNIT = np.random.default_rng(2).standard_normal((900, 20)).astype(np.float32)
UNIT /= np.linalg.norm(UNIT, axis=1, keepdims=True)


def decoded(nbits: int) -> np.ndarray:
    scheme = ResidualCodec(nbits=nbits)
    artefact = scheme.fit(UNIT)
    table = pa.table(scheme.apply(UNIT, artefact), schema=pa.schema(scheme.fields(20, "")))
    assert len(table["codes"][0]) == 2 + -(-20 * nbits // 8)
    return scheme.decode(table, artefact)


@given(st.integers(1, 8), st.integers(1, 30), st.integers(0, 5), st.integers(0, 99))
def test_packed_levels_come_back(nbits, dim, rows, seed):
    levels = np.random.default_rng(seed).integers(0, 1 << nbits, (rows, dim)).astype(np.uint8)
    packed = packed_levels(levels, nbits)
    assert packed.shape == (rows, -(-dim * nbits // 8))
    assert np.array_equal(unpacked_levels(packed, nbits, dim), levels)


def test_the_first_value_lies_in_the_lowest_bits():
    assert packed_levels(np.array([[1, 2, 3, 0]], np.uint8), 2).tolist() == [[0b00111001]]


def test_decoded_vectors_have_length_one_and_come_nearer_with_every_bit():
    cosines = []
    for nbits in (1, 2, 4, 8):
        found = decoded(nbits)
        assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
        cosines.append(float(np.einsum("nd,nd->n", found, UNIT).mean()))
    assert cosines == sorted(cosines)
    assert cosines[-1] > 0.999


def test_buckets_hold_like_shares_of_the_held_out_residuals():
    artefact = ResidualCodec(nbits=2).fit(UNIT)
    centroids = artefact["centroids"]
    assert np.allclose(np.linalg.norm(centroids, axis=1), 1, atol=1e-6)
    held = drawn(UNIT)["rows"][::20]
    left = held - centroids[(held @ centroids.T).argmax(axis=1)]
    share = np.bincount(np.searchsorted(artefact["cutoffs"], left.ravel()), minlength=4) / left.size
    assert np.allclose(share, 0.25, atol=0.01)


def test_vectors_of_other_lengths_are_refused_since_their_length_would_be_lost():
    with pytest.raises(TableError, match="directions alone, and its vectors have lengths from 2"):
        ResidualCodec().fit(UNIT * 2)


@pytest.mark.parametrize(
    ("rows", "count"), [(1, 1), (64, 8), (1000, 64), (9500, 1024), (249_037, 4096)]
)
def test_centroids_go_by_the_sample_and_have_eight_rows_each(rows, count):
    assert centroids_of(rows) == count
    assert count <= max(1, rows / 8)


def test_a_vector_of_zeros_teaches_nothing_and_is_coded_like_the_others():
    mixed = np.vstack([UNIT[:400], np.zeros((2, 20), np.float32), UNIT[400:]])
    scheme, artefact = ResidualCodec(), ResidualCodec().fit(mixed)
    alone = ResidualCodec().fit(UNIT)
    assert all(np.array_equal(artefact[name], alone[name]) for name in alone)
    table = pa.table(scheme.apply(mixed, artefact), schema=pa.schema(scheme.fields(20, "")))
    found = scheme.decode(table, artefact)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    with pytest.raises(TableError, match="its vectors are zero throughout"):
        ResidualCodec().fit(mixed[400:402])
