"""A token behind every row, whatever a tokenizer's file says of its ends."""

import json

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from operators.errors import ModelError
from operators.text.ending import ended

WORDS = {"<s>": 0, "</s>": 1, "a": 2, "b": 3, "x": 4}
FRONT = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
BYTES = processors.ByteLevel(trim_offsets=False)


def written(folder, processor, special=("<s>", "</s>")):
    tokenizer = Tokenizer(models.WordLevel(WORDS, unk_token="x"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(list(special))
    if processor is not None:
        tokenizer.post_processor = processor
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json"


@pytest.mark.parametrize(
    ("processor", "before"),
    [
        (None, []),
        (FRONT, [0]),
        (BYTES, []),
        (processors.Sequence([BYTES, FRONT]), [0]),
        (processors.Sequence([BYTES]), []),
    ],
)
@pytest.mark.parametrize("special", [("<s>", "</s>"), ("<s>",)])
def test_it_stands_behind_the_text_and_inside_of_the_length(tmp_path, processor, before, special):
    tokenizer = Tokenizer.from_str(ended(written(tmp_path, processor, special), "</s>", "m"))
    tokenizer.enable_truncation(4)
    assert tokenizer.num_special_tokens_to_add(False) == len(before) + 1
    for text in ("a b", "a b a b a b a b"):
        ids = tokenizer.encode(text).ids
        own = [2, 3] * 4
        kept = min(len(text.split()), 4 - len(before) - 1)
        assert ids == [*before, *own[:kept], 1]


def test_a_token_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"ending '\[SEP\]' is no token"):
        ended(written(tmp_path, FRONT), "[SEP]", "m")


def test_a_processor_without_a_template_is_refused(tmp_path):
    file = written(tmp_path, processors.BertProcessing(("</s>", 1), ("<s>", 0)))
    with pytest.raises(ModelError, match="ends a text by a BertProcessing"):
        ended(file, "x", "m")


def test_a_vocabulary_that_is_a_list_is_searched_too(tmp_path):
    file = written(tmp_path, FRONT, special=())
    told = json.loads(file.read_text())
    pieces = [[piece, 0.0] for piece in WORDS]
    told["model"] = {"type": "Unigram", "unk_id": 4, "vocab": pieces, "byte_fallback": False}
    file.write_text(json.dumps(told))
    assert Tokenizer.from_str(ended(file, "</s>", "m")).encode("a").ids[-1] == 1
