import numpy as np
import pyarrow as pa
import pytest

from operators.quantize.adc import TurnedVectors
from operators.quantize.rabitq import SPREAD, Rabitq, RabitqVectors

DIM = 32
RANDOM = np.random.default_rng(5)
MATRIX = (RANDOM.standard_normal((60, DIM)) + 0.5).astype(np.float32)
QUERIES = RANDOM.standard_normal((6, DIM)).astype(np.float32)
EXACT = QUERIES.astype(np.float64) @ MATRIX.astype(np.float64).T


def opened(seed: int, matrix: np.ndarray = MATRIX) -> TurnedVectors:
    scheme = Rabitq(seed)
    artefact = scheme.fit(MATRIX)
    table = pa.table(scheme.apply(matrix, artefact), schema=pa.schema(scheme.fields(DIM, "")))
    return scheme.vectors(table, artefact)


def inner(vectors: TurnedVectors) -> RabitqVectors:
    assert isinstance(vectors.inner, RabitqVectors)
    return vectors.inner


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Errors and bounds of all pairs under 300 rotations."""
    every = [opened(seed) for seed in range(300)]
    errors = [each.scores(QUERIES, 0, 60) - EXACT for each in every]
    bounds = [inner(each).bounds(QUERIES, 0, 60) for each in every]
    return np.stack(errors), np.stack(bounds)


def test_a_score_is_unbiased_over_the_rotations(drawn):
    errors, _ = drawn
    deviation = errors.std(axis=0, ddof=1) / np.sqrt(len(errors))
    apart = np.abs(errors.mean(axis=0)) / deviation
    assert (apart > 2).mean() < 0.08
    assert apart.max() < 5


def test_the_bound_holds_for_all_but_one_pair_in_twenty(drawn):
    errors, bounds = drawn
    assert 0.94 < (np.abs(errors) <= bounds).mean() < 0.999


def test_a_wider_spread_gives_a_wider_bound():
    vectors = inner(opened(0))
    wide = vectors.bounds(QUERIES, 3, 9, spread=2 * SPREAD)
    assert np.allclose(wide, 2 * vectors.bounds(QUERIES, 3, 9))


def test_a_row_scores_itself_exactly_about_the_center():
    center = Rabitq().fit(MATRIX)["center"]
    meant = opened(0).take(np.arange(60)) - center
    own = np.einsum("nd,nd->n", meant, MATRIX - center)
    assert np.allclose(own, np.square(MATRIX - center).sum(axis=1), rtol=1e-4)


def test_the_center_itself_has_no_error():
    center = Rabitq().fit(MATRIX)["center"]
    vectors = opened(0, center[None])
    assert np.allclose(vectors.take(np.arange(1)), center, atol=1e-6)
    assert not inner(vectors).bounds(QUERIES, 0, 1).any()


def test_the_rotation_is_orthogonal_and_that_of_its_seed():
    one, other = Rabitq(0).fit(MATRIX)["rotation"], Rabitq(1).fit(MATRIX)["rotation"]
    assert np.allclose(one.astype(np.float64) @ one.T, np.eye(DIM), atol=1e-6)
    assert not np.allclose(one, other, atol=0.1)


def test_the_center_of_a_billion_rows_is_their_mean_however_far_they_lie():
    scheme = Rabitq()
    state = scheme.partial(np.array([[20.0, -4096.0, 9000.0, 0.25]], np.float32))
    for _ in range(30):
        state = scheme.merge(state, state)
    assert state["rows"] == 1 << 30
    assert scheme.finish(state)["center"].tolist() == [20.0, -4096.0, 4096.0, 0.25]
