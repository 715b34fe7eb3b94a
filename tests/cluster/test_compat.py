"""`corpusmill compat` on tables of tiny models: what it tells, stores and refuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cluster.cli import status
from operators.adapt.orthogonal import Orthogonal
from operators.adapt.protocol import Pairs
from operators.arrays import to_matrix
from operators.quantize.artefact import SUFFIX, digest_of, packed
from operators.storage.table import Table
from tests.lake import DOCUMENTS, QUERIES
from tests.pipeline_builders import good_rows, lines, rows_of, write_files
from tests.tiny_models import build_bert, edit_json

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BEIR folder, and its documents embedded by four models.

    `plain` has 32 dimensions, `other` 24, `turned` is `plain` and a rotation behind it, `astray`
    is `plain` with a senseless prompt for queries.
    """
    folder = tmp_path_factory.mktemp("compat")
    qrels = [f"{query['_id']}\td{n:03d}\t1\n" for n, query in enumerate(QUERIES)]
    qrels += [f"{QUERIES[n]['_id']}\td{n + 40:03d}\t1\n" for n in range(0, 30, 2)]
    files = {
        "corpus.jsonl": lines(DOCUMENTS),
        "queries.jsonl": lines(QUERIES),
        "qrels/test.tsv": ("query-id\tcorpus-id\tscore\n" + "".join(qrels)).encode(),
        "few.tsv": ("query-id\tcorpus-id\tscore\n" + "".join(qrels[:4])).encode(),
    }
    source = write_files(str(folder / "beir"), files)
    build_bert(folder / "plain", pooling="mean")
    build_bert(folder / "other", dim=24, seed=5)
    rotated(build_bert(folder / "turned", pooling="mean", dense=32))
    build_bert(folder / "astray", pooling="mean", prompts={"query": "z" * 40 + " "})
    for name in ("plain", "other", "turned", "astray"):
        embed(folder, name, source)
    embed(folder, "plain", source, table="coded", quantize={"scheme": "int8"})
    embed(folder, "other", source, table="part", read={"limit": 60})
    embed(folder, "other", source, table="untitled", read={"text": ["text"]})
    foreign = write_files(str(folder / "foreign"), {"a.jsonl": lines(good_rows(0, 30))})
    embed(folder, "plain", foreign, table="elsewhere")
    return folder


def rotated(folder: Path) -> Path:
    """Make the dense layer of a model a rotation."""
    from safetensors.numpy import save_file

    turn = np.linalg.qr(np.random.default_rng(3).standard_normal((32, 32)))[0]
    weights = {"linear.weight": np.ascontiguousarray(turn, np.float32)}
    weights["linear.bias"] = np.zeros(32, np.float32)
    save_file(weights, folder / "2_Dense" / "model.safetensors", {"format": "pt"})
    identity = "torch.nn.modules.linear.Identity"
    edit_json(folder / "2_Dense" / "config.json", activation_function=identity)
    return folder


def embed(folder: Path, model: str, source: str, table: str = "", **parts: Any) -> None:
    steps = [{"tokenize": {"model": model}}, {"encode": {"model": model}}]
    if "quantize" in parts:
        steps.append({"quantize": parts["quantize"]})
    steps += parts.get("more", [])
    phase = {
        "read": {"uri": source, **parts.get("read", {})},
        "steps": steps,
        "write": {"table": str(folder / "tables" / (table or model))},
    }
    place = folder / "config.yaml"
    described = {"models": {model: {"path": str(folder / model)}}, "phases": {"vectors": phase}}
    place.write_text(yaml.safe_dump(described))
    assert status(["run", str(place)]) == 0


def at(home: Path, *names: str) -> list[str]:
    return [str(home / "tables" / name) for name in names]


def asking(home: Path, qrels: str = "qrels/test.tsv") -> list[str]:
    beir = home / "beir"
    return ["--queries", str(beir / "queries.jsonl"), "--qrels", str(beir / qrels)]


def measured(cli: Cli, tmp_path: Path, *arguments: str) -> dict:
    place = tmp_path / "found.json"
    code, _, err = cli("compat", *arguments, "--json", str(place))
    assert code == 0, err
    return json.loads(place.read_text())


