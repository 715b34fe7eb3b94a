from collections.abc import Iterator
from weakref import ref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.mine import topk as module
from operators.mine.rough import Bounds
from operators.mine.topk import Hits, merge, rescore, topk, two_stage
from operators.quantize.adc import AdditiveVectors, ProductVectors, TurnedVectors
from operators.quantize.kernels import (
    BitVectors,
    FloatVectors,
    Int8Vectors,
    SignVectors,
    Vectors,
    packed_signs,
)


def grid(seed: int, rows: int, dim: int) -> np.ndarray:
    """Multiples of 1/4 between -1 and 1: exact sums, and many ties."""
    return np.random.default_rng(seed).integers(-4, 5, (rows, dim)).astype(np.float32) / 4


def bits_of(matrix: np.ndarray) -> BitVectors:
    dim = matrix.shape[1]
    center, spread = np.zeros(dim, np.float32), np.full(dim, 0.5, np.float32)
    return BitVectors(packed_signs(matrix, center), center, spread)


def as_floats(matrix: np.ndarray) -> Vectors:
    return FloatVectors(matrix)


def as_halves(matrix: np.ndarray) -> Vectors:
    return FloatVectors(matrix.astype(np.float16).astype(np.float32))


def as_int8(matrix: np.ndarray) -> Vectors:
    scales = 2.0 ** -(np.arange(len(matrix)) % 3 + 4)
    return Int8Vectors((matrix * 16).astype(np.int8), scales.astype(np.float32))


def as_bits(matrix: np.ndarray) -> Vectors:
    return bits_of(matrix)


def as_signs(matrix: np.ndarray) -> Vectors:
    return SignVectors(bits_of(matrix))


def codes_of(matrix: np.ndarray, blocks: int) -> np.ndarray:
    """A number below 9 of each of the first values."""
    return (matrix[:, :blocks] * 4 + 4).astype(np.uint8)


def as_product(matrix: np.ndarray) -> Vectors:
    size = 3 if matrix.shape[1] % 3 == 0 else 2
    blocks = matrix.shape[1] // size
    words = grid(7, 9 * blocks, size).reshape(blocks, 9, size)
    return ProductVectors(codes_of(matrix, blocks), words)


def as_turned(matrix: np.ndarray) -> Vectors:
    turn = np.eye(matrix.shape[1], dtype=np.float32)[::-1]
    return TurnedVectors(as_product(matrix), np.ascontiguousarray(turn))


def as_sums(matrix: np.ndarray) -> Vectors:
    return AdditiveVectors(codes_of(matrix, 3), grid(7, 27, matrix.shape[1]).reshape(3, 9, -1))


KINDS = (as_floats, as_halves, as_int8, as_bits, as_signs, as_product, as_turned, as_sums)


def brute(queries: np.ndarray, vectors: Vectors, k: int) -> Hits:
    scores = vectors.scores(queries, 0, len(vectors))
    scored, rows = (np.full((len(queries), k), fill) for fill in (-np.inf, -1))
    for query, row_scores in enumerate(scores):
        best = sorted(range(len(vectors)), key=lambda row: (-row_scores[row], row))[:k]
        rows[query, : len(best)] = best
        scored[query, : len(best)] = row_scores[best]
    return Hits(scored, rows)


def same(a: Hits, b: Hits) -> bool:
    return np.array_equal(a.scores, b.scores) and np.array_equal(a.rows, b.rows)


def shards(matrix: np.ndarray, count: int) -> list[np.ndarray]:
    return np.array_split(matrix, count)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 3, 7])
@given(st.integers(0, 999), st.integers(0, 60), st.integers(1, 80))
@settings(max_examples=25)
def test_equals_a_full_sort_however_the_rows_are_cut(kind, count, seed, rows, k) -> None:
    matrix, queries = grid(seed, rows, 9), grid(seed + 1, 4, 9)
    whole = kind(matrix)
    if kind is as_int8:
        parts: list[Vectors] = [
            Int8Vectors(whole.codes[part], whole.scales[part])
            for part in np.array_split(np.arange(rows), count)
        ]
    else:
        parts = [kind(part) for part in shards(matrix, count)]
    assert same(topk(queries, parts, k), brute(queries, whole, k))


