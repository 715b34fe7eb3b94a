"""A task and examples before a query: the words, how they are cut, and that passages get none."""

import pyarrow as pa
import pytest

from operators.errors import ModelError
from operators.instruction import Example, Instruction
from operators.model import Model, resolve
from operators.text.tokenizer import Tokenize, complete
from pipelines.fingerprint import step_identity
from tests.tiny_models import BUILDERS, SEP, build_bert, build_llama, edit_json

EXAMPLES = (Example("q one", "p one"), Example("q {query}", "p two"))
TASK = Instruction("find")
SHOTS = Instruction("find", EXAMPLES, "{examples}{task}:{query}", "{query}={passage};")


def tokens(folder, texts, role="query", max_length=0, **model):
    step = Tokenize(Model(str(folder), **model), role=role, max_length=max_length)
    with step.open() as tokenize:
        return tokenize(pa.table({"id": [str(n) for n in range(len(texts))], "text": texts}))


def test_without_examples_it_is_the_prompt_that_instructed_retrievers_use():
    assert TASK.prompts() == ("Instruct: find\nQuery: ",)


def test_the_last_examples_go_first_and_their_braces_are_text():
    one, two = (
        "Instruct: find\nQuery: q one\np one\n\n",
        "Instruct: find\nQuery: q {query}\np two\n\n",
    )
    bare = "Instruct: find\nQuery: "
    assert Instruction("find", EXAMPLES).prompts() == (one + two + bare, one + bare, bare)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"template": "{query} {task}"}, "should end with {query}"),
        ({"template": "{task}"}, "should end with {query}"),
        ({"template": "{text} {query}"}, "holds {text}, which means nothing there"),
        ({"example": "{answer}"}, "holds {answer}, which means nothing there"),
        ({"template": "{task} {query}", "examples": EXAMPLES}, "no place for {examples}"),
    ],
)
def test_a_template_that_cannot_be_filled_is_refused(fields, problem):
    with pytest.raises(ValueError, match=problem):
        Instruction("find", **fields)


def test_a_query_loses_examples_before_it_loses_words_and_each_row_for_itself(tmp_path):
    folder = build_llama(tmp_path / "m")
    encoder = complete(resolve(Model(str(folder))), "m")
    texts = ["the of", "the " * 40, "the " * 52, "the " * 80]
    out = tokens(folder, texts, instruction=SHOTS)
    prompts = SHOTS.prompts()
    ids = [encoder.encode(prompt + text).ids for prompt, text in zip(prompts, texts, strict=False)]
    assert [len(each) <= 64 for each in ids] == [True] * 3
    assert len(encoder.encode(prompts[0] + texts[1]).ids) > 64
    assert len(encoder.encode(prompts[1] + texts[2]).ids) > 64
    assert out["input_ids"].to_pylist() == [*ids, encoder.encode(prompts[2] + texts[3]).ids[:64]]
    assert out["truncated"].to_pylist() == [False, False, False, True]
    alone = tokens(folder, texts[1:2], instruction=SHOTS)
    assert alone["input_ids"].to_pylist() == out["input_ids"].to_pylist()[1:2]


def test_a_passage_never_gets_it_nor_does_its_identity_know_of_it(tmp_path):
    folder = build_llama(tmp_path / "m")
    plain, told = (tokens(folder, ["fox"], "passage", instruction=each) for each in (None, SHOTS))
    assert plain.equals(told)
    identities = [
        step_identity(Tokenize(Model(str(folder), instruction=each), role=role))
        for role in ("passage", "query")
        for each in (None, SHOTS, TASK)
    ]
    assert identities[0] == identities[1] == identities[2]
    assert len({str(each) for each in identities[3:]}) == 3


def test_the_tokens_of_its_examples_are_left_out_where_the_folder_says_so(tmp_path):
    folder = build_bert(tmp_path / "m", include_prompt=False)
    out = tokens(folder, ["the of", "the " * 40], instruction=SHOTS)
    encoder = complete(resolve(Model(str(folder))), "m")
    wanted = [len(encoder.encode(SHOTS.prompts()[number]).ids) - 1 for number in (0, 1)]
    assert out["prompt_tokens"].to_pylist() == wanted


def test_a_prompt_for_queries_beside_it_is_refused(tmp_path):
    with pytest.raises(ValueError, match="keep one"):
        Model(str(tmp_path), prompts={"query": "q: "}, instruction=TASK)


@pytest.mark.parametrize("kind", BUILDERS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_every_row_ends_with_the_ending_once_also_when_it_is_cut(tmp_path, kind, side):
    folder = BUILDERS[kind](tmp_path / "m")
    edit_json(folder / "tokenizer_config.json", truncation_side=side)
    for role in ("query", "passage"):
        out = tokens(folder, ["the of", "the " * 90], role, ending="[SEP]", instruction=TASK)
        for ids in out["input_ids"].to_pylist():
            assert ids[-1] == SEP
            assert ids.count(SEP) == 1
            assert len(ids) <= 64
        assert out["truncated"].to_pylist() == [False, True]


def test_an_ending_that_the_tokenizer_adds_itself_changes_no_id(tmp_path):
    folder = build_bert(tmp_path / "m")
    assert tokens(folder, ["the of"], ending="[SEP]").equals(tokens(folder, ["the of"]))


def test_an_unknown_ending_is_refused(tmp_path):
    with pytest.raises(ModelError, match="'</s>' is no token of its tokenizer"):
        tokens(build_llama(tmp_path / "m"), ["x"], ending="</s>")


def test_an_ending_is_part_of_what_the_model_is(tmp_path):
    folder = build_llama(tmp_path / "m")
    one, other = (
        step_identity(Tokenize(Model(str(folder), ending=each))) for each in ("", "[SEP]")
    )
    assert one != other
