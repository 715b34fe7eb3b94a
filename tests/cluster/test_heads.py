"""Strategies with heads of their own, from a config to committed tables, and mined by."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cluster.cli import status
from cluster.execute import run_pipeline
from cluster.local import LocalRunner
from cluster.progress import Progress
from operators.arrays import to_matrix, to_ragged
from operators.mine.groups import coded
from operators.quantize.maxsim import maxsim
from operators.quantize.token_codes import decoded_tokens
from operators.storage.table import Table
from pipelines.config import parse
from tests.lake import beir
from tests.pipeline_builders import lines, quarantined, rows_of, write_files
from tests.tiny_heads import build_colbert, build_masked, build_nv_embed
from tests.tiny_models import VOCABULARY

SPLADE = {"strategy": {"kind": "splade", "top_k": 30}}
DUPMAE = {"pooling": "cls", "normalize": False, "strategy": {"kind": "dupmae", "top_k": 40}}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BEIR folder and a tiny masked language model."""
    root = tmp_path_factory.mktemp("heads")
    beir(root)
    build_masked(root / "model")
    return root


def config(
    root: Path,
    name: str,
    encode: dict[str, Any],
    mine: dict[str, Any],
    asked: dict[str, Any] | None = None,
) -> str:
    """Documents and queries encoded, the latter as `asked` says if it does, and mined."""
    source = str(root / "beir")
    told = {
        "qrels": {"uri": f"{source}/qrels/train.tsv"},
        "rules": ["duplicate-text"],
        "selection": {"negatives": 5, "range_max": 20},
        **mine,
    }
    steps, other = (
        [{"tokenize": {"model": "tiny"}}, {"encode": {"model": "tiny", **each}}]
        for each in (encode, asked or encode)
    )
    phases: dict[str, Any] = {
        "documents": {"read": {"uri": source}, "steps": steps},
        "queries": {"read": {"uri": source, "part": "queries"}, "steps": other},
        "negatives": {"read": {"phase": "queries"}, "steps": [{"mine": told}]},
    }
    for phase, each in phases.items():
        each["write"] = {"table": str(root / name / phase), "gate": {"max_bad_rows": 0.2}}
    models = {"tiny": {"path": str(root / "model")}}
    return yaml.safe_dump({"models": models, "phases": phases}, sort_keys=False)


def run(root: Path, name: str, encode: dict[str, Any], mine: dict[str, Any]) -> Path:
    pipeline = parse(config(root, name, encode, mine))
    run_pipeline(pipeline, LocalRunner(), Progress(quiet=True))
    return root / name


def sparse(table: Any) -> Any:
    ids, offsets = to_ragged(table["lexical_ids"])
    weights, _ = to_ragged(table["lexical_weights"])
    matrix = np.zeros((len(table), len(VOCABULARY)), np.float32)
    matrix[np.repeat(np.arange(len(table)), np.diff(offsets)), ids] = weights
    return matrix


def token_sets(table: str) -> list[Any]:
    """The token vectors of each row, by id."""
    values, offsets = to_ragged(rows_of(table)["token_vectors"])
    return [values[a:b].reshape(-1, 8) for a, b in itertools.pairwise(offsets)]


def check_negatives(home: Path, scores: Any) -> None:
    """Every negative has the score given, and no document that is no positive has a higher one."""
    documents, queries = (rows_of(str(home / name)) for name in ("documents", "queries"))
    ids = documents["id"].to_pylist()
    rows = rows_of(str(home / "negatives")).to_pylist()
    assert len(rows) == 27
    for row in rows:
        own = scores[queries["id"].to_pylist().index(row["query_id"])]
        found = [own[ids.index(each)] for each in row["negative_ids"]]
        np.testing.assert_allclose(row["negative_scores"], found, rtol=1e-5)
        others = {*row["positive_ids"], "twin", "d000", *row["negative_ids"]}
        left = [own[place] for place, each in enumerate(ids) if each not in others]
        assert max(left) <= min(found) + 1e-4


def test_splade_alone_proposes_by_the_product_of_words(world) -> None:
    home = run(world, "splade", SPLADE, {"lexical": [{"vectors": {"phase": "documents"}}]})
    documents, queries = (rows_of(str(home / name)) for name in ("documents", "queries"))
    assert "embedding" not in documents.column_names
    assert max(map(len, documents["lexical_ids"].to_pylist())) <= 30
    check_negatives(home, sparse(queries) @ sparse(documents).T)
    rows = rows_of(str(home / "negatives")).to_pylist()
    assert {each for row in rows for each in row["sources"]} == {"lexical"}


def test_dupmae_proposes_by_the_sum_of_vectors_and_words(world) -> None:
    vectors = {"vectors": {"phase": "documents"}}
    home = run(world, "dupmae", DUPMAE, {"lexical": [{**vectors, "dense": 1.0, "name": "both"}]})
    documents, queries = (rows_of(str(home / name)) for name in ("documents", "queries"))
    dense = to_matrix(queries["embedding"], 32) @ to_matrix(documents["embedding"], 32).T
    check_negatives(home, dense + sparse(queries) @ sparse(documents).T)


def test_sparse_vectors_stand_beside_dense_ones_and_bm25(world) -> None:
    vectors = {"vectors": {"phase": "documents"}}
    beside = {**vectors, "queries": {"uri": str(world / "three" / "queries")}}
    home = run(world, "three", DUPMAE, {"dense": [vectors], "lexical": [beside], "bm25": {}})
    rows = rows_of(str(home / "negatives")).to_pylist()
    named = {name for row in rows for each in row["sources"] for name in each.split("+")}
    assert named == {"dense", "lexical", "bm25"}


