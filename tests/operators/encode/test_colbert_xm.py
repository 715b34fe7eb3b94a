"""A vector for every token: markers, masks, punctuation and the adapters of a row's language."""

import itertools
from shutil import copytree

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from operators import columns
from operators.arrays import to_ragged
from operators.base import Resources
from operators.encode.encode import Encode
from operators.encode.punctuation import bare
from operators.errors import ConfigError, ContractError, ModelError
from operators.model import Model
from operators.text.tokenizer import Tokenize
from pipelines.fingerprint import step_identity
from tests.tiny_heads import build_colbert
from tests.tiny_models import SEP, VOCABULARY, build_roberta

SCHEMA = pa.schema([columns.ID, columns.INPUT_IDS, columns.TRUNCATED, columns.LANG])
MASK, QUERY, PASSAGE = (len(VOCABULARY) + n for n in range(3))
TEXTS = ["the fox", "of it; and (over) the end, too.", "x"]
DIM = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_colbert(tmp_path_factory.mktemp("m") / "m")


def step(folder, **own):
    own = {"language": "en_XX", **own}
    return Encode(Model(str(folder)), strategy={"kind": "colbert-xm", **own})


def encoded(folder, texts=TEXTS, langs=None, **own):
    table = pa.table({"id": [str(n) for n in range(len(texts))], "text": texts})
    if langs is not None:
        table = table.append_column("lang", pa.array(langs, pa.string()))
    with (
        Tokenize(Model(str(folder))).open() as tokenize,
        step(folder, **own).open(Resources(device="cpu")) as encode,
    ):
        tokens = tokenize(table)
        return tokens["input_ids"].to_pylist(), encode(tokens)


def rows(table):
    values, offsets = to_ragged(table["token_vectors"])
    matrix = values.reshape(-1, DIM)
    return [matrix[a // DIM : b // DIM] for a, b in itertools.pairwise(offsets)]


@torch.inference_mode()
def expected(folder, ids, language=0):
    """Every token of one row, through the body as transformers has it."""
    network = AutoModel.from_pretrained(folder).eval()
    lang = {"lang_ids": torch.tensor([language])} if network.config.model_type == "xmod" else {}
    states = network(input_ids=torch.tensor([ids]), **lang)[0][0]
    made = states @ load_file(folder / "model.safetensors")["linear.weight"].T
    return torch.nn.functional.normalize(made, dim=1).numpy()


def test_a_passage_has_its_marker_and_loses_its_punctuation_after_it_was_seen(folder):
    ids, found = encoded(folder)
    names = {number: token for token, number in VOCABULARY.items()}
    for row, vectors in zip(ids, rows(found), strict=True):
        marked = [row[0], PASSAGE, *row[1:]]
        whole = expected(folder, marked)
        kept = [bare(names.get(each, "marker")) not in set(".,;()") for each in marked]
        np.testing.assert_allclose(vectors, whole[kept], atol=1e-5)
    assert sum(map(len, rows(found))) < sum(map(len, ids)) + len(ids)
    _, whole = encoded(folder, punctuation="kept")
    assert [len(each) for each in rows(whole)] == [len(row) + 1 for row in ids]


def test_a_query_is_filled_up_with_masks_that_are_attended(folder):
    ids, found = encoded(folder, role="query", query_tokens=12)
    for row, vectors in zip(ids, rows(found), strict=True):
        most = row if len(row) <= 11 else [*row[:10], SEP]
        marked = [row[0], QUERY, *most[1:]]
        filled = marked + [MASK] * (12 - len(marked))
        np.testing.assert_allclose(vectors, expected(folder, filled), atol=1e-5)
    alone = expected(folder, [ids[2][0], QUERY, *ids[2][1:]])
    assert np.abs(rows(found)[2][: len(alone)] - alone).max() > 1e-3  # the masks were seen
    assert found["truncated"].to_pylist() == [len(row) > 11 for row in ids]


def test_rows_of_several_languages_go_through_their_own_adapters(folder):
    languages = {"uk": "de_DE"}
    ids, found = encoded(
        folder, [TEXTS[0]] * 4, ["en", "de_DE", "uk", "pt"], language="", languages=languages
    )
    assert columns.ERROR.name not in found.column_names
    marked = [ids[0][0], PASSAGE, *ids[0][1:]]
    for vectors, number in zip(rows(found), (0, 1, 1, 2), strict=True):
        np.testing.assert_allclose(vectors, expected(folder, marked, number), atol=1e-5)
    assert np.abs(rows(found)[0] - rows(found)[1]).max() > 1e-3


def test_a_language_without_adapters_is_put_aside_and_never_english(folder):
    _, found = encoded(folder, TEXTS, ["xx", None, "en"], language="")
    assert found["error"].to_pylist() == [
        "its language 'xx' has no adapters; map it under languages",
        "its language is not said",
        None,
    ]


def test_a_model_without_adapters_says_so(tmp_path):
    bert = build_colbert(tmp_path / "bert", "bert")
    ids, found = encoded(bert, language="none", punctuation="kept")
    np.testing.assert_allclose(
        rows(found)[0], expected(bert, [ids[0][0], PASSAGE, *ids[0][1:]]), atol=1e-5
    )
    with pytest.raises(ModelError, match="say language: none"):
        step(bert).bind(SCHEMA)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"language": "none"}, "has adapters of 3 languages"),
        ({"language": "fr_XX"}, "has no adapters of 'fr_XX'; it has en_XX, de_DE, pt_BR"),
        ({"language": "", "languages": {"uk": "ru_RU"}}, "has no adapters of 'ru_RU'"),
        ({"marker": "[Q]"}, r"has no token '\[Q\]'"),
        ({"role": "query", "query_tokens": 66}, "has positions for 65 tokens"),
        ({"query_marker": "[Q]"}, r"has no token '\[Q\]'"),
    ],
)
def test_what_the_model_does_not_have_is_refused(folder, own, message):
    with pytest.raises(ModelError, match=message):
        step(folder, **own).bind(SCHEMA)


