"""Codewords: pq, opq and rvq."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.errors import ContractError
from operators.quantize.adc import AdditiveVectors, ProductVectors
from operators.quantize.kmeans import kmeans
from operators.quantize.opq import Opq
from operators.quantize.pq import Pq, blocks_of
from operators.quantize.protocol import Artefact, Scheme
from operators.quantize.rvq import Rvq

RANDOM = np.random.default_rng(3)
TURN = np.linalg.qr(RANDOM.standard_normal((16, 16)))[0]
SAMPLE = (RANDOM.standard_normal((1200, 16)) * 2.0 ** -np.arange(16) @ TURN).astype(np.float32)


def grid(seed: int, *shape: int) -> np.ndarray:
    """Multiples of 1/8: sums and products of them are exact in float32, in any order."""
    return np.random.default_rng(seed).integers(-8, 9, shape).astype(np.float32) / 8


def error_of(scheme: Scheme, sample: np.ndarray = SAMPLE, learned: Artefact | None = None) -> float:
    artefact = learned or scheme.fit(sample)
    schema = pa.schema(scheme.fields(sample.shape[1], ""))
    table = pa.table(scheme.apply(sample, artefact), schema=schema)
    apart = scheme.decode(table, artefact).astype(np.float64) - sample
    return float(np.square(apart).sum(axis=1).mean())


@given(st.integers(0, 99), st.integers(1, 6), st.integers(1, 20), st.integers(1, 40))
@settings(max_examples=40)
def test_table_sums_are_exactly_the_dot_products_with_decoded_vectors(seed, blocks, words, rows):
    codes = np.random.default_rng(seed).integers(0, words, (rows, blocks)).astype(np.uint8)
    product = ProductVectors(codes, grid(seed, blocks, words, 3))
    additive = AdditiveVectors(codes, grid(seed, blocks, words, 7))
    for vectors in (product, additive):
        queries = grid(seed + 1, 4, vectors.dim)
        meant = vectors.take(np.arange(rows))
        assert np.array_equal(vectors.scores(queries, 0, rows), queries @ meant.T)
        assert np.array_equal(vectors.values(1, rows), meant[1:])


def test_more_bytes_leave_less_error_and_a_learned_rotation_less_still():
    errors = [error_of(Pq(blocks)) for blocks in (1, 2, 4)]
    assert errors == sorted(errors, reverse=True)
    assert error_of(Opq(2)) < 0.7 * errors[1]


def test_words_are_as_near_as_those_of_faiss():
    faiss = pytest.importorskip("faiss", reason="the peer is not installed")
    peer = faiss.ProductQuantizer(16, 2, 8)
    peer.cp.min_points_per_centroid = 1
    peer.train(SAMPLE)
    apart = peer.decode(peer.compute_codes(SAMPLE)) - SAMPLE
    assert error_of(Pq(2)) < 1.05 * float(np.square(apart).sum(axis=1).mean())


def test_the_rotation_is_orthogonal():
    rotation = Opq(4).fit(SAMPLE)["rotation"].astype(np.float64)
    assert np.allclose(rotation @ rotation.T, np.eye(16), atol=1e-6)


def test_blocks_divide_the_dimensions():
    assert [blocks_of(dim, 0) for dim in (384, 768, 10, 7, 100)] == [48, 96, 1, 1, 10]
    assert blocks_of(384, 12) == 12
    with pytest.raises(ContractError, match="5 blocks divide"):
        blocks_of(384, 5)


def test_no_stage_of_a_residual_code_moves_away_from_the_vector():
    scheme = Rvq(stages=4)
    artefact = scheme.fit(SAMPLE)
    far = np.vstack([SAMPLE, SAMPLE * 40, np.zeros((1, 16), np.float32)])
    vectors = scheme.vectors(
        pa.table(scheme.apply(far, artefact), schema=pa.schema(scheme.fields(16, ""))), artefact
    )
    assert isinstance(vectors, AdditiveVectors)
    assert not artefact["words"][:, 0].any()
    before = np.linalg.norm(far, axis=1)
    for stages in (1, 2, 3, 4):
        left = np.linalg.norm(far - vectors.coarser(stages).take(np.arange(len(far))), axis=1)
        assert (left <= before * (1 + 1e-6)).all()
        before = left
    assert before[-1] == 0


def test_a_residual_word_of_one_row_is_a_fifth_of_it():
    rows = RANDOM.standard_normal((200, 16)).astype(np.float32)
    words = Rvq(stages=1).fit(rows)["words"][0]
    lengths = [np.sort(np.linalg.norm(each, axis=1)) for each in (words[1:], rows / 5)]
    assert np.allclose(*lengths, rtol=1e-5)


def test_words_drawn_towards_zero_code_rows_that_they_were_not_learned_from_better(monkeypatch):
    centers = RANDOM.standard_normal((40, 64))
    drawn = centers[RANDOM.integers(0, 40, 1600)] + RANDOM.standard_normal((1600, 64))
    sample, others = np.split(drawn.astype(np.float32), 2)
    ours = error_of(Rvq(), others, Rvq().fit(sample))
    monkeypatch.setattr("operators.quantize.rvq._TOWARDS_ZERO", 1e-9)
    assert ours < 0.9 * error_of(Rvq(), others, Rvq().fit(sample))


def test_the_first_bytes_of_a_residual_code_are_the_code_of_fewer_stages():
    short, long = Rvq(stages=2), Rvq(stages=3)
    few, many = short.fit(SAMPLE), long.fit(SAMPLE)
    assert np.array_equal(many["words"][:2], few["words"])
    both = [scheme.apply(SAMPLE, learned) for scheme, learned in ((short, few), (long, many))]
    codes = [np.array(each["codes"].to_pylist()) for each in both]
    assert np.array_equal(codes[1][:, :2], codes[0])
    assert error_of(long) < error_of(short)


def test_means_of_few_rows_are_those_rows_and_no_mean_stays_without_a_row():
    assert np.array_equal(kmeans(SAMPLE[:5], 8), SAMPLE[:5])
    twice = np.repeat(np.eye(4, dtype=np.float32), [90, 1, 1, 1], axis=0)
    words = kmeans(twice, 4)
    assert np.array_equal(words[np.lexsort(words.T)], np.eye(4)[np.lexsort(np.eye(4))])
