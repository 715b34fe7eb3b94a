"""What every scheme keeps to, learned or not, cut to fewer dimensions or whole."""

from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators import columns
from operators.arrays import to_column
from operators.mine.topk import topk
from operators.quantize.artefact import SUFFIX, digest_of, packed
from operators.quantize.binary import Binary
from operators.quantize.codes import decoded, vectors_of
from operators.quantize.exact import exact_dots, nearest
from operators.quantize.kernels import BitVectors, Vectors
from operators.quantize.prefix import prefix
from operators.quantize.protocol import Artefact, Reduces, Scheme
from operators.quantize.quantize import Quantize
from operators.quantize.registry import SCHEMES, scheme_class

DIM = 24
RANDOM = np.random.default_rng(7)
MATRIX = (RANDOM.standard_normal((160, DIM)) * np.linspace(1, 0.2, DIM)).astype(np.float32) + 0.05
MATRIX /= np.linalg.norm(MATRIX, axis=1, keepdims=True)
OF_DOT = [name for name in SCHEMES if name not in {"binary"}]
"""Schemes whose scores are dot products with what the codes stand for."""


@pytest.fixture(scope="module")
def learned() -> dict[str, dict[str, np.ndarray]]:
    return {name: scheme_class(name)().fit(MATRIX) for name in SCHEMES}


def table_of(scheme: Scheme, matrix: np.ndarray, artefact: Artefact) -> pa.Table:
    return pa.table(scheme.apply(matrix, artefact), schema=pa.schema(scheme.fields(DIM, "")))


def opened(name: str, artefact: Artefact, matrix: np.ndarray = MATRIX) -> Vectors:
    scheme = scheme_class(name)()
    return scheme.vectors(table_of(scheme, matrix, artefact), artefact)


@pytest.mark.parametrize("name", SCHEMES)
def test_a_row_has_the_same_code_in_any_cut_of_the_rows(name, learned):
    scheme, artefact = scheme_class(name)(), learned[name]
    whole = table_of(scheme, MATRIX, artefact)
    for size in (1, 7, 64):
        parts = [table_of(scheme, MATRIX[at : at + size], artefact) for at in range(0, 160, size)]
        assert pa.concat_tables(parts).combine_chunks().equals(whole)
    order = np.random.default_rng(0).permutation(160)
    assert table_of(scheme, MATRIX[order], artefact).equals(whole.take(pa.array(order)))


@pytest.mark.parametrize("name", OF_DOT)
def test_a_score_is_the_dot_product_with_what_the_code_stands_for(name, learned):
    vectors = opened(name, learned[name])
    queries = MATRIX[:9] + np.float32(0.01)
    exact = queries.astype(np.float64) @ vectors.take(np.arange(160)).astype(np.float64).T
    assert np.allclose(vectors.scores(queries, 20, 90), exact[:, 20:90], atol=2e-6)
    assert np.allclose(
        vectors.asked(queries) @ vectors.values(20, 90).T, exact[:, 20:90], atol=2e-6
    )
    assert (len(vectors), vectors.dim) == (160, DIM)


@pytest.mark.parametrize("name", OF_DOT)
def test_search_over_blocks_finds_the_rows_that_score_best(name, learned):
    queries = MATRIX[40:45]
    blocks = [opened(name, learned[name], MATRIX[at : at + 50]) for at in range(0, 160, 50)]
    found = topk(queries, blocks, 5)
    scores = np.concatenate([block.scores(queries, 0, len(block)) for block in blocks], axis=1)
    assert np.allclose(found.scores, -np.sort(-scores, axis=1)[:, :5], atol=2e-6)


@pytest.mark.parametrize("name", SCHEMES)
def test_no_rows_are_coded_as_no_rows_and_a_zero_vector_as_finite_values(name, learned):
    scheme, artefact = scheme_class(name)(), learned[name]
    none = table_of(scheme, MATRIX[:0], artefact)
    assert scheme.decode(none, artefact).shape == (0, DIM)
    zero = scheme.decode(table_of(scheme, MATRIX[:2] * 0, artefact), artefact)
    assert np.isfinite(zero).all()


@pytest.mark.parametrize("name", SCHEMES)
def test_every_scheme_is_nearer_to_its_vectors_than_to_others(name, learned):
    scheme = scheme_class(name)()
    meant = scheme.decode(table_of(scheme, MATRIX, learned[name]), learned[name])
    own = np.einsum("nd,nd->n", meant, MATRIX) / np.linalg.norm(meant, axis=1)
    others = np.einsum("nd,nd->n", np.roll(meant, 1, axis=0), MATRIX)
    assert own.mean() > 0.7 > others.mean() + 0.4


