"""Query likelihood is the hand-summed log-softmax of the query's tokens."""

import numpy as np
import pytest
import torch

from operators.errors import ModelError
from operators.model import Model
from operators.teach.query_likelihood import QueryLikelihood
from tests.tiny_models import build_bert, build_classifier

PAIRS = [("the fox", "of and 12%"), ("a", "ab" * 20), ("why of the and", "x"), ("the fox", "of")]
TEMPLATE = "Knowledge: {text}\n\nQuestion: {query}"


def by_hand(folder, query, prompt, dtype=torch.float32):
    """Mean log-likelihood of a query whose tokens do not change when they stand alone."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    network = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    own = tokenizer(query, add_special_tokens=False)["input_ids"]
    ids = tokenizer(prompt)["input_ids"]
    while ids[-1] == tokenizer.sep_token_id:
        ids.pop()
    assert ids[-len(own) :] == own
    with torch.inference_mode():
        likely = network(torch.tensor([ids])).logits[0].float().log_softmax(1)
    places = range(len(ids) - len(own), len(ids))
    return float(np.mean([likely[place - 1, ids[place]] for place in places]))


@pytest.mark.parametrize("kind", ["gpt2", "llama-lm", "qwen3", "gemma2"])
def test_it_equals_the_sum_by_hand(folders, logits, kind):
    found = logits(folders(kind), PAIRS, teacher="query-likelihood")
    wanted = [
        by_hand(folders(kind), query, TEMPLATE.format(text=text, query=query))
        for query, text in PAIRS
    ]
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert (found < 0).all()


@pytest.mark.parametrize("kind", ["gpt2", "gemma2"])
@pytest.mark.parametrize("budget", [1, 70, 300])
def test_packing_changes_nothing(folders, logits, kind, budget):
    whole = logits(folders(kind), PAIRS, teacher="query-likelihood", budget=4096)
    packed = logits(folders(kind), PAIRS, teacher="query-likelihood", budget=budget)
    np.testing.assert_allclose(packed, whole, atol=1e-4)


@pytest.mark.parametrize("kind", ["gpt2", "llama-lm"])
def test_the_side_of_the_padding_changes_nothing(folders, kind):
    from operators.encode.loop import Ragged, padded
    from operators.model import resolve
    from operators.teach.decoder import Decoder, likelihood, load
    from operators.teach.prompts import encode_prompts, parse, prompter

    folder = resolve(Model(str(folders(kind))))
    found = encode_prompts(prompter(folder, parse(TEMPLATE, "m")), *zip(*PAIRS, strict=True))
    rows = Ragged(found.ids, found.offsets, found.leading)
    right, mask = map(torch.from_numpy, padded(rows, np.arange(len(PAIRS)), 0))
    shifts = (mask.shape[1] - mask.sum(1)).tolist()
    left, left_mask = (
        torch.stack([row.roll(shift) for row, shift in zip(matrix, shifts, strict=True)])
        for matrix in (right, mask)
    )
    decoder = Decoder("m", *load(folder, "m", "fp32", torch.device("cpu")), likelihood)
    leading = torch.from_numpy(found.leading)
    with torch.inference_mode():
        one, other = decoder(right, mask, leading), decoder(left, left_mask, leading)
    np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("words", ["a b c d e ", "a " * 900 + "b" * 5000 + " "])
def test_a_long_text_is_cut_and_its_query_is_whole(folders, logits, words):
    found = logits(folders("gpt2"), [("the x", words * 700)], teacher="query-likelihood")
    room = 128 - len("Knowledge:Question:") - len(["the", "x"])
    cut = (words * 700)[: 2 * room]
    wanted = by_hand(folders("gpt2"), "the x", TEMPLATE.format(text=cut, query="the x"))
    assert found[0] == pytest.approx(wanted, abs=1e-4)


def test_a_query_that_leaves_no_room_is_rejected(folders, pair_table):
    from operators.teach.teach import Teach

    step = Teach(Model(str(folders("gpt2"))), "query-likelihood", fingerprint="t")
    with step.open() as teach:
        out = teach(pair_table([("the", "of"), ("xy " * 70, "of"), ("\u200b", "of")]))
    reason = "its query leaves no room for the text within the model's length, or has no token"
    assert out["error"].to_pylist() == [None, reason, reason]


@pytest.mark.parametrize("build", [build_bert, build_classifier])
def test_a_model_that_looks_both_ways_is_refused(tmp_path, build):
    folder = build(tmp_path / "m")
    with pytest.raises(ModelError, match="query-likelihood needs a causal language model"):
        QueryLikelihood(Model(str(folder))).check()


def test_a_decoder_that_classifies_is_refused(tmp_path):
    folder = build_classifier(tmp_path / "m", "llama")
    with pytest.raises(ModelError, match="is LlamaForSequenceClassification; query-likelihood"):
        QueryLikelihood(Model(str(folder))).check()


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{query} {text}", r"should end with \{query\}, whose tokens count"),
        ("{text} {query}?", r"should end with \{query\}"),
        ("{query}", r"should hold \{query\} and \{text\}, each of them once"),
        ("{text}{text}{query}", "each of them once"),
    ],
)
def test_a_template_without_its_places_is_refused(folders, template, said):
    with pytest.raises(ModelError, match=said):
        QueryLikelihood(Model(str(folders("gpt2"))), template=template).check()


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_gemma_prefers_the_document_of_the_query(gemma, logits):
    query = "What is the capital of France?"
    texts = ["Paris is the capital and largest city of France.", "Yeast makes bread rise."]
    pairs = [(query, text) for text in (*texts, texts[0] + " It lies on the Seine." * 30)]
    found = logits(gemma, pairs, teacher="query-likelihood", length=128)
    wanted = by_hand_from(gemma, query, texts[0])
    assert found[0] == pytest.approx(wanted, abs=1e-3)
    assert found[0] > found[1]
    assert found[2] > found[1]


def by_hand_from(folder, query, text):
    """As `by_hand`, for a tokenizer whose tokens hold the space before a word."""
    return by_hand(folder, " " + query, TEMPLATE.format(text=text, query=query))
