"""Rows of ids are cut in their text and joined row by row."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.encode.loop import Ragged
from operators.encode.rows import Ends, ends, joined, same, shortened, sliced
from operators.errors import ModelError
from operators.model import Model, resolve
from tests.tiny_models import build_bert, build_gpt2, build_llama, edit_json

ROWS = st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=1, max_size=5)


def ragged(rows, prompts=None):
    lengths = [len(row) for row in rows]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    told = None if prompts is None else np.array(prompts, np.int32)
    return Ragged(np.array([each for row in rows for each in row], np.int32), offsets, told)


def listed(rows):
    return [part.tolist() for part in np.split(rows.ids, rows.offsets[1:-1])]


@settings(max_examples=20)
@given(rows=ROWS, ids=st.lists(st.integers(0, 9), max_size=3))
def test_joined_rows_stand_end_to_end(rows, ids):
    behind = same(np.array(ids, np.int32), len(rows))
    found = joined(ragged(rows), behind, ragged(rows))
    assert listed(found) == [[*row, *ids, *row] for row in rows]


@settings(max_examples=20)
@given(rows=ROWS, start=st.integers(0, 4), more=st.integers(0, 4))
def test_a_slice_is_that_of_every_row(rows, start, more):
    starts = np.full(len(rows), start, np.int32)
    stops = np.array([max(min(start + more, len(row)), start) for row in rows], np.int32)
    starts = np.minimum(starts, [len(row) for row in rows]).astype(np.int32)
    stops = np.maximum(np.minimum(stops, [len(row) for row in rows]), starts).astype(np.int32)
    wanted = [row[a:b] for row, a, b in zip(rows, starts, stops, strict=True)]
    assert listed(sliced(ragged(rows), starts, stops)) == wanted


@pytest.mark.parametrize(
    ("build", "expected"),
    [(build_bert, Ends(1, 1)), (build_llama, Ends(1, 0)), (build_gpt2, (0, 0))],
)
def test_special_tokens_are_counted_at_both_ends(tmp_path, build, expected):
    assert ends(resolve(Model(str(build(tmp_path / "m"))))) == expected


@pytest.mark.parametrize(
    ("side", "prompts", "wanted"),
    [
        ("right", None, [[2, 7, 3], [2, 5, 6, 7, 3]]),
        ("left", None, [[2, 7, 3], [2, 7, 8, 9, 3]]),
        ("left", [0, 2], [[2, 7, 3], [2, 5, 8, 9, 3]]),
    ],
)
def test_a_long_row_loses_text_and_no_special_token_nor_prompt(tmp_path, side, prompts, wanted):
    folder = build_bert(tmp_path / "m")
    edit_json(folder / "tokenizer_config.json", truncation_side=side)
    rows = ragged([[2, 7, 3], [2, 5, 6, 7, 8, 9, 3]], prompts)
    short, marks = shortened(rows, 5, resolve(Model(str(folder))), "m")
    assert listed(short) == wanted
    assert marks.tolist() == [False, True]


def test_a_row_that_would_keep_its_prompt_alone_is_refused_with_the_length_to_set(tmp_path):
    folder = resolve(Model(str(build_bert(tmp_path / "m"))))
    rows = ragged([[2, 7, 3], [2, 5, 6, 7, 8, 9, 3]], [2, 4])
    with pytest.raises(ModelError, match=r"prompt of 4 tokens .* max_length of tokenize to 5"):
        shortened(rows, 5, folder, "m")
    short, _ = shortened(rows, 6, folder, "m")
    assert listed(short) == [[2, 7, 3], [2, 5, 6, 7, 8, 3]]


def test_a_room_without_place_for_a_text_is_refused(tmp_path):
    folder = resolve(Model(str(build_bert(tmp_path / "m"))))
    with pytest.raises(ModelError, match="no room for a text"):
        shortened(ragged([[2, 3]]), 2, folder, "m")
