"""Token vectors that are alike become one: how many, which, and in what order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster import hierarchy

from operators.encode.clusters import clustered


def unit(seed, count, dim=6):
    matrix = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


@given(st.integers(0, 99), st.integers(1, 20), st.floats(0.05, 1))
def test_the_share_is_kept_and_every_vector_has_length_one(seed, count, share):
    found = clustered(unit(seed, count), share)
    assert len(found) == min(count, int(np.ceil(share * count - 1e-9)))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_all_of_them_stay_as_they_are():
    vectors = unit(1, 7)
    assert clustered(vectors, 1.0) is vectors


def test_copies_are_joined_before_anything_else_in_the_order_of_first_tokens():
    a, b, c = unit(2, 3)
    found = clustered(np.stack([b, a, b, c, a, b]), 0.5)
    np.testing.assert_allclose(found, np.stack([b, a, c]), atol=1e-6)


def test_one_that_is_left_is_the_mean_of_all():
    vectors = unit(3, 9)
    mean = vectors.mean(axis=0)
    np.testing.assert_allclose(clustered(vectors, 0.01)[0], mean / np.linalg.norm(mean), atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_the_clusters_are_those_of_scipys_ward(seed):
    vectors = unit(seed, 24)
    labels = hierarchy.fcluster(hierarchy.linkage(vectors, "ward"), 8, "maxclust")
    first = {label: n for n, label in reversed(list(enumerate(labels)))}
    means = np.stack(
        [vectors[labels == label].mean(axis=0) for label in sorted(first, key=first.get)]
    )
    expected = means / np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(clustered(vectors, 8 / 24), expected, atol=1e-5)
