"""One pass over a query and its candidates: what equals separate passes, and what does not."""

import shutil
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.modules.module import register_module_forward_hook
from transformers import BertModel

from operators.base import Resources
from operators.errors import ContractError, ModelError
from operators.model import Model
from operators.teach import uni_encoder
from operators.teach.layouts import WHOLE
from operators.teach.segments import positions
from operators.teach.teach import Teach
from operators.teach.uni_encoder import UniEncoder
from tests.tiny_models import build_bert, build_uni_encoder, edit_json

LAYOUTS = ("isolated", "diag", "arrow", "square")
QUERY = "why the fox of 12%"
TEXTS = ["of and 12%", "the lazy dog of and the " * 9, "a", "the lazy dog", "of"]
PAIRS = [(QUERY, text) for text in TEXTS]
TEXT = st.text("abc of.%", min_size=1, max_size=60)


@pytest.fixture(scope="module")
def scorers(folders):
    """Opened once: pairs to logits."""

    @cache
    def opened(layout, precision="fp32"):
        return UniEncoder(Model(str(folders("uni"))), precision, layout).scorer(
            torch.device("cpu"), 4096
        )

    def scorer(layout, precision="fp32"):
        def score(pairs):
            queries, texts = (pa.array(side, pa.string()) for side in zip(*pairs, strict=True))
            return opened(layout, precision)(queries, texts).logits

        return score

    return scorer


def by_hand(folder, pairs, layout):
    """Separate passes of plain transformers with its plain mask: all that a pair sees is there."""
    from safetensors.torch import load_file
    from transformers import AutoModel, AutoTokenizer

    network = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    words = AutoTokenizer.from_pretrained(folder)
    head = load_file(folder / "model.safetensors")
    found = []
    for query, text in pairs:
        first = words(query)["input_ids"]
        second = words(text, truncation=True, max_length=64 - len(first))["input_ids"]
        place = torch.arange(len(first) + len(second))[None]
        types = (place >= len(first)).long()

        def states(ids, place, types):
            with torch.inference_mode():
                return network(torch.tensor([ids]), position_ids=place, token_type_ids=types)[0][0]

        cut = len(first)
        if layout == "diag":
            query_states = states(first, place[:, :cut], types[:, :cut])
            mean = states(second, place[:, cut:], types[:, cut:]).mean(0)
            found.append(float(mean @ query_states.mean(0)))
            continue
        mean = states(first + second, place, types)[cut:].mean(0)
        found.append(float(mean @ head["fc.weight"][0] + head["fc.bias"][0]))
    return np.array(found)


@pytest.mark.parametrize("layout", ["diag", "arrow", "square"])
def test_a_single_candidate_equals_plain_passes_of_transformers(folders, scorers, layout):
    alone = [scorers(layout)([pair])[0] for pair in PAIRS]
    np.testing.assert_allclose(alone, by_hand(folders("uni"), PAIRS, layout), atol=1e-4)


@pytest.mark.parametrize("layout", ["isolated", "diag"])
@given(texts=st.lists(TEXT, min_size=1, max_size=7), seed=st.integers(0, 99))
@settings(max_examples=6)
def test_one_pass_equals_a_pass_for_each_candidate(scorers, layout, texts, seed):
    score = scorers(layout)
    pairs = [(query, text) for query in ("the fox", QUERY) for text in texts]
    alone = [score([pair])[0] for pair in pairs]
    order = np.random.default_rng(seed).permutation(len(pairs))
    shuffled = np.empty(len(pairs))
    shuffled[order] = score([pairs[place] for place in order])
    np.testing.assert_allclose(score(pairs), alone, atol=1e-4)
    np.testing.assert_allclose(shuffled, alone, atol=1e-4)


@pytest.mark.parametrize("layout", sorted(WHOLE))
@given(seed=st.integers(0, 99))
@settings(max_examples=4)
def test_a_whole_list_has_other_logits_than_its_parts_but_no_order(scorers, layout, seed):
    score = scorers(layout)
    whole = score(PAIRS)
    assert np.abs(whole - [score([pair])[0] for pair in PAIRS]).max() > 1e-3
    order = np.random.default_rng(seed).permutation(len(PAIRS))
    np.testing.assert_allclose(score([PAIRS[place] for place in order]), whole[order], atol=1e-4)


def test_the_query_sees_itself_alone_or_everything(scorers):
    longer = [*PAIRS, (QUERY, "quite another text")]
    for layout in LAYOUTS:
        moved = np.abs(scorers(layout)(longer)[: len(PAIRS)] - scorers(layout)(PAIRS)).max()
        assert (moved > 1e-4) == (layout in WHOLE)


def test_a_list_of_more_than_a_pass_holds_is_cut_only_where_it_may_be(scorers, monkeypatch):
    whole = {layout: scorers(layout)(PAIRS) for layout in LAYOUTS}
    monkeypatch.setattr(uni_encoder, "PACK", 1)
    for layout in LAYOUTS:
        np.testing.assert_allclose(scorers(layout)(PAIRS), whole[layout], atol=1e-4)


def test_candidates_stand_side_by_side_behind_the_query():
    segment = torch.tensor([[0, 0, 0, 1, 1, 2, 2, 2], [0, 1, 2, 2, 3, -1, -1, -1]])
    assert positions(segment).tolist() == [[0, 1, 2, 3, 4, 3, 4, 5], [0, 1, 1, 2, 1, 0, 0, 0]]


def test_low_precision_stays_near_float32(scorers):
    exact = scorers("isolated")(PAIRS)
    np.testing.assert_allclose(scorers("isolated", "bf16")(PAIRS), exact, atol=0.2)