@pytest.mark.parametrize(
    ("own", "asked"),
    [
        ({}, {}),
        ({"marker": ""}, {"marker": ""}),
        ({"marker": "[unused1]"}, {}),
        ({"marker": "the", "query_marker": "of"}, {"marker": "of"}),
        ({"marker": "", "query_marker": "of"}, {"marker": "of"}),
        ({"role": "query", "marker": "of"}, {"marker": "of"}),
    ],
)
def test_queries_of_a_table_get_the_marker_that_is_theirs(folder, own, asked):
    found = step(folder, **own).strategy.of_queries()
    assert found == step(folder, role="query", **asked).strategy


def test_a_marker_of_queries_that_is_not_known_is_asked_for_and_never_guessed(folder):
    with pytest.raises(ConfigError, match="name that of queries as well, as query_marker"):
        step(folder, marker="the").strategy.of_queries()
    with pytest.raises(ValueError, match="the marker of a query is `marker`"):
        step(folder, role="query", query_marker="of")


def test_the_marker_of_queries_is_no_identity_of_passages(folder):
    one, other = (step_identity(step(folder, query_marker=each)) for each in (None, "of"))
    assert one == other


def test_a_table_without_languages_and_a_model_without_the_layer_are_refused(folder, tmp_path):
    with pytest.raises(ContractError, match="lang"):
        step(folder, language="").bind(SCHEMA.remove(SCHEMA.get_field_index("lang")))
    with pytest.raises(ModelError, match=r"lack linear\.weight"):
        step(build_roberta(tmp_path / "m"), language="none", marker="").bind(SCHEMA)


def test_a_share_of_the_vectors_is_kept(folder):
    _, whole = encoded(folder)
    _, half = encoded(folder, share=0.5)
    assert [len(each) for each in rows(half)] == [-(-len(each) // 2) for each in rows(whole)]
    lengths = np.linalg.norm(np.concatenate(rows(half)), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-5)
    _, query = encoded(folder, role="query", share=0.5)
    assert {len(each) for each in rows(query)} == {32}


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_a_row_that_is_not_finite_is_put_aside_and_no_step_fails_of_it(folder, tmp_path, share):
    broken = copytree(folder, tmp_path / "m")
    weights = load_file(broken / "model.safetensors")
    weights["roberta.embeddings.word_embeddings.weight"][VOCABULARY["z"]] = torch.nan
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    _, found = encoded(broken, ["the fox", "z of it", "x"], share=share)
    reason = "the model gave a vector that is not finite"
    assert found["error"].to_pylist() == [None, reason, None]
    _, sound = encoded(folder, ["the fox", "of", "x"], share=share)
    for place in (0, 2):
        np.testing.assert_allclose(rows(found)[place], rows(sound)[place], atol=1e-5)
