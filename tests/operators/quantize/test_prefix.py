import numpy as np
import pytest

from operators import columns
from operators.quantize.prefix import asked_of, prefix

UNIT = np.random.default_rng(0).standard_normal((9, 12)).astype(np.float32)
UNIT /= np.linalg.norm(UNIT, axis=1, keepdims=True)


def test_the_prefix_of_a_unit_vector_has_length_one_and_its_direction():
    cut = prefix(UNIT, 5)
    assert np.allclose(np.linalg.norm(cut, axis=1), 1, rtol=1e-6)
    assert np.allclose(cut / cut[:, :1], UNIT[:, :5] / UNIT[:, :1], rtol=1e-5)


def test_the_prefix_of_another_vector_keeps_its_values():
    other = UNIT * np.linspace(2, 3, 9, dtype=np.float32)[:, None]
    assert np.array_equal(prefix(other, 5), other[:, :5])
    mixed = np.vstack([UNIT[:1], other[:1]])
    assert np.array_equal(prefix(mixed, 5), np.vstack([prefix(UNIT[:1], 5), other[:1, :5]]))


def test_a_prefix_of_zeros_stays_zero_and_all_dimensions_are_the_vector():
    late = np.zeros((1, 12), np.float32)
    late[0, 11] = 1
    assert np.array_equal(prefix(late, 5), np.zeros((1, 5)))
    assert np.array_equal(prefix(UNIT, 12), UNIT)


def test_queries_are_cut_as_the_column_was():
    field = columns.truncated(columns.embedding(5), 12)
    assert np.array_equal(asked_of(field, UNIT), prefix(UNIT, 5))
    assert np.array_equal(asked_of(field, prefix(UNIT, 5)), prefix(UNIT, 5))
    with pytest.raises(ValueError, match="5 dimensions, cut from 12, the queries 9 dimensions"):
        asked_of(field, UNIT[:, :9])
    with pytest.raises(ValueError, match="vectors of 5 dimensions, the queries 12"):
        asked_of(columns.embedding(5), UNIT)
