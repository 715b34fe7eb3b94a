import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from operators.mine.draws import document_keys, drawn_rows, keys, mixed, uniforms

IDS = st.lists(st.text(max_size=5), min_size=1, max_size=20, unique=True)


@given(IDS, st.integers(-(2**60), 2**60))
def test_a_key_belongs_to_its_id_wherever_it_stands(ids, seed) -> None:
    whole = keys(pa.array(ids), seed)
    assert np.array_equal(keys(pa.array(ids[::-1]), seed), whole[::-1])
    assert np.array_equal(keys(pa.array(ids)[1:], seed), whole[1:])
    assert len(set(whole.tolist())) == len(ids)


def test_another_seed_or_purpose_gives_other_keys() -> None:
    ids = pa.array(["a", "b"])
    assert not (keys(ids, 0) == keys(ids, 1)).any()
    assert not (keys(ids, 0) == keys(ids, 0, "fill")).any()


def test_keys_are_the_same_on_every_machine() -> None:
    assert keys(pa.array(["q1"]), 7, "select").tolist() == [13665465376911751080]


def test_document_keys_follow_the_rows() -> None:
    ids = pa.chunked_array([["a", "b"], ["c"]])
    own = keys(pa.array(["a", "b", "c"]), 0)
    assert np.array_equal(document_keys(ids, np.array([2, 0, 2])), own[[2, 0, 2]])


def test_mixed_keys_are_spread_evenly_over_the_unit_interval() -> None:
    one = np.arange(300, dtype=np.uint64)
    drawn = uniforms(mixed(one[:, None], one[None]))
    assert drawn.min() > 0
    assert drawn.max() < 1
    counts = np.histogram(drawn, 10, (0, 1))[0]
    assert abs(counts / drawn.size - 0.1).max() < 0.005
    assert abs(np.corrcoef(drawn[:, :-1].ravel(), drawn[:, 1:].ravel())[0, 1]) < 0.02


@given(IDS, st.integers(0, 9), st.integers(0, 9))
def test_drawn_rows_lie_in_the_collection_and_stand_once(ids, rows, count) -> None:
    drawn = drawn_rows(pa.array(ids), 3, rows, count)
    assert drawn.shape == (len(ids), count)
    assert drawn.max(initial=-1) < rows
    for row in drawn:
        there = row[row >= 0]
        assert len(set(there.tolist())) == len(there)
    assert np.array_equal(drawn_rows(pa.array(ids[:1]), 3, rows, count), drawn[:1])