@pytest.mark.parametrize("halves", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dim", [9, 64, 300, 514])
def test_few_and_many_queries_have_the_same_answers(kind, dim, halves, monkeypatch) -> None:
    monkeypatch.setattr(module, "multiplies_halves", lambda: halves)
    monkeypatch.setattr(module, "_ROWS", 64)
    vectors, queries = kind(grid(1, 700, dim)), grid(2, 150, dim)
    many = topk(queries, [vectors], 12)
    few = [topk(queries[start : start + 25], [vectors], 12) for start in range(0, 150, 25)]
    assert same(many, Hits(*(np.concatenate(each) for each in zip(*few, strict=True))))
    assert same(many, brute(queries, vectors, 12))


@pytest.mark.parametrize("asked", [5, 60])
def test_what_is_known_of_the_rows_changes_no_answer(asked, monkeypatch) -> None:
    monkeypatch.setattr(module, "_ROWS", 64)
    matrix, queries = grid(1, 300, 16), grid(2, asked, 16)
    parts = [FloatVectors(part) for part in shards(matrix, 3)]
    known = Bounds.unknown(300)
    expected = topk(queries, parts, 9)
    assert same(topk(queries, parts, 9, known=known), expected)
    lengths = np.linalg.norm(matrix, axis=1)
    assert (known.length >= lengths).all()
    assert np.allclose(known.length, lengths, rtol=1e-4)
    assert same(topk(queries, parts, 9, known=known), expected)


@pytest.mark.parametrize("count", [1, 3, 7])
@pytest.mark.parametrize("k", [1, 10, 100])
def test_many_blocks_of_many_queries_equal_a_full_sort(count, k, monkeypatch) -> None:
    monkeypatch.setattr(module, "_QUERIES", 7)
    monkeypatch.setattr(module, "_ROWS", 64)
    matrix, queries = grid(1, 1500, 16), grid(2, 20, 16)
    parts = [FloatVectors(part) for part in shards(matrix, count)]
    assert same(topk(queries, parts, k), brute(queries, FloatVectors(matrix), k))


def test_real_valued_vectors_give_the_same_rows_for_any_cut() -> None:
    random = np.random.default_rng(3)
    matrix = random.standard_normal((5000, 48)).astype(np.float32)
    queries = random.standard_normal((30, 48)).astype(np.float32)
    expected = brute(queries, FloatVectors(matrix), 20)
    for count in (1, 3, 7):
        found = topk(queries, [FloatVectors(part) for part in shards(matrix, count)], 20)
        assert np.array_equal(found.rows, expected.rows)
        assert np.allclose(found.scores, expected.scores, rtol=1e-5)


def test_all_rows_alike_are_answered_by_the_first_rows() -> None:
    vectors = [FloatVectors(np.ones((5000, 4), np.float32))] * 2
    found = topk(np.ones((2, 4), np.float32), vectors, 5, first_row=10)
    assert np.array_equal(found.rows, [np.arange(10, 15)] * 2)


@given(st.integers(0, 999), st.integers(1, 12), st.tuples(*[st.integers(0, 9)] * 3))
def test_merging_is_associative_and_order_does_not_matter(seed, k, sizes) -> None:
    queries, first, parts = grid(seed, 3, 2), 0, []
    for place, size in enumerate(sizes):
        parts.append(topk(queries, [FloatVectors(grid(seed + place, size, 2))], k, first))
        first += size
    a, b, c = parts
    left = merge(merge(a, b, k), c, k)
    assert same(left, merge(a, merge(b, c, k), k))
    assert same(left, merge(c, merge(b, a, k), k))


def test_a_corpus_smaller_than_k_leaves_row_minus_one() -> None:
    found = topk(grid(1, 2, 3), [FloatVectors(grid(2, 3, 3))], 5)
    assert np.array_equal(found.rows[:, 3:], np.full((2, 2), -1))
    assert np.isneginf(found.scores[:, 3:]).all()
    assert np.array_equal(np.sort(found.rows[:, :3], axis=1), [[0, 1, 2]] * 2)


def test_a_block_is_let_go_when_the_next_but_one_is_read() -> None:
    made: list[ref[Vectors]] = []

    def blocks() -> Iterator[Vectors]:
        for number in range(5):
            assert all(block() is None for block in made[:-1])
            block = FloatVectors(grid(number, 10, 4))
            made.append(ref(block))
            yield block

    topk(grid(9, 2, 4), blocks(), 3)
    assert len(made) == 5


@given(st.integers(0, 999), st.integers(1, 50), st.integers(1, 20), st.sampled_from([1, 3, 7]))
def test_rescoring_equals_a_full_sort_of_the_candidates(seed, rows, candidates, count) -> None:
    matrix, queries = grid(seed, rows, 9), grid(seed + 1, 4, 9)
    coarse, fine = bits_of(matrix), FloatVectors(matrix)
    parts = [FloatVectors(part) for part in shards(matrix, count)]
    k = min(5, candidates)
    found = two_stage(queries, [coarse], parts, k, candidates)
    chosen = topk(queries, [coarse], candidates).rows
    scores = fine.scores(queries, 0, rows)
    for query in range(len(queries)):
        rows_in = [row for row in chosen[query] if row >= 0]
        best = sorted(rows_in, key=lambda row: (-scores[query, row], row))[:k]
        assert np.array_equal(found.rows[query, : len(best)], best)


def test_rescoring_every_row_is_the_exact_answer() -> None:
    matrix, queries = grid(5, 200, 8), grid(6, 5, 8)
    found = two_stage(queries, [bits_of(matrix)], [FloatVectors(matrix)], 10, candidates=200)
    assert same(found, topk(queries, [FloatVectors(matrix)], 10))


def test_candidates_are_decoded_few_at_a_time(monkeypatch) -> None:
    matrix, queries = grid(5, 200, 8), grid(6, 5, 8)
    expected = two_stage(queries, [bits_of(matrix)], [FloatVectors(matrix)], 10)
    monkeypatch.setattr(module, "_GATHERED", 24)
    assert same(two_stage(queries, [bits_of(matrix)], [FloatVectors(matrix)], 10), expected)


def test_a_candidate_beyond_the_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="candidate row 7 where there are 3 rows"):
        rescore(grid(1, 1, 2), np.array([[1, 7]]), [FloatVectors(grid(2, 3, 2))], 1)


def test_what_is_not_finite_is_refused() -> None:
    broken = np.full((1, 2), np.nan, np.float32)
    with pytest.raises(ValueError, match="query vector is not finite"):
        topk(broken, [FloatVectors(grid(1, 3, 2))], 1)
    with pytest.raises(ValueError, match="stored vector is not finite"):
        topk(grid(1, 1, 2), [FloatVectors(broken)], 1)


def test_asking_for_no_row_is_refused() -> None:
    with pytest.raises(ValueError, match="k is 0"):
        topk(grid(1, 1, 2), [], 0)


@pytest.mark.parametrize("queries", [1, 3, 128, 129, 200])
def test_any_number_of_threads_finds_the_same_rows(queries, monkeypatch):
    monkeypatch.setattr(module, "_ROWS", 40)
    asked, stored = grid(1, queries, 16), FloatVectors(grid(2, 333, 16))
    expected = brute(asked, stored, 7)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            assert same(topk(asked, [stored], 7), expected)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
