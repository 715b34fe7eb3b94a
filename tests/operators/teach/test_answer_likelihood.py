"""The reward of LLM-Embedder: the answer's tokens after the document and the question."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.base import Resources
from operators.errors import ContractError, ModelError
from operators.model import Model
from operators.teach.answer_likelihood import AnswerLikelihood, Asking
from operators.teach.teach import Teach

PAIRS = [("the fox", "of and 12%"), ("a {text}?", "ab" * 20), ("why of the and", "x")]
ANSWERS = ["of the", "12% of a", "and"]
TEMPLATE = "Knowledge: {text}\n\nQuestion: {query}\n\nAnswer: {answer}"


def taught(folder, table, **fields):
    model = Model(str(folder), max_length=fields.pop("length", 0))
    step = Teach(model, "answer-likelihood", answer="a", fingerprint="t", **fields)
    with step.open(Resources(device="cpu")) as teach:
        return teach(table)


def by_hand(folder, query, text, answer):
    """Log-likelihoods of an answer's tokens, from the whole model."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    own = tokenizer(answer, add_special_tokens=False)["input_ids"]
    ids = tokenizer(f"Knowledge: {text}\n\nQuestion: {query}\n\nAnswer: {answer}")["input_ids"]
    while ids[-1] == tokenizer.sep_token_id:
        ids.pop()
    assert ids[-len(own) :] == own
    with torch.inference_mode():
        likely = network(torch.tensor([ids])).logits[0].float().log_softmax(1)
    return [float(likely[at - 1, ids[at]]) for at in range(len(ids) - len(own), len(ids))]


@pytest.mark.parametrize("kind", ["gpt2", "llama-lm", "qwen3"])
@pytest.mark.parametrize(("norm", "of"), [(None, np.mean), ("sum", np.sum)])
def test_it_equals_the_log_softmax_by_hand(folders, pair_table, kind, norm, of):
    found = taught(folders(kind), pair_table(PAIRS, answers=ANSWERS), norm=norm)["logit"]
    wanted = [
        of(by_hand(folders(kind), *pair, answer))
        for pair, answer in zip(PAIRS, ANSWERS, strict=True)
    ]
    np.testing.assert_allclose(found.to_numpy(), wanted, atol=1e-4)


def test_the_text_is_cut_and_never_the_question_or_the_answer(folders, pair_table):
    long = [("the fox", "of and the " * 90), ("the fox", "of and the " * 200)]
    one, other = taught(folders("gpt2"), pair_table(long, answers=["of"] * 2))["logit"].to_pylist()
    assert one == pytest.approx(other, abs=1e-5)
    out = taught(folders("gpt2"), pair_table([("a " * 200, "x"), ("a", "x")], answers=["of"] * 2))
    reason = "it has no answer, or query and answer leave no room for the text"
    assert out["error"].to_pylist() == [reason, None]


def test_a_query_without_an_answer_is_rejected_alone(folders, pair_table):
    table = pair_table(PAIRS, answers=[None, " ", "and"])
    out = taught(folders("gpt2"), table)
    assert out["logit"].is_null().to_pylist() == [True, True, False]
    alone = taught(folders("gpt2"), table.slice(2))
    np.testing.assert_allclose(alone["logit"].to_numpy(), out["logit"].to_numpy()[2:], atol=1e-5)


@given(st.tuples(*[st.text("ab {}textquery\n", max_size=20)] * 3))
@settings(max_examples=60)
def test_the_prompt_is_the_template_filled_in_whatever_the_texts_hold(parts):
    query, text, answer = parts
    found = Asking(TEMPLATE, "m").filled((query, answer), text)
    assert found.prompt == f"Knowledge: {text}\n\nQuestion: {query}\n\nAnswer: {answer}"
    assert found.prompt[found.query :] == answer
    assert found.prompt[found.text : found.text_stop] == text


def test_a_template_without_its_places_and_a_step_without_answers_are_refused(folders, pair_table):
    model = Model(str(folders("gpt2")))
    for template in (
        "{text} {query}",
        "{answer} {text} {query}",
        "{query} {answer}",
        "{text}{answer}",
    ):
        with pytest.raises(
            ModelError,
            match=r"should hold \{text\}, \{query\} and \{answer\} at its end|each of them once",
        ):
            AnswerLikelihood(model, answer="a", template=template).check()
    with pytest.raises(ModelError, match="answer-likelihood needs `answer`"):
        AnswerLikelihood(model).check()
    with pytest.raises(ContractError, match="teach needs column 'answer'"):
        Teach(model, "answer-likelihood", answer="a").bind(pair_table(PAIRS).schema)
    AnswerLikelihood(model, answer="a", template="{query} {text} {answer}").check()


def test_the_answers_leave_with_the_texts(folders, pair_table):
    table = pair_table(PAIRS, answers=ANSWERS)
    assert taught(folders("gpt2"), table).column_names == ["id", "teacher", "logit"]
    kept = taught(folders("gpt2"), table, more=True)
    assert kept["answer"].equals(pa.chunked_array([ANSWERS]))