def test_a_text_that_spells_a_special_token_is_no_new_candidate(scorers):
    pairs = [(QUERY, "of [SEP] [CLS] the"), (QUERY, "and")]
    score = scorers("isolated")
    alone = [score([pair])[0] for pair in pairs]
    np.testing.assert_allclose(score(pairs), alone, atol=1e-5)


def test_a_query_has_half_of_the_length_and_a_candidate_what_is_left(folders, scorers):
    score = scorers("isolated")
    long = "the lazy dog of and " * 30
    one, other = score([(long, long), (long + "!", long + "!")])
    assert one == pytest.approx(other, abs=1e-5)
    cut = score([(" ".join(long.split()[:30]), " ".join(long.split()[:30]))])[0]
    assert one == pytest.approx(cut, abs=1e-4)


def test_each_query_has_its_own_list_also_beside_another_of_the_same_text(folders, pair_table):
    step = Teach(Model(str(folders("uni"))), "uni-encoder", layout="arrow", fingerprint="t")
    ids = ["q1", "q2", "q1", "q2", "q2"]
    table = pair_table(PAIRS, ids=ids)
    with pytest.raises(ContractError, match="teach needs column 'query_id'"):
        step.bind(pair_table(PAIRS).schema)
    assert step.bind(table.schema).names == ["id", "teacher", "query_id", "logit"]
    with step.open(Resources(device="cpu")) as teach:
        both = teach(table)["logit"].to_numpy()
        for name in ("q1", "q2"):
            own = np.array(ids) == name
            alone = teach(table.filter(pa.array(own)))["logit"].to_numpy()
            np.testing.assert_allclose(both[own], alone, atol=1e-5)
        assert (
            np.abs(both - teach(pair_table(PAIRS, ids=["q"] * 5))["logit"].to_numpy()).max() > 0.01
        )


def test_a_list_that_is_too_long_to_be_scored_whole_is_put_aside_alone(folders, pair_table):
    pairs = [*PAIRS, *((QUERY, f"of and the {n} " * 40) for n in range(400))]
    table = pair_table(pairs, ids=["q1"] * len(PAIRS) + ["q2"] * 400)
    step = Teach(Model(str(folders("uni"))), "uni-encoder", layout="arrow", fingerprint="t")
    with step.open(Resources(device="cpu")) as teach:
        out = teach(table)
        alone = teach(table.slice(0, len(PAIRS)))
    said = "the list of its query has more than 16,384 tokens; mine fewer negatives, or take layout"
    assert out["error"].to_pylist()[: len(PAIRS)] == [None] * len(PAIRS)
    assert all(why.startswith(said) for why in out["error"].to_pylist()[len(PAIRS) :])
    np.testing.assert_allclose(out["logit"][: len(PAIRS)], alone["logit"], atol=1e-5)


def test_lists_that_are_scored_whole_share_a_forward_pass(folders, pair_table):
    step = Teach(Model(str(folders("uni"))), "uni-encoder", layout="arrow", fingerprint="t")
    passes = []
    with step.open(Resources(device="cpu", token_budget=4096)) as teach:
        counted = register_module_forward_hook(
            lambda module, *_: passes.append(1) if isinstance(module, BertModel) else None
        )
        teach(pair_table(PAIRS, ids=["q1", "q2", "q1", "q2", "q2"]))
        counted.remove()
    assert len(passes) == 1


def refused(folder, layout="isolated"):
    with pytest.raises(ModelError) as caught:
        UniEncoder(Model(str(folder)), layout=layout).check()
    return str(caught.value)


def test_what_is_no_uni_encoder_is_refused_from_its_files(folders, tmp_path):
    assert "uni-encoder needs a BERT with two token types" in refused(folders("gpt2"))
    assert "uni-encoder needs a BERT with two token types" in refused(folders("roberta"))
    said = refused(build_bert(tmp_path / "m"))
    assert "has no head fc.weight (1, 32) and fc.bias (1); layout diag needs none" in said
    UniEncoder(Model(str(tmp_path / "m")), layout="diag").check()
    folder = build_uni_encoder(tmp_path / "u")
    edit_json(folder / "config.json", type_vocab_size=1)
    assert "two token types" in refused(folder)
    with pytest.raises(ModelError, match="4 tokens hold no query beside a candidate"):
        UniEncoder(Model(str(folders("uni")), max_length=4)).check()


def test_a_layout_that_does_not_do_what_it_says_is_refused(folders, monkeypatch):
    from operators.teach import segments

    monkeypatch.setitem(segments._ALLOWED, "isolated", segments._ALLOWED["square"])
    with pytest.raises(ModelError, match="under layout isolated another candidate moves a logit"):
        UniEncoder(Model(str(folders("uni")))).scorer(torch.device("cpu"), 4096)


@pytest.mark.slow
def test_on_real_weights_one_pass_equals_a_pass_for_each_candidate(ce_minilm, tmp_path):
    """The body and the classifier of a real cross-encoder, as a uni-encoder's."""
    from safetensors.numpy import load_file, save_file

    folder = tmp_path / "uni"
    shutil.copytree(ce_minilm, folder)
    weights = load_file(folder / "model.safetensors")
    for name in ("weight", "bias"):
        weights[f"fc.{name}"] = weights.pop(f"classifier.{name}")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    texts = pa.array([text * 7 for text in TEXTS] + ["Paris is the capital of France."])
    queries = pa.array(["What is the capital of France?"] * len(texts))
    for layout in LAYOUTS:
        teacher = UniEncoder(Model(str(folder)), layout=layout)
        teacher.check()
        score = teacher.scorer(torch.device("cpu"), 4096)
        whole = score(queries, texts).logits
        alone = [score(queries[n : n + 1], texts[n : n + 1]).logits[0] for n in range(len(texts))]
        assert (np.abs(whole - alone).max() > 1e-3) == (layout in WHOLE)
