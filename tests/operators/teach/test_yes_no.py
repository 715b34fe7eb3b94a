"""The yes-no teacher weighs two answers at the end of the prompt."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from operators.errors import ModelError
from operators.model import Model
from operators.teach.decoder import agreement
from operators.teach.yes_no import YesNo

PAIRS = [("the fox", "of and 12%"), ("a", "ab" * 20), ("why of the and", "x"), ("the fox", "of")]
FIELDS = {"teacher": "yes-no", "answers": ("the", "of"), "template": "{query} of {text}:"}


def by_hand(folder, prompt, yes, no):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(prompt)["input_ids"]
    while ids[-1] == tokenizer.sep_token_id:
        ids.pop()
    with torch.inference_mode():
        last = network(torch.tensor([ids])).logits[0, -1].float()
    one, other = (
        torch.stack([last[place] for place in tokenizer.convert_tokens_to_ids(list(words))])
        for words in (yes, no)
    )
    return float(one.logsumexp(0) - other.logsumexp(0))


@pytest.mark.parametrize("kind", ["gpt2", "llama-lm", "qwen3", "gemma2"])
def test_it_equals_the_difference_by_hand(folders, logits, kind):
    found = logits(folders(kind), PAIRS, **FIELDS)
    wanted = [by_hand(folders(kind), f"{q} of {t}:", ["the"], ["of"]) for q, t in PAIRS]
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    packed = logits(folders(kind), PAIRS, budget=50, **FIELDS)
    np.testing.assert_allclose(packed, found, atol=1e-4)


def test_swapped_answers_give_the_opposite(folders, logits):
    swapped = logits(folders("gpt2"), PAIRS, **{**FIELDS, "answers": ("of", "the")})
    np.testing.assert_allclose(swapped, -logits(folders("gpt2"), PAIRS, **FIELDS), atol=1e-6)


def weigh(logits, yes=(0, 1), no=(2, 3)):
    """What `agreement` makes of the logits at the ends of rows of one token."""
    rows = torch.zeros(len(logits), 1, dtype=torch.long)
    states = logits.unsqueeze(1)
    return agreement((yes, no), lambda ends: iter([ends]), states, rows, rows + 1)[:, 0]


VALUES = st.lists(st.floats(-10, 10), min_size=5, max_size=5)


@given(VALUES, st.floats(-50, 50))
def test_a_shift_of_all_logits_changes_nothing(values, shift):
    logits = torch.tensor([values], dtype=torch.float64)
    np.testing.assert_allclose(weigh(logits + shift), weigh(logits), atol=1e-9)


@given(VALUES)
def test_its_sigmoid_is_the_share_of_yes_among_both(values):
    logits = torch.tensor([values], dtype=torch.float64)
    exp = logits[0].exp()
    share = float(weigh(logits).sigmoid())
    assert 0 < share < 1
    assert share == pytest.approx(float((exp[0] + exp[1]) / exp[:4].sum()))


def test_an_answer_that_is_no_single_token_is_refused(folders):
    for answers in (("the", "maybe"), ("the", "the"), ("東", "京")):
        with pytest.raises(ModelError, match="no token of its own for the answer"):
            YesNo(Model(str(folders("gpt2"))), answers=answers).check()


def test_a_query_that_leaves_no_room_is_rejected(folders, pair_table):
    from operators.teach.teach import Teach

    step = Teach(Model(str(folders("gpt2"))), fingerprint="t", **FIELDS)
    with step.open() as teach:
        out = teach(pair_table([("xy " * 70, "of"), ("the", "of")]))
    reason = "its query leaves no room for the text within the model's length"
    assert out["error"].to_pylist() == [reason, None]


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_gemma_weighs_both_spellings_of_yes_and_no(gemma, logits):
    pairs = [("What is the capital of France?", "Paris is the capital of France.")]
    template = "{text}\nQuestion: {query}\nAnswer Yes or No:"
    found = logits(gemma, pairs, teacher="yes-no", template=template, length=128)
    prompt = template.format(query=pairs[0][0], text=pairs[0][1])
    wanted = by_hand(gemma, prompt, ["Yes", "▁Yes"], ["No", "▁No"])
    assert found[0] == pytest.approx(wanted, abs=1e-3)