@pytest.mark.parametrize("name", [name for name in SCHEMES if scheme_class(name)().learns])
def test_fitting_twice_gives_the_same_artefact(name, learned):
    again = scheme_class(name)().fit(MATRIX)
    assert again.keys() == learned[name].keys()
    assert all(np.array_equal(again[key], learned[name][key]) for key in again)


LEARNING: dict[str, Scheme] = {
    **{name: scheme_class(name)() for name in SCHEMES if scheme_class(name)().learns},
    "binary:center=median": Binary("median"),
}
TWICE = np.vstack([MATRIX, MATRIX[:30]])


@pytest.mark.parametrize("name", LEARNING)
@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(1, 189), max_size=5), seed=st.integers(0, 99))
def test_any_cut_and_order_of_the_rows_teaches_a_scheme_the_same_bytes(name, cuts, seed):
    scheme = LEARNING[name]
    assert isinstance(scheme, Reduces)
    shuffled = TWICE[np.random.default_rng(seed).permutation(len(TWICE))]
    states = [scheme.partial(part) for part in np.split(shuffled, sorted(set(cuts)))]
    while len(states) > 1:
        one = states.pop(seed % len(states))
        states[0] = scheme.merge(one, states[0])
    found = packed(scheme.finish(states[0]))
    assert found == _bytes_of(name)
    assert packed(scheme.fit(shuffled)) == found


@cache
def _bytes_of(name: str) -> bytes:
    """What a scheme learns from all rows in one part."""
    return packed(LEARNING[name].fit(TWICE))


@pytest.mark.parametrize("name", [name for name in SCHEMES if scheme_class(name)().learns])
def test_a_foreign_artefact_is_refused(name, learned):
    scheme, artefact = scheme_class(name)(), learned[name]
    with pytest.raises(ValueError, match=r"learned|artefact"):
        scheme.apply(np.ones((2, DIM + 1), np.float32), artefact)
    with pytest.raises(ValueError, match="the artefact has no"):
        scheme.apply(MATRIX, {"other": MATRIX})


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 70), st.integers(-60, 60), st.data())
def test_exact_products_have_the_same_bits_in_any_cut_and_order(rows, words, dim, size, data):
    random = np.random.default_rng(rows * 1000 + dim)
    left = (random.standard_normal((rows, dim)) * 2.0**size).astype(np.float32)
    right = random.standard_normal((words, dim)).astype(np.float32)
    whole = exact_dots(left, right)
    cut, turn = data.draw(st.integers(0, rows)), random.permutation(dim)
    parts = [exact_dots(part, right) for part in (left[:cut], left[cut:])]
    assert np.array_equal(np.concatenate(parts), whole)
    assert np.array_equal(exact_dots(left[:, turn], right[:, turn]), whole)
    meant = left.astype(np.float64) @ right.astype(np.float64).T
    bound = np.outer(*(np.linalg.norm(part, axis=1) for part in (left, right)))
    assert (np.abs(whole - meant) <= bound * 2.0**-22 + 1e-300).all()


def test_equal_words_give_the_first_and_zero_rows_the_word_of_no_length():
    words = np.array([[1, 0], [1, 0], [0, 0], [0, 0]], np.float32)
    rows = np.array([[1, 0], [0, 0], [5, 0], [0.4, 9]], np.float32)
    assert nearest(rows, words).tolist() == [0, 2, 0, 2]


@pytest.mark.parametrize("name", SCHEMES)
def test_the_operator_cuts_before_it_codes_and_says_from_what(name, tmp_path):
    table = pa.table([to_column(MATRIX)], schema=pa.schema([columns.embedding(DIM)]))
    cut = prefix(MATRIX, 8)
    step, data = ready(Quantize(scheme=name, dims=8), table, tmp_path)
    with step.open() as transform:
        found = transform(table)
    shorter = pa.table([to_column(cut)], schema=pa.schema([columns.embedding(8)]))
    plain, same = ready(Quantize(scheme=name, dims=8), shorter, tmp_path)
    assert same == data
    with plain.open() as transform:
        expected = transform(shorter)
    assert found.columns == expected.columns
    field = found.schema.field(0)
    assert (columns.dim_of(field), columns.truncated_from(field)) == (8, DIM)
    assert columns.decoder_of(field) == (name, digest_of(data))
    assert decoded(found, artefact=data).shape == (160, 8)
    vectors = vectors_of(found, artefact=data)
    assert isinstance(vectors, BitVectors) == (name == "binary")


def ready(step: Quantize, table: pa.Table, folder: Path) -> tuple[Quantize, bytes]:
    """The operator with what it learned stored, and that."""
    data = step.fit(table)
    if not data:
        return step, data
    place = folder / (digest_of(data) + SUFFIX)
    place.write_bytes(data)
    options = {name: getattr(step, name) for name in ("scheme", "dims")}
    return Quantize(**options, artefact=str(place)), data
