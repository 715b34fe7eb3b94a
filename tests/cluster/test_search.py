"""A committed table of each kind asked in words: as a product by hand, and from the command."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from operators.arrays import to_matrix, to_ragged
from operators.beside import Beside, pinned
from operators.errors import ConfigError, SourceError, TableError
from operators.mine.groups import coded
from operators.quantize.maxsim import maxsim
from operators.quantize.prefix import prefix
from operators.quantize.token_codes import decoded_tokens
from operators.storage.table import Table
from pipelines.asking import recipe_of
from pipelines.search import search, with_texts
from tests.cluster.conftest import Cli
from tests.kinds import DOCUMENTS, TABLES, WORDS, phase, prepared, run
from tests.pipeline_builders import lines, rows_of
from tests.tiny_models import VOCABULARY, break_token

ASKED = ["amber basalt", "what is number 12 ?", "ember ember fjord"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = prepared(tmp_path_factory.mktemp("search"))
    run(root, **{kind: phase(root, kind) for kind in TABLES})
    return root


def asked(root: Path, kind: str):
    import pyarrow as pa

    ids = [str(n) for n in range(len(ASKED))]
    return recipe_of(pinned(Beside(f"{root}/{kind}"), {})).encoded(
        pa.table({"id": ids, "text": ASKED})
    )


def words_of(rows) -> np.ndarray:
    ids, bounds = to_ragged(rows["lexical_ids"])
    weights, _ = to_ragged(rows["lexical_weights"])
    matrix = np.zeros((len(rows), len(VOCABULARY)), np.float32)
    matrix[np.repeat(np.arange(len(rows)), np.diff(bounds)), ids] = weights
    return matrix


def dense_of(rows) -> np.ndarray:
    return to_matrix(rows["embedding"], 32)


def tokens_of(rows, uri: str = "") -> list[np.ndarray]:
    if "token_codes" in rows.column_names:
        column = coded(uri, Table(uri).schema().field("token_codes"))
        matrix, bounds = decoded_tokens(rows["token_codes"], column.field, column.artefact)
        return [matrix[a:b] for a, b in itertools.pairwise(bounds)]
    values, bounds = to_ragged(rows["token_vectors"])
    return [values[a:b].reshape(-1, 8) for a, b in itertools.pairwise(bounds)]


def by_hand(kind: str, queries, rows, uri: str) -> np.ndarray:
    if kind in {"tokens", "coded"}:
        given = tokens_of(rows, uri)
        return np.array([[maxsim(q, d) for d in given] for q in tokens_of(queries)])
    scores = np.zeros((len(queries), len(rows)), np.float32)
    if "lexical_ids" in rows.column_names:
        scores += words_of(queries) @ words_of(rows).T
    if "embedding" in rows.column_names:
        scores += dense_of(queries) @ dense_of(rows).T
    return scores


@pytest.mark.parametrize("kind", TABLES)
def test_hits_are_those_of_a_product_over_all_rows(root, kind) -> None:
    uri = f"{root}/{kind}"
    rows = rows_of(uri)
    scores = by_hand(kind, asked(root, kind), rows, uri)
    found = search(uri, ASKED, 5)
    assert found.rows == len(rows)
    ids = rows["id"].to_pylist()
    for query, own in enumerate(scores):
        hits = [row for row in found.hits.to_pylist() if row["query"] == query]
        assert [row["rank"] for row in hits] == list(range(5))
        expected = [own[ids.index(row["id"])] for row in hits]
        np.testing.assert_allclose([row["score"] for row in hits], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(sorted(expected), np.sort(own)[-5:], rtol=1e-4, atol=1e-5)


def test_a_table_of_both_is_searched_by_either_half_when_asked(root) -> None:
    uri, rows, queries = f"{root}/dupmae", rows_of(f"{root}/dupmae"), asked(root, "dupmae")
    halves = {
        "dense": dense_of(queries) @ dense_of(rows).T,
        "words": words_of(queries) @ words_of(rows).T,
    }
    for way, scores in halves.items():
        hits = search(uri, ASKED, 1, way=way).hits
        np.testing.assert_allclose(hits["score"], scores.max(axis=1), rtol=1e-4)


def test_a_query_of_a_table_of_both_has_all_of_its_words(root) -> None:
    words = asked(root, "dupmae")["lexical_ids"].to_pylist()
    assert words == [[*range(len(VOCABULARY))]] * len(ASKED)


def test_a_hit_has_the_text_that_was_embedded(root) -> None:
    texts = {row["id"]: row["text"] for row in DOCUMENTS}
    for row in with_texts(search(f"{root}/splade", ASKED, 4)).to_pylist():
        assert row["text"] == texts[row["id"]]
    passages = with_texts(search(f"{root}/late", ASKED, 4)).to_pylist()
    assert all(row["text"] in texts[row["parent_id"]] for row in passages)
    assert any(row["text"] != texts[row["parent_id"]] for row in passages)


@pytest.mark.parametrize("kind", ["late", "dense"])
def test_a_passage_of_a_document_that_has_changed_is_not_shown(tmp_path, kind) -> None:
    told = phase(prepared(tmp_path), kind)
    if kind == "dense":
        told["steps"].insert(0, {"passages": {"model": "bert", "tokens": 16, "overlap": 0}})
    run(tmp_path, cut=told)
    found = search(told["write"]["table"], ASKED, 2)
    assert with_texts(found)["text"].null_count == 0
    docs = tmp_path / "docs.jsonl"
    docs.write_bytes(docs.read_bytes().replace(b"is number", b"IS NUMBER"))
    with pytest.raises(SourceError, match="has changed since it was embedded"):
        with_texts(found)


def test_a_table_that_codes_another_is_asked_as_that_one(root) -> None:
    coded = {"read": {"uri": f"{root}/dense"}, "steps": [{"quantize": {"scheme": "int8"}}]}
    run(root, codes={**coded, "write": {"table": f"{root}/int8"}})
    one, other = (search(f"{root}/{name}", ASKED, 3) for name in ("dense", "int8"))
    np.testing.assert_allclose(one.hits["score"], other.hits["score"], atol=0.02)
    assert with_texts(other)["text"].null_count == 0


@pytest.mark.parametrize(
    "codec", [{"scheme": "int8"}, {"scheme": "fp16"}, {"scheme": "truncate", "dims": 20}]
)
def test_a_table_that_was_cut_and_then_coded_is_asked_by_whole_queries(root, codec) -> None:
    whole, place = phase(root, "dense"), f"{root}/cut-{codec['scheme']}"
    cut = {"quantize": {"scheme": "truncate", "dims": 24}}
    steps = [*whole["steps"], cut, {"quantize": codec}]
    run(root, cut={**whole, "steps": steps, "write": {"table": place}})
    dims = codec.get("dims", 24)
    rows = prefix(dense_of(rows_of(f"{root}/dense")), dims)
    queries = prefix(dense_of(asked(root, "dense")), dims)
    best = search(place, ASKED, 1).hits["score"]
    np.testing.assert_allclose(best, (queries @ rows.T).max(axis=1), atol=0.02)


def test_passages_without_a_word_of_the_query_are_no_hits(root, cli: Cli) -> None:
    one_word = phase(root, "splade", encode={"strategy": {"kind": "splade", "top_k": 1}})
    steps = [{"passages": {"model": "masked", "tokens": 16, "overlap": 0}}, *one_word["steps"]]
    place = f"{root}/words"
    run(root, words={**one_word, "steps": steps, "write": {"table": place}})
    unheard = next(each for each in WORDS if not len(search(place, [each]).hits))
    assert with_texts(search(place, [unheard]))["text"].to_pylist() == []
    code, out, err = cli("search", place, unheard)
    assert code == 0, err
    assert out.endswith(f"{unheard}\n  nothing\n")


def test_the_command_tells_hits_with_scores_and_texts(root, cli: Cli) -> None:
    code, out, err = cli("search", f"{root}/tokens", *ASKED[:2], "-k", "3")
    assert code == 0, err
    assert f"60 rows of {root}/tokens, version 0, by MaxSim of token vectors" in out
    assert len([line for line in out.splitlines() if line.startswith("  ")]) == 6
    code, out, err = cli("search", f"{root}/dupmae", ASKED[0], "-k", "2", "--by", "words", "--json")
    assert code == 0, err
    first, second = (json.loads(line) for line in out.splitlines())
    assert first["score"] >= second["score"]
    assert (first["query"], first["rank"], second["rank"]) == (ASKED[0], 0, 1)
    assert first["text"] == {row["id"]: row["text"] for row in DOCUMENTS}[first["id"]]


def test_hits_are_told_without_texts_when_their_source_is_gone(tmp_path, cli: Cli) -> None:
    run(prepared(tmp_path), dense=phase(tmp_path, "dense"))
    (tmp_path / "docs.jsonl").unlink()
    code, out, err = cli("search", f"{tmp_path}/dense", ASKED[0], "-k", "2")
    assert code == 0
    assert "no texts" in err
    assert len([line for line in out.splitlines() if line.startswith("  ")]) == 2


def test_one_sentence_says_why_a_table_cannot_be_asked(root, tmp_path, cli: Cli) -> None:
    with pytest.raises(TableError, match="it cannot be searched by words; it can by dense"):
        search(f"{root}/dense", ASKED, way="words")
    with pytest.raises(TableError, match="it cannot be searched by dense; it can by tokens"):
        search(f"{root}/tokens", ASKED, way="dense")
    with pytest.raises(ConfigError, match="no token is left"):
        search(f"{root}/dense", ["\u200b"])
    for arguments, status, said in (
        ((f"{root}/dense", "x", "--by", "sound"), 2, "--by sound: there are dense, words"),
        ((f"{tmp_path}/none", "x"), 1, "there is no Delta table"),
    ):
        code, _, err = cli("search", *arguments)
        assert (code, said in err) == (status, True), err


def test_queries_of_a_model_with_languages_must_name_theirs(tmp_path) -> None:
    prepared(tmp_path)
    own = {"strategy": {"kind": "colbert-xm", "languages": {"uk": "de_DE"}}}
    run(tmp_path, tokens=phase(tmp_path, "tokens", encode=own, read={"keep": ["lang"]}))
    with pytest.raises(ConfigError, match="say which one the queries are in"):
        search(f"{tmp_path}/tokens", ASKED)
    english, german = (
        search(f"{tmp_path}/tokens", ASKED, 3, language=each).hits["score"].to_pylist()
        for each in ("en", "uk")
    )
    assert english != german
    with pytest.raises(ConfigError, match="its language is unknown"):
        search(f"{tmp_path}/tokens", ASKED, language="xx")


def test_queries_of_a_table_with_a_marker_of_its_own_have_theirs_or_are_refused(tmp_path) -> None:
    prepared(tmp_path)
    own = {"kind": "colbert-xm", "language": "en_XX", "marker": "the"}
    gate = {"gate": {"canaries": {"queries": f"{tmp_path}/canaries.jsonl", "k": 5}}}
    (tmp_path / "canaries.jsonl").write_bytes(lines([{"text": ASKED[0], "expected": ["d00"]}]))
    silent = phase(tmp_path, "tokens", encode={"strategy": own})
    with pytest.raises(ConfigError, match="as query_marker"):
        run(tmp_path, silent={**silent, "write": {"table": f"{tmp_path}/never", **gate}})
    run(tmp_path, silent=silent)
    with pytest.raises(TableError, match="name that of queries as well, as query_marker"):
        search(f"{tmp_path}/tokens", ASKED)
    told = {"strategy": {**own, "query_marker": "of"}}
    write = {"table": f"{tmp_path}/told", **gate}
    run(tmp_path, told=phase(tmp_path, "tokens", encode=told, write=write))
    texts = [{"id": str(n), "text": text} for n, text in enumerate(ASKED)]
    (tmp_path / "queries.jsonl").write_bytes(lines(texts))
    encode = {"strategy": {**own, "role": "query", "marker": "of"}}
    read, write = {"uri": f"{tmp_path}/queries.jsonl"}, {"table": f"{tmp_path}/by-hand"}
    run(tmp_path, queries=phase(tmp_path, "tokens", encode=encode, read=read, write=write))
    by_hand = tokens_of(rows_of(f"{tmp_path}/by-hand"))
    for one, other in zip(tokens_of(asked(tmp_path, "told")), by_hand, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_model_that_changed_since_is_refused(tmp_path) -> None:
    run(prepared(tmp_path), dense=phase(tmp_path, "dense"))
    break_token(tmp_path / "models" / "bert", "the")
    with pytest.raises(TableError, match="has changed since"):
        search(f"{tmp_path}/dense", ASKED)
