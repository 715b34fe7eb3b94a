import re
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.text.windows import Places, windows

WORDS = st.text(alphabet="abé中\U0001f600", min_size=1, max_size=9)
GAPS = st.sampled_from([" ", " ", " ", ". ", "! A", "? 1", "\n", "\n\n", "。", "  ", "...", ""])
TEXTS = st.lists(st.tuples(WORDS, GAPS), min_size=1, max_size=60).map(
    lambda pairs: "".join(word + gap for word, gap in pairs)
)
SIZES = st.tuples(st.integers(1, 30), st.integers(0, 15)).map(
    lambda pair: (pair[0], min(pair[1], pair[0] // 2))
)


def tokens(text: str) -> Places:
    """Two letters a token, so that words have several; signs alone; white space has none."""
    found = [match.span() for match in re.finditer(r"\w{1,2}|[^\w\s]", text)]
    return np.array(found, np.int64).reshape(-1, 2)


def count(text: str) -> int:
    return len(tokens(text))


@settings(deadline=None)
@given(text=TEXTS, sizes=SIZES)
def test_nothing_of_the_text_is_lost_and_windows_move_on(text, sizes) -> None:
    most, overlap = sizes
    found = windows(text, tokens(text), most, overlap, count)
    covered = np.zeros(len(text), bool)
    for start, stop in found:
        assert 0 <= start < stop <= len(text)
        covered[start:stop] = True
    left_out = "".join(text[at] for at in np.flatnonzero(~covered))
    assert not left_out.strip()
    assert (np.diff(found, axis=0) > 0).all()


@settings(deadline=None)
@given(text=TEXTS, sizes=SIZES)
def test_no_window_has_more_tokens_than_allowed(text, sizes) -> None:
    most, overlap = sizes
    for start, stop in windows(text, tokens(text), most, overlap, count):
        assert count(text[start:stop]) <= most


@settings(deadline=None)
@given(text=TEXTS, sizes=SIZES)
def test_windows_shrink_where_their_own_text_has_more_tokens(text, sizes) -> None:
    most, overlap = sizes[0] + 2, sizes[1]
    for start, stop in windows(text, tokens(text), most, overlap, lambda t: count(t) + 2):
        whole = (start, stop) == (0, len(text.rstrip())) and count(text) <= most
        assert whole or stop - start <= 2 or count(text[start:stop]) + 2 <= most


@settings(deadline=None)
@given(text=TEXTS, most=st.integers(1, 30))
def test_without_overlap_windows_follow_each_other(text, most) -> None:
    found = windows(text, tokens(text), most, 0, count)
    assert (found[1:, 0] >= found[:-1, 1]).all()


@settings(deadline=None)
@given(text=TEXTS, sizes=SIZES)
def test_an_overlap_has_at_most_the_tokens_allowed(text, sizes) -> None:
    most, overlap = sizes
    found = windows(text, tokens(text), most, overlap, count)
    for (_, stop), (start, _) in pairwise(found):
        assert count(text[start:stop]) <= overlap


def test_a_window_ends_at_a_sentence_of_its_last_third() -> None:
    text = "One two three four. Five six seven eight, nine ten eleven. Twelve 1.5 dr. who thirteen."
    ends = [text[start:stop] for start, stop in windows(text, tokens(text), 34, 0, count)]
    assert ends == [
        "One two three four. Five six seven eight, nine ten eleven.",
        "Twelve 1.5 dr. who thirteen.",
    ]


def test_the_overlap_starts_with_a_sentence_where_it_can() -> None:
    text = "Aa bb cc dd ee ff gg. Hh ii. " * 4
    found = windows(text, tokens(text), 16, 8, count)
    assert len(found) > 1
    assert all(text[start:].startswith(("Aa", "Hh")) for start, _ in found)


def test_words_are_not_cut_where_there_are_any() -> None:
    text = "abcdefghij " * 50
    for start, stop in windows(text, tokens(text), 32, 7, count):
        assert set(text[start:stop].split(" ")) == {"abcdefghij"}


@settings(max_examples=30, deadline=None, derandomize=True)  # a usual share, not a law
@given(data=st.data())
def test_most_windows_survive_the_edit_of_one_sentence(data) -> None:
    sentence = st.lists(st.text(alphabet="abcdef", min_size=1, max_size=6), min_size=2, max_size=9)
    made = data.draw(st.lists(sentence, min_size=120, max_size=120, unique_by=tuple))
    sentences = [" ".join(words).capitalize() + "." for words in made]
    place = data.draw(st.integers(0, len(sentences) - 1))
    edited = [*sentences[:place], "An other sentence altogether now.", *sentences[place + 1 :]]
    before, after = (
        {text[a:b] for a, b in windows(text, tokens(text), 60, 10, count)}
        for text in (" ".join(sentences), " ".join(edited))
    )
    untouched = {text for text in before if sentences[place] not in text}
    assert len(before & after) >= 0.5 * len(untouched)
    assert len(before & after) < len(before)