def test_one_model_twice_is_constant_and_to_be_kept(home, cli, tmp_path):
    found = measured(cli, tmp_path, *at(home, "plain", "plain"), *asking(home))
    cells = [cell for row in found["matrix"] for cell in row]
    assert cells == [cells[0]] * 4
    assert 0 < cells[0]["ndcg@10"] <= 1
    assert found["AC"] == 0
    assert found["AM"] == pytest.approx(cells[0]["ndcg@10"])
    assert found["maps"][0]["violated"] == {"same": 0, "different": 0}
    for name in (
        "both models' queries, each in its part",
        "new queries, old documents as they are",
    ):
        assert found["backfill"][name] == [cells[0]] * 11
    assert found["advice"]["verdict"] == "keep"


def test_a_rotated_model_is_taken_back_by_procrustes_exactly(home, cli, tmp_path):
    found = measured(cli, tmp_path, *at(home, "plain", "turned"), *asking(home))
    (old, _), (crossed, new) = found["matrix"]
    assert new == old
    assert crossed["ndcg@10"] < old["ndcg@10"]
    for name in ("old documents orthogonal", "new queries orthogonal"):
        (restored,) = [one for one in found["maps"] if one["name"] == name]
        assert {key: restored[key] for key in old} == old
    curve = found["backfill"]["new queries, old documents orthogonal"]
    assert curve == [old] * 11
    assert found["advice"]["verdict"] == "keep"


def test_models_of_other_dimensions_meet_only_when_mapped(home, cli, tmp_path):
    tables = at(home, "coded", "other")
    code, out, err = cli("compat", *tables, *asking(home))
    assert code == 0, err
    assert out.count("no common space") == 2
    assert "AC 0, AM none" in out
    assert "documents in both: 100 of at most 20,000" in out
    assert "queries: 30 judged queries of" in out
    found = measured(cli, tmp_path, *tables, *asking(home))
    (old, nothing), (crossed, new) = found["matrix"]
    assert nothing is None
    assert crossed is None
    assert found["AM"] is None
    curve = found["backfill"]["both models' queries, each in its part"]
    assert (curve[0], curve[-1]) == (old, new)
    assert found["fitted_documents"] + found["measured_documents"] == 100
    assert {one["mapped"] for one in found["maps"]} == {"old documents", "new queries"}
    assert json.dumps(found["advice"]) in json.dumps(found)
    assert found["advice"]["sentence"] in out


def test_a_new_table_of_a_part_of_the_corpus_is_enough(home, cli):
    code, out, _ = cli("compat", *at(home, "plain", "part"), *asking(home))
    assert code == 0
    assert "documents in both: 60 of at most 20,000" in out
    assert "judgments left out" in out
    code, out, _ = cli("compat", *at(home, "plain", "other"), *asking(home), "--sample", "70")
    assert "documents in both: 70 of at most 70" in out


def test_titles_ask_where_nobody_judged(home, cli, tmp_path):
    code, out, err = cli("compat", *at(home, "plain", "other"))
    assert code == 0, err
    assert "queries: 100 titles (column title, which their documents' vectors hold)" in out
    diagonal = [
        measured(cli, tmp_path, *at(home, "plain", "other"))["matrix"][n][n] for n in (0, 1)
    ]
    easy = all(cell["ndcg@10"] > 0.95 for cell in diagonal)
    assert ("ask harder ones, by --queries and --qrels" in out) is easy
    found = measured(cli, tmp_path, *at(home, "plain", "plain"), "--title", "text")
    assert found["queries"].startswith("100 titles (column text")


def test_a_map_that_equals_new_is_recommended_stored_and_its_config_runs(home, cli, tmp_path):
    """OLD's vectors are as good as NEW's; only the prompt of its queries leads astray."""
    maps, table = tmp_path / "maps", str(tmp_path / "mapped")
    arguments = ("compat", *at(home, "astray", "turned"), *asking(home))
    code, out, err = cli(*arguments)
    assert code == 0, err
    assert "\nmap: old documents orthogonal +" in out
    assert "artefact: (--out stores it)" in out
    code, out, err = cli(*arguments, "--out", str(maps))
    assert code == 0, err
    assert [path.suffix for path in maps.iterdir()] == [".safetensors"]
    _, _, told = out.partition("The config that applies it:\n\n")
    place = tmp_path / "config.yaml"
    place.write_text(told.replace("your/table", table))
    assert cli("run", str(place))[0] == 0
    found = to_matrix(rows_of(table)["embedding"], 32)
    aim = to_matrix(rows_of(at(home, "turned")[0])["embedding"], 32)
    assert np.einsum("nd,nd->n", found, aim).min() > 0.99999


