"""A text halved: its parts make it up exactly, at every level."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.text.halves import halved

TEXTS = st.text(alphabet="ab .\n\u4e2d\u00e9,-A1", max_size=200)


def words(text):
    """The character ranges of runs of other than white space, three characters a token."""
    found, start = [], 0
    for place in range(len(text) + 1):
        inside = place < len(text) and not text[place].isspace()
        if start < place and (not inside or place - start == 3):
            found.append((start, place))
            start = place
        if not inside:
            start = place + 1
    return np.array(found, np.int64).reshape(-1, 2)


def strings(text, places):
    return [text[start:stop] for start, stop in places]


@settings(max_examples=150, deadline=None)
@given(text=TEXTS, most=st.integers(1, 12))
def test_leaves_make_up_the_text_and_every_level_covers_it_exactly(text, most):
    tree = halved(text, words(text), most)
    leaves = np.bincount(tree.within[1:], minlength=len(tree.within)) == 0
    for level in range(int(tree.levels.max()) + 1):
        chosen = np.flatnonzero((tree.levels == level) | (leaves & (tree.levels < level)))
        order = chosen[np.argsort(tree.places[chosen, 0], kind="stable")]
        assert "".join(strings(text, tree.places[order])) == text
    order = np.flatnonzero(leaves)[np.argsort(tree.places[leaves, 0], kind="stable")]
    assert "".join(strings(text, tree.places[order])) == text


@settings(max_examples=100, deadline=None)
@given(text=TEXTS, most=st.integers(1, 12))
def test_a_part_is_its_two_halves_one_level_below(text, most):
    tree = halved(text, words(text), most)
    assert (tree.levels[0], tree.within[0]) == (0, -1)
    for node in set(tree.within[1:].tolist()):
        first, second = np.flatnonzero(tree.within == node)
        joined = strings(text, tree.places[[first, second]])
        assert "".join(joined) == strings(text, tree.places[[node]])[0]
        assert tree.levels[first] == tree.levels[second] == tree.levels[node] + 1


def test_it_stops_where_the_tokens_are_few_enough_and_cuts_at_sentences():
    text = "One two three four. Five six seven. Eight nine ten eleven twelve."
    offsets = words(text)
    tree = halved(text, offsets, 10)
    assert strings(text, tree.places) == [
        text,
        "One two three four. Five six seven. ",
        "Eight nine ten eleven twelve.",
        "One two three four. ",
        "Five six seven. ",
    ]
    assert len(halved(text, offsets, len(offsets)).places) == 1


def test_a_text_without_a_place_to_cut_stays_whole():
    nine = np.array([[0, 3]] * 9, np.int64)
    assert halved("\u4e2d\u4e2d\u4e2d", nine, 2).places.tolist() == [[0, 3]]
