"""MaxSim's laws, and that all documents at once score as each alone."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from operators.quantize import maxsim as module
from operators.quantize.maxsim import maxsim, maxsim_of_all


def unit(random, count, dim=5):
    matrix = random.standard_normal((count, dim)).astype(np.float32)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


@given(st.integers(0, 99), st.integers(1, 9))
def test_a_set_against_itself_scores_the_number_of_its_vectors(seed, count):
    vectors = unit(np.random.default_rng(seed), count)
    assert abs(maxsim(vectors, vectors) - count) < 1e-4


@given(st.integers(0, 99))
def test_the_order_of_a_documents_vectors_does_not_matter(seed):
    random = np.random.default_rng(seed)
    query, document = unit(random, 4), unit(random, 7)
    assert maxsim(query, document[random.permutation(7)]) == maxsim(query, document)


@given(st.lists(st.integers(0, 5), max_size=9), st.integers(0, 4), st.sampled_from([4, 1 << 22]))
def test_all_documents_at_once_score_as_each_alone(lengths, asked, at_once):
    random = np.random.default_rng(len(lengths))
    query, tokens = unit(random, asked), unit(random, sum(lengths))
    bounds = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    before, module._AT_ONCE = module._AT_ONCE, at_once
    try:
        found = maxsim_of_all(query, tokens, bounds)
    finally:
        module._AT_ONCE = before
    alone = [maxsim(query, tokens[a:b]) for a, b in itertools.pairwise(bounds)]
    np.testing.assert_allclose(found, np.array(alone, np.float32), atol=1e-5)