@pytest.mark.parametrize(
    ("tables", "more", "code", "phrase"),
    [
        (("plain", "gone"), [], 1, "there is no Delta table"),
        (("plain", "elsewhere"), [], 1, "compare two tables of the same documents"),
        (("plain", "untitled"), [], 1, "it embedded other texts than"),
        (("plain", "other"), ["--queries", "x"], 2, "--qrels is missing: judged queries need both"),
        (("plain", "other"), ["--qrels", "x"], 2, "--queries is missing"),
        (("plain", "other"), ["--title", "name"], 2, "name a column by --title, or give --queries"),
        (("elsewhere", "elsewhere"), [], 2, "give --queries and --qrels"),
        (("plain", "other"), ["--old-version", "7"], 1, "it has no version 7; the newest is 0"),
        (("plain", "other"), ["--sample", "3"], 2, "sample"),
    ],
)
def test_a_mistake_is_one_sentence_and_its_exit_code(home, cli, tables, more, code, phrase):
    found, _, err = cli("compat", *at(home, *tables), *more)
    assert found == code, err
    assert phrase in err
    assert "Traceback" not in err


def test_too_few_queries_are_refused_with_their_number(home, cli):
    code, _, err = cli("compat", *at(home, "plain", "other"), *asking(home, "few.tsv"))
    assert code == 1
    assert "100 documents and 4 queries in common leave" in err
    assert "at least 5 and 10 are needed" in err


def made_of(folder: Path, source: str, *steps: dict) -> str:
    """A table of another one's rows, by those steps."""
    table = str(folder / "made")
    phase = {"read": {"uri": source}, "steps": [*steps], "write": {"table": table}}
    place = folder / "config.yaml"
    place.write_text(yaml.safe_dump({"phases": {"made": phase}}))
    assert status(["run", str(place)]) == 0
    return table


def test_codes_in_a_phase_of_their_own_are_asked_as_what_they_code(home, cli, tmp_path):
    codes = made_of(tmp_path, *at(home, "plain"), {"quantize": {"scheme": "int8"}})
    one, other = (
        measured(cli, tmp_path, table, *at(home, "other"), *asking(home))["matrix"]
        for table in (codes, *at(home, "coded"))
    )
    assert one == other


def test_queries_are_not_compared_with_vectors_that_were_mapped(home, cli, tmp_path):
    pairs = Pairs(*np.random.default_rng(0).standard_normal((2, 40, 32)).astype(np.float32))
    data = packed(Orthogonal().fit(pairs))
    stored = tmp_path / (digest_of(data) + SUFFIX)
    stored.write_bytes(data)
    adapt = {"adapt": {"scheme": "orthogonal", "artefact": str(stored)}}
    embed(home, "plain", str(home / "beir"), table="mapped", more=[adapt])
    mapped, again = at(home, "mapped")[0], made_of(tmp_path, *at(home, "plain"), adapt)
    for command in (
        ["compat", mapped, *at(home, "plain")],
        ["compat", *at(home, "plain"), again],
        ["compress", mapped, "--schemes", "int8"],
    ):
        code, _, err = cli(*command, *asking(home))
        assert code == 1
        assert "its vectors were mapped into another model's space" in err


def test_vectors_that_are_longer_than_their_model_s_are_refused(home, cli, tmp_path):
    features = {"unified-embedding": {"features": [{"column": "id"}], "into": "embedding"}}
    table = made_of(tmp_path, *at(home, "plain"), features)
    code, _, err = cli("compat", table, *at(home, "plain"), *asking(home))
    assert code == 1
    assert "embedding has vectors of 48 dimensions, the queries 32 dimensions" in err


def test_a_table_without_vectors_is_refused(home, cli, tmp_path):
    texts = made_of(tmp_path, str(home / "beir"))
    assert Table(texts).version() == 0
    code, _, err = cli("compat", texts, *at(home, "plain"))
    assert code == 1
    assert "it holds no vectors of documents" in err


def test_a_model_that_changed_under_its_name_is_refused(home, cli, tmp_path):
    build_bert(tmp_path / "model", seed=1)
    source = str(home / "beir")
    embed(tmp_path, "model", source)
    table = at(tmp_path, "model")[0]
    build_again = tmp_path / "again"
    build_bert(build_again, seed=2)
    weights = (build_again / "model.safetensors").read_bytes()
    (tmp_path / "model" / "model.safetensors").write_bytes(weights)
    code, _, err = cli("compat", table, *at(home, "plain"), *asking(home))
    assert code == 1
    assert "has changed since (weights model.safetensors)" in err
    assert len(rows_of(table)) == 100
