"""Parallel sentences that find each other, by layer."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.cli import status
from operators.arrays import to_matrix
from operators.base import Resources
from operators.encode.encode import Encode
from operators.encode.layers import layer_vectors
from operators.errors import ConfigError, ModelError, SourceError
from operators.model import Model
from operators.text.tokenizer import Tokenize
from pipelines.mexa import Alignment, Language, aligned, alignment, read_parallel
from tests.tiny_models import BUILDERS, break_token, build_bert

SENTENCES = [f"the {word} of {n}" for n, word in enumerate(("fox", "dog", "cat", "owl", "bee"))]
TURNED = [*SENTENCES[1:], SENTENCES[0]]


def drawn(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, 16)).astype(np.float32)


@settings(max_examples=30)
@given(rows=st.integers(2, 20), seed=st.integers(0, 999), scale=st.floats(0.1, 9))
def test_the_same_sentences_find_each_other_and_moved_ones_do_not(rows, seed, scale):
    vectors = drawn(rows, seed)
    assert alignment(vectors, vectors * np.float32(scale)) == 1
    assert alignment(vectors, np.roll(vectors, 1, axis=0)) == 0


def test_a_sentence_that_comes_twice_is_found_by_neither():
    vectors = drawn(6)
    vectors[4] = vectors[1]
    assert alignment(vectors, vectors) == pytest.approx(4 / 6)


def test_a_pair_must_be_first_in_its_row_and_in_its_column():
    one = np.array([[1, 0], [0, 1]], np.float32)
    other = np.array([[1, 0], [0.9, 0.1]], np.float32)
    assert alignment(one, one) == 1
    assert alignment(one, other) == 0.5  # the second is first in its row alone
    assert alignment(other, one) == 0.5
    assert alignment(one, one[::-1]) == 0


def test_the_layer_that_aligns_best_is_the_highest_the_first_of_equal_ones_and_not_the_input():
    one = Language("de", (0.9, 0.1, 0.7, 0.7))
    assert (one.best, one.max, one.mean) == (2, 0.7, pytest.approx(0.5))
    other = Language("sw", (0.0, 0.6, 0.1, 0.5))
    assert (other.best, Alignment("m", "en", 9, (one, other)).layer) == (1, 3)


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_the_last_layer_is_what_encode_pools(tmp_path, kind):
    model = Model(str(BUILDERS[kind](tmp_path / kind)))
    stack = layer_vectors(model, SENTENCES, "wmean", "cpu")
    assert stack.shape == (3, len(SENTENCES), 32)
    table = pa.table({"id": SENTENCES, "text": SENTENCES})
    step = Encode(model, pooling="wmean", normalize=False)
    with Tokenize(model).open() as tokenize, step.open(Resources(device="cpu")) as encode:
        expected = to_matrix(encode(tokenize(table))["embedding"], 32)
    np.testing.assert_allclose(stack[-1], expected, atol=1e-5)


def test_a_language_that_is_the_pivot_in_other_words_is_aligned_at_every_layer(tmp_path):
    model = Model(str(build_bert(tmp_path / "m")))
    table = pa.table({"en": SENTENCES, "same": SENTENCES, "moved": TURNED})
    pq.write_table(table, tmp_path / "p.parquet")
    found = aligned(model, [str(tmp_path / "p.parquet")], "en", "wmean", 100, "cpu")
    same, moved = found.languages
    assert (same.name, same.layers, same.max, same.mean) == ("same", (1.0,) * 3, 1, 1)
    assert (moved.name, moved.max) == ("moved", 0)
    assert found.layer == 1


def test_files_may_be_columns_or_a_language_each(tmp_path):
    rows = [{"en": a, "de": b} for a, b in zip(SENTENCES, TURNED, strict=True)]
    (tmp_path / "p.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (tmp_path / "p.csv").write_text("en,de\n" + "\n".join(f"{r['en']},{r['de']}" for r in rows))
    for name in ("en", "de"):
        (tmp_path / f"{name}.dev").write_text("\n".join(row[name] for row in rows) + "\n")
    expected = {"en": SENTENCES, "de": TURNED}
    assert read_parallel([str(tmp_path / "p.jsonl")]) == expected
    assert read_parallel([str(tmp_path / "p.csv")]) == expected
    assert read_parallel([str(tmp_path / "en.dev"), str(tmp_path / "de.dev")]) == expected


def test_strings_of_any_width_are_languages(tmp_path):
    coded = pa.array(TURNED).dictionary_encode()
    columns = {"en": pa.array(SENTENCES, pa.large_string()), "de": coded, "n": range(5)}
    pq.write_table(pa.table(columns), tmp_path / "p.parquet")
    assert read_parallel([str(tmp_path / "p.parquet")]) == {"en": SENTENCES, "de": TURNED}


def test_a_sentence_ends_at_the_line_and_nowhere_else(tmp_path):
    (tmp_path / "en.txt").write_bytes("a\u2028b\r\nc\n".encode())
    (tmp_path / "de.txt").write_bytes(b"d\ne")
    found = read_parallel([str(tmp_path / name) for name in ("en.txt", "de.txt")])
    assert found == {"en": ["a\u2028b", "c"], "de": ["d", "e"]}


def test_what_cannot_be_compared_is_refused(tmp_path):
    def file(name: str, *lines: str) -> str:
        (tmp_path / name).write_text("\n".join(lines))
        return str(tmp_path / name)

    two, three = file("en.txt", "a", "b"), file("de.txt", "a", "b", "c")
    with pytest.raises(SourceError, match="de has 3 sentences, others have 2"):
        read_parallel([two, three])
    with pytest.raises(SourceError, match="comes twice"):
        read_parallel([two, two])
    with pytest.raises(SourceError, match="two sentences or more"):
        read_parallel([file("fr.txt", "a")])
    with pytest.raises(SourceError, match="is missing in a language"):
        read_parallel([file("p.jsonl", '{"en": "a", "de": "b"}', '{"en": "c"}')])
    with pytest.raises(SourceError, match="sentence 2 of it is empty; leave it out in every"):
        read_parallel([file("it.txt", "a", " ", "c")])
    model = Model(str(build_bert(tmp_path / "m")))
    with pytest.raises(ConfigError, match="--pivot en: the files have de"):
        aligned(model, [three], "en", "wmean", 9, "cpu")
    with pytest.raises(ModelError, match="model"):
        aligned(model, [two, file("fr.txt", "a", "b")], "en", "wmean", 9, "no-such-device")


def test_a_sentence_without_a_finite_vector_is_refused_and_is_no_rival_of_all_others(tmp_path):
    model = Model(str(build_bert(tmp_path / "m")))
    break_token(tmp_path / "m", "q")
    file = tmp_path / "p.jsonl"
    rows = [{"en": text, "de": text} for text in (*SENTENCES, "q")]
    file.write_text("\n".join(json.dumps(row) for row in rows))
    with pytest.raises(ModelError, match="no finite vector of sentence 6 of en; leave it out"):
        aligned(model, [str(file)], "en", "wmean", 9, "cpu")
    assert aligned(model, [str(file)], "en", "wmean", 5, "cpu").languages[0].max == 1


def test_the_command_prints_a_line_a_language_and_writes_all_of_it(tmp_path, capsys):
    folder: Path = build_bert(tmp_path / "m")
    rows = [{"en": a, "de": b} for a, b in zip(SENTENCES, SENTENCES, strict=True)]
    (tmp_path / "p.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    out = str(tmp_path / "found.json")
    command = ["mexa", str(folder), str(tmp_path / "p.jsonl"), "--sentences", "4", "--json", out]
    assert status(command) == 0
    assert "de        1.000  1.000  1" in capsys.readouterr().out
    found = json.loads(Path(out).read_text())
    assert (found["sentences"], found["layer"]) == (4, 1)
    assert found["languages"][0]["layers"] == [1.0, 1.0, 1.0]
