"""Search of codewords by table sums: bounds that hold, and the answers of decoded rows."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.mine import topk as module
from operators.mine.rough import Room, Rounded, passing
from operators.mine.signs import FEW
from operators.mine.sums import CodedTile, Tables, tables
from operators.mine.tiles import asked_of, tile_of, tiles
from operators.mine.topk import Hits, level, topk
from operators.quantize.adc import AdditiveVectors, OfWords, ProductVectors, of_words
from operators.quantize.kernels import FloatVectors, Vectors
from operators.quantize.opq import Opq
from operators.quantize.pq import Pq
from operators.quantize.protocol import Scheme
from operators.quantize.rvq import Rvq

SCHEMES: dict[str, Scheme] = {"pq": Pq(blocks=8), "opq": Opq(blocks=8), "rvq": Rvq(stages=4)}
RANDOM = np.random.default_rng(5)
SAMPLE = RANDOM.standard_normal((600, 32)).astype(np.float32)
MATRIX = np.repeat(RANDOM.standard_normal((900, 32)).astype(np.float32), 2, axis=0)
"""Every row twice."""


def uneven(seed: int, *shape: int) -> np.ndarray:
    """Normal values, the vectors of very different lengths."""
    random = np.random.default_rng(seed)
    lengths = np.exp(random.normal(0, 3, (*shape[:-1], 1)))
    return (random.standard_normal(shape) * lengths).astype(np.float32)


def drawn(seed: int, codes: int, words: int, rows: int, size: int) -> list[OfWords]:
    """Rows of `codes` codes each, of both kinds."""
    named = np.random.default_rng(seed).integers(0, words, (rows, codes)).astype(np.uint8)
    given = uneven(seed + 1, codes, words, size)
    return [ProductVectors(named, given), AdditiveVectors(named, given)]


@pytest.fixture(scope="module", params=SCHEMES)
def coded(request: pytest.FixtureRequest) -> Vectors:
    scheme = SCHEMES[request.param]
    artefact = scheme.fit(SAMPLE)
    schema = pa.schema(scheme.fields(32, ""))
    return scheme.vectors(pa.table(scheme.apply(MATRIX, artefact), schema=schema), artefact)


def decoded(vectors: Vectors, queries: np.ndarray, k: int) -> Hits:
    """The answer where every row is decoded and multiplied."""
    return topk(vectors.asked(queries), [FloatVectors(vectors.values(0, len(vectors)))], k)


@given(st.integers(0, 999), st.integers(1, 9), st.integers(1, 20), st.integers(1, 40))
@settings(max_examples=60)
def test_a_table_sum_lies_within_its_bound_of_the_score(seed, codes, words, size) -> None:
    for vectors in drawn(seed, codes, words, 50, size):
        asked = tables(uneven(seed + 2, 5, vectors.dim), vectors)
        tile = CodedTile(vectors.codes, vectors)
        query, row = np.divmod(np.arange(5 * 50), 50)
        exact = asked.exact(tile, query, row).reshape(5, 50).astype(np.float64)
        assert (np.abs(asked.rough(tile, Room()) - exact) <= asked.error(tile)[:, None]).all()
        assert (np.linalg.norm(vectors.take(np.arange(50)), axis=1) <= asked.reach).all()


@pytest.mark.parametrize("queries", [1, 7, FEW])
def test_answers_to_few_queries_have_the_bits_of_decoded_rows(coded, queries, monkeypatch) -> None:
    monkeypatch.setattr(module, "_ROWS", 32)
    asked = np.random.default_rng(9).standard_normal((queries, 32)).astype(np.float32)
    for k in (1, 9, 100):
        found, expected = topk(asked, [coded], k), decoded(coded, asked, k)
        assert np.array_equal(found.scores, expected.scores)
        assert np.array_equal(found.rows, expected.rows)


def test_few_queries_are_looked_up_and_many_multiplied(coded) -> None:
    for count, kinds in ((FEW, (Tables, CodedTile)), (FEW + 1, (Rounded, Rounded))):
        block, stored = next(tiles([coded], 8192, count))
        asked = asked_of(block, MATRIX[:count], halves=False)
        assert isinstance(asked, kinds[0])
        assert isinstance(tile_of(block, stored, count, halves=False), kinds[1])


def test_few_rows_are_decoded_that_are_not_among_the_best(coded) -> None:
    asked = asked_of(coded, MATRIX[:20], halves=False)
    block, stored = next(tiles([coded], 8192, 20))
    tile = tile_of(block, stored, 20, halves=False)
    query, _ = passing(asked, tile, decoded(coded, MATRIX[:20], 10).scores[:, -1], 10, Room())
    assert 20 * 10 <= len(query) < 2 * 20 * 10


def test_rows_of_codes_level_with_a_score_are_found(coded) -> None:
    best = decoded(coded, MATRIX[:3], 2)
    assert np.array_equal(best.scores[:, 0], best.scores[:, 1])  # every row is there twice
    [(query, row)] = level(MATRIX[:3], best.scores[:, 0], [coded], 0)
    assert {*zip(query.tolist(), row.tolist(), strict=True)} >= {
        (query, row) for query, rows in enumerate(best.rows.tolist()) for row in rows
    }


def test_alike_rows_are_decoded_few_at_a_time(monkeypatch) -> None:
    monkeypatch.setattr("operators.mine.sums._AT_ONCE", 7)
    vectors = ProductVectors(np.zeros((60, 2), np.uint8), np.ones((2, 3, 4), np.float32))
    found = topk(np.ones((2, 8), np.float32), [vectors], 50)
    assert np.array_equal(found.rows, [np.arange(50)] * 2)
    assert (found.scores == 8).all()


def test_words_whose_products_float32_does_not_hold_are_not_looked_up() -> None:
    for vectors in drawn(1, 3, 4, 5, 6):
        assert of_words(vectors) is vectors
        for far in (1e19, np.nan):
            assert of_words(type(vectors)(vectors.codes, vectors.words * np.float32(far))) is None
