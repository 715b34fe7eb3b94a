"""What config.json tells about an architecture."""

import pytest

from operators import families


@pytest.mark.parametrize(
    ("config", "decoder"),
    [
        ({"model_type": "bert", "architectures": ["BertModel"]}, False),
        ({"model_type": "qwen3"}, True),
        ({"model_type": "new", "architectures": ["NewForCausalLM"]}, True),
        ({"model_type": "new", "architectures": ["NewModel"]}, False),
        ({"model_type": "gemma3_text", "use_bidirectional_attention": True}, False),
        ({"model_type": "qwen2", "is_causal": False}, False),
        ({"model_type": "bert", "is_decoder": True}, True),
    ],
)
def test_a_decoder_is_known_by_type_head_or_flag(config, decoder):
    assert families.is_decoder(config) is decoder


def test_positions_of_roberta_start_after_the_padding_id():
    sizes = {"max_position_embeddings": 514, "pad_token_id": 1}
    assert families.positions({"model_type": "roberta", **sizes}) == 512
    assert families.positions({"model_type": "bert", **sizes}) == 514


@pytest.mark.parametrize(
    ("stated", "length"), [((256, 512), 256), ((None, 384), 384), ((10**30,), 512), ((), 512)]
)
def test_the_length_is_the_first_stated_within_the_positions(stated, length):
    config = {"model_type": "bert", "max_position_embeddings": 512}
    assert families.stated_length(config, *stated) == length


def test_a_model_that_says_nothing_gets_512_tokens():
    assert families.stated_length({"model_type": "t5"}, 10**30) == 512