def test_token_vectors_propose_by_maxsim_and_languages_are_of_the_row(tmp_path) -> None:
    build_colbert(tmp_path / "model")
    beir(tmp_path)
    own = {"kind": "colbert-xm", "language": "en_XX"}
    asked = {"strategy": {**own, "role": "query", "query_tokens": 16}}
    mine = {"late": [{"vectors": {"phase": "documents"}}]}
    told = config(tmp_path, "late", {"strategy": {**own, "share": 0.7}}, mine, asked)
    run_pipeline(parse(told), LocalRunner(), Progress(quiet=True))
    home = tmp_path / "late"
    documents, queries = (token_sets(str(home / name)) for name in ("documents", "queries"))
    assert {len(each) for each in queries} == {16}
    check_negatives(home, np.array([[maxsim(q, d) for d in documents] for q in queries]))
    rows = rows_of(str(home / "negatives")).to_pylist()
    assert {each for row in rows for each in row["sources"]} == {"late"}


def test_coded_token_vectors_are_mined_as_what_they_decode_to(tmp_path) -> None:
    build_colbert(tmp_path / "model")
    beir(tmp_path)
    own = {"kind": "colbert-xm", "language": "en_XX"}
    asked = {"strategy": {**own, "role": "query", "query_tokens": 16}}
    mine = {"late": [{"vectors": {"phase": "documents"}}]}
    told = yaml.safe_load(config(tmp_path, "coded", {"strategy": own}, mine, asked))
    told["phases"]["documents"]["steps"].append({"quantize-tokens": {"nbits": 4}})
    run_pipeline(parse(yaml.safe_dump(told, sort_keys=False)), LocalRunner(), Progress(quiet=True))
    home = tmp_path / "coded"
    table = Table(str(home / "documents"))
    rows = rows_of(table.uri)
    assert "token_vectors" not in rows.column_names
    column = coded(table.uri, table.schema().field("token_codes"))
    found, bounds = decoded_tokens(rows["token_codes"], column.field, column.artefact)
    documents = [found[a:b] for a, b in itertools.pairwise(bounds)]
    queries = token_sets(str(home / "queries"))
    check_negatives(home, np.array([[maxsim(q, d) for d in documents] for q in queries]))


def test_a_row_without_adapters_of_its_language_is_put_aside(tmp_path) -> None:
    build_colbert(tmp_path / "model")
    spoken = ["en", "de", "uk", "xx"]
    rows = [{"id": each, "text": "the same words", "lang": each} for each in spoken]
    source = write_files(str(tmp_path / "docs"), {"a.jsonl": lines(rows)})
    strategy = {"kind": "colbert-xm", "languages": {"uk": "de_DE"}}
    phase = {
        "read": {"uri": source, "keep": ["lang"]},
        "steps": [
            {"tokenize": {"model": "tiny"}},
            {"encode": {"model": "tiny", "strategy": strategy}},
        ],
        "write": {"table": str(tmp_path / "t"), "gate": {"max_bad_rows": 0.5}},
    }
    told = {"models": {"tiny": {"path": str(tmp_path / "model")}}, "phases": {"documents": phase}}
    told["phases"]["documents"]["write"]["gate"]["min_rows"] = 0.5
    run_pipeline(parse(yaml.safe_dump(told)), LocalRunner(), Progress(quiet=True))
    german, english, ukrainian = token_sets(str(tmp_path / "t"))
    assert (german == ukrainian).all()
    assert np.abs(german - english).max() > 1e-3
    assert quarantined(str(tmp_path / "t")) == {
        ("xx", "its language 'xx' has no adapters; map it under languages")
    }


def test_nv_embed_becomes_a_table_whose_queries_leave_their_instruction_out(tmp_path) -> None:
    beir(tmp_path)
    build_nv_embed(tmp_path / "model")
    source = str(tmp_path / "beir")
    found = {}
    for mode in ("strict", "release"):
        encode = {"model": "tiny", "strategy": {"kind": "nv-embed", "instruction": mode}}
        tokenize = {"model": "tiny", "role": "query", "prompt": "find: "}
        phase = {
            "read": {"uri": source, "part": "queries"},
            "steps": [{"tokenize": tokenize}, {"encode": encode}],
            "write": {"table": str(tmp_path / mode)},
        }
        told = {"models": {"tiny": {"path": str(tmp_path / "model")}}, "phases": {"queries": phase}}
        run_pipeline(parse(yaml.safe_dump(told)), LocalRunner(), Progress(quiet=True))
        found[mode] = to_matrix(rows_of(str(tmp_path / mode))["embedding"], 32)
    np.testing.assert_allclose(np.linalg.norm(found["strict"], axis=1), 1, atol=1e-5)
    assert np.abs(found["strict"] - found["release"]).max() > 1e-4


def test_a_table_without_sparse_vectors_is_refused_in_words(world, capsys) -> None:
    path = world / "plain.yaml"
    mine = {"lexical": [{"vectors": {"phase": "documents"}}]}
    path.write_text(config(world, "plain", {}, mine))
    assert status(["run", str(path)]) == 2
    assert "lexical_ids" in capsys.readouterr().err
