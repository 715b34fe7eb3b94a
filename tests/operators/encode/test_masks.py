"""A mask given to a network is what each of its layers obeys, the local ones too."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.encode import masks
from operators.encode.changed import Changed
from operators.encode.masked import Masked
from operators.encode.torch_backend import load
from operators.model import Model, resolve
from tests.tiny_models import BUILDERS
from tests.windowed_models import WINDOW, WINDOWED

ALL = {**BUILDERS, **WINDOWED}
IDS = np.random.default_rng(3).integers(4, 60, (2, 4 * WINDOW))
OWN = torch.ones(2, 4 * WINDOW, dtype=torch.long)
OWN[1, 3 * WINDOW :] = 0


def network(kind, folder):
    found = resolve(Model(str(ALL[kind](folder))))
    return found, load(found, kind, "fp32", torch.device("cpu"))


@pytest.mark.parametrize("kind", ALL)
@torch.inference_mode()
def test_an_architectures_own_rule_given_as_a_mask_gives_its_own_states(tmp_path, kind):
    folder, plain = network(kind, tmp_path / kind)
    rule = masks.only_back if folder.is_decoder else masks.both_ways
    ids = torch.from_numpy(IDS)
    native = plain.states(ids, OWN)[OWN > 0]
    found = Changed(plain, Masked(rule)).states(ids, OWN)[OWN > 0]
    if kind == "modernbert":
        assert torch.equal(found, native)
    torch.testing.assert_close(found, native, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", WINDOWED)
@torch.inference_mode()
def test_without_the_window_a_local_layer_would_see_too_much(tmp_path, kind):
    folder, plain = network(kind, tmp_path / kind)
    rule = masks.only_back if folder.is_decoder else masks.both_ways
    ids = torch.from_numpy(IDS)
    seen = masks.additive(rule(OWN), torch.float32)
    wrong = plain.network(input_ids=ids, attention_mask=seen)[0]
    assert (wrong - plain.states(ids, OWN))[0].abs().max() > 1e-3


@pytest.mark.parametrize("kind", ["gemma3", "mistral", "modernbert-decoder"])
@torch.inference_mode()
def test_both_ways_in_a_local_layer_is_as_far_to_each_side(tmp_path, kind):
    folder = resolve(Model(str(WINDOWED[kind](tmp_path / kind, layers=1))))
    backend = Changed(load(folder, kind, "fp32", torch.device("cpu")), Masked(masks.both_ways))
    ids = torch.from_numpy(IDS[:1]).repeat(2, 1)
    changed = 2 * WINDOW
    ids[1, changed] += 1
    one, other = backend.states(ids, None)
    moved = ((one - other).abs().amax(1) > 1e-6).nonzero().flatten()
    assert moved.tolist() == list(range(changed - WINDOW + 1, changed + WINDOW))


OWNS = st.lists(st.integers(1, 7), min_size=1, max_size=4)


def owned(lengths, left):
    own = torch.zeros(len(lengths), 8, dtype=torch.long)
    for row, length in enumerate(lengths):
        own[row, slice(8 - length, 8) if left else slice(length)] = 1
    return own


@settings(max_examples=20)
@given(lengths=OWNS, left=st.booleans())
def test_a_whole_prefix_is_both_ways_and_none_is_only_back(lengths, left):
    own = owned(lengths, left)
    kept = (own > 0).unsqueeze(2)
    whole = masks.prefix(own, torch.tensor(lengths))
    assert torch.equal(whole & kept, masks.both_ways(own) & kept)
    nothing = torch.zeros(len(lengths), dtype=torch.long)
    assert torch.equal(masks.prefix(own, nothing) & kept, masks.only_back(own) & kept)


@settings(max_examples=20)
@given(lengths=OWNS, left=st.booleans(), tail=st.integers(1, 9))
def test_a_negative_prefix_counts_from_the_end_of_each_row(lengths, left, tail):
    own = owned(lengths, left)
    ends = torch.tensor([max(length - tail, 0) for length in lengths])
    told = masks.prefix(own, torch.full((len(lengths),), -tail))
    assert torch.equal(told, masks.prefix(own, ends))


@settings(max_examples=20)
@given(lengths=OWNS, left=st.booleans(), count=st.integers(0, 4))
def test_blind_ends_see_the_text_and_themselves_alone(lengths, left, count):
    own = owned(lengths, left)
    allowed = masks.blind_ends(own, count)
    for row, length in enumerate(lengths):
        first = 8 - length if left else 0
        text = max(length - count, 0)
        for place in range(length):
            seen = allowed[row, first + place].nonzero().flatten() - first
            wanted = [*range(min(place + 1, text)), *([place] if place >= text else [])]
            assert seen.tolist() == wanted
