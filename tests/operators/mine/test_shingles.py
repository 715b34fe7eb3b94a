import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from operators.mine import shingles as module
from operators.mine.shingles import shingles

TEXTS = st.lists(st.lists(st.sampled_from("abc"), max_size=9).map(" ".join), min_size=1, max_size=8)


def runs(text: str, words: int) -> set[tuple[str, ...]]:
    told = text.split()
    if len(told) < words:
        return {tuple(told)} if told else set()
    return {tuple(told[start : start + words]) for start in range(len(told) - words + 1)}


@given(TEXTS, st.integers(1, 4))
def test_shared_runs_are_counted_as_sets_of_runs_are(texts, words) -> None:
    made = shingles(texts, words)
    every = np.arange(len(texts))
    assert made.sizes(every).tolist() == [len(runs(text, words)) for text in texts]
    for number, text in enumerate(texts):
        expected = [len(runs(text, words) & runs(other, words)) for other in texts]
        assert made.shared(number, every).tolist() == expected


@given(TEXTS)
def test_cutting_the_texts_in_blocks_changes_nothing(texts) -> None:
    whole = shingles(texts, 2)
    block = module._BLOCK
    module._BLOCK = 3
    try:
        cut = shingles(texts, 2)
    finally:
        module._BLOCK = block
    assert np.array_equal(whole.values, cut.values)
    assert np.array_equal(whole.offsets, cut.offsets)


def test_no_text_has_no_runs() -> None:
    assert shingles([], 3).offsets.tolist() == [0]
