"""`corpusmill compress` on a table of a tiny model: what it measures, recommends and refuses."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
import yaml

from cluster.cli import status
from operators.columns import decoder_of
from operators.quantize.registry import SCHEMES
from operators.storage.table import Table
from tests.lake import DOCUMENTS, QUERIES
from tests.pipeline_builders import lines, write_files
from tests.tiny_models import build_bert

Cli = Callable[..., tuple[int, str, str]]
CODED = ("int8", "pq")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BEIR folder, the `table` of its documents' vectors, `uneven` ones, codes of the first."""
    folder = tmp_path_factory.mktemp("compress")
    qrels = [f"{query['_id']}\td{n:03d}\t1\n" for n, query in enumerate(QUERIES)]
    files = {
        "corpus.jsonl": lines(DOCUMENTS),
        "queries.jsonl": lines(QUERIES),
        "qrels/test.tsv": ("query-id\tcorpus-id\tscore\n" + "".join(qrels)).encode(),
    }
    source = write_files(str(folder / "beir"), files)
    build_bert(folder / "plain", pooling="mean")
    phases = {
        name: {
            "read": {"uri": source},
            "steps": [{"tokenize": {"model": "plain"}}, {"encode": {"model": "plain", **more}}],
            "write": {"table": str(folder / name)},
        }
        for name, more in {"table": {}, "uneven": {"normalize": False}}.items()
    }
    for scheme in CODED:
        phases[scheme] = {
            "read": {"phase": "table"},
            "steps": [{"quantize": {"scheme": scheme}}],
            "write": {"table": str(folder / scheme)},
        }
    described = {"models": {"plain": {"path": str(folder / "plain")}}, "phases": phases}
    (folder / "config.yaml").write_text(yaml.safe_dump(described, sort_keys=False))
    assert status(["run", str(folder / "config.yaml")]) == 0
    return folder


def asking(home: Path) -> list[str]:
    beir = home / "beir"
    return ["--queries", str(beir / "queries.jsonl"), "--qrels", str(beir / "qrels/test.tsv")]


def measured(cli: Cli, home: Path, tmp_path: Path, *options: str) -> tuple[dict, str]:
    place = tmp_path / "found.json"
    code, out, err = cli("compress", str(home / "table"), *options, "--json", str(place))
    assert code == 0, err
    return json.loads(place.read_text()), out


@pytest.fixture(scope="module")
def every(home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """All schemes, with judgments."""
    place = tmp_path_factory.mktemp("found") / "found.json"
    arguments = ["compress", str(home / "table"), *asking(home), "--json", str(place)]
    assert status(arguments) == 0
    return json.loads(place.read_text())


def by_name(found: dict) -> dict[str, dict]:
    return {one["name"]: one for one in found["schemes"]}


def test_every_scheme_is_measured_where_none_is_named(every):
    named = by_name(every)
    assert set(SCHEMES) <= {name.partition(":")[0] for name in named}
    assert named["as stored"] | {"bytes": 0, "ndcg": 0} == {
        "name": "as stored",
        "bytes": 0,
        "artefact": 0,
        "recall": 1.0,
        "ndcg": 0,
        "mse": 0.0,
        "cosine": 1.0,
        "lost": 0.0,
        "error": 0.0,
    }
    assert all(0 <= one["ndcg"] <= 1 and 0 < one["cosine"] <= 1.0001 for one in named.values())
    assert (every["asked"], every["rows"]) == (len(QUERIES), len(DOCUMENTS))


def test_figures_are_of_the_codes_and_finer_codes_lose_less(every):
    named = by_name(every)
    assert named["int8"]["mse"] < named["binary"]["mse"]
    assert named["fp16"]["recall"] > named["binary"]["recall"]
    assert named["binary"]["bytes"] < named["int8"]["bytes"] < named["as stored"]["bytes"]
    assert named["pq"]["artefact"] > 0 == named["int8"]["artefact"]
    assert named["rvq"]["bytes"] < named["int8"]["bytes"]
    assert every["best"] != "rvq"  # its words take more than the floats of so few rows
    assert named["int8:dims=16"]["mse"] >= named["truncate:dims=16"]["mse"] > named["int8"]["mse"]
    for one in every["schemes"]:
        assert one["lost"] == pytest.approx(named["as stored"]["ndcg"] - one["ndcg"])


def test_no_row_is_coded_by_what_it_taught(every):
    assert len(DOCUMENTS) < 256  # each could be a word of its own
    assert every["rows_learned_from"] == len(DOCUMENTS) // 2
    named = by_name(every)
    assert named["rvq"]["mse"] > 10 * named["int8"]["mse"]
    assert named["pq"]["mse"] > 10 * named["int8"]["mse"]


def test_each_half_is_asked_by_what_it_was_coded_with(cli, home, tmp_path):
    schemes = ("--schemes", "opq:blocks=16,pq:blocks=16")
    found, _ = measured(cli, home, tmp_path, *asking(home), *schemes)
    named = by_name(found)
    assert named["opq:blocks=16"]["mse"] < named["pq:blocks=16"]["mse"]
    assert named["opq:blocks=16"]["recall"] > named["pq:blocks=16"]["recall"]


def test_the_smallest_scheme_within_the_loss_is_named(cli, home, tmp_path, every):
    named = by_name(every)
    fitting = [one for one in named.values() if one["lost"] <= 0.01]
    assert (
        every["best"]
        == min(fitting, key=lambda one: one["bytes"] + one["artefact"] / len(DOCUMENTS))["name"]
    )
    anything, out = measured(cli, home, tmp_path, *asking(home), "--schemes", "int8", "--loss", "1")
    assert anything["best"] == "int8"
    assert "The smallest that loses at most 1 of nDCG@10: int8," in out


def test_without_judgments_rows_of_the_table_ask_and_recall_decides(cli, home, tmp_path):
    found, out = measured(cli, home, tmp_path, "--schemes", "binary,pq:blocks=4:dims=16")
    named = by_name(found)
    assert set(named) == {"as stored", "binary", "pq:blocks=4:dims=16"}
    assert named["binary"]["ndcg"] is None
    assert named["binary"]["lost"] == pytest.approx(1 - named["binary"]["recall"])
    assert found["asked"] + found["rows"] == len(DOCUMENTS)
    assert "recall@10" in out
    assert all(name in out for name in named)


def test_a_scheme_that_refuses_the_vectors_is_left_out_unless_it_was_named(cli, home, tmp_path):
    place = tmp_path / "found.json"
    code, _, err = cli("compress", str(home / "uneven"), "--json", str(place))
    assert code == 0, err
    assert "residual-codec is left out: residual-codec keeps directions alone" in err
    found = by_name(json.loads(place.read_text()))
    assert {name.partition(":")[0] for name in found} == {*SCHEMES, "as stored"} - {
        "residual-codec"
    }
    code, _, err = cli("compress", str(home / "uneven"), "--schemes", "int8,residual-codec")
    assert code == 1
    assert "residual-codec keeps directions alone" in err


def test_nothing_is_written_to_the_table(cli, home, tmp_path):
    before = sorted(str(path) for path in (home / "table").rglob("*"))
    measured(cli, home, tmp_path, "--schemes", "opq:blocks=4")
    assert sorted(str(path) for path in (home / "table").rglob("*")) == before
    assert Table(str(home / "table")).version() == 0


def in_its_files(table: Path, names: set[str]) -> float:
    """Bytes a row of some columns."""
    footers = [parquet.read_metadata(path) for path in table.glob("data/*/*.parquet")]
    groups = [one.row_group(n) for one in footers for n in range(one.num_row_groups)]
    chunks = [group.column(n) for group in groups for n in range(group.num_columns)]
    sizes = [
        chunk.total_compressed_size
        for chunk in chunks
        if chunk.path_in_schema.partition(".")[0] in names
    ]
    return sum(sizes) / sum(one.num_rows for one in footers)


@pytest.mark.parametrize("scheme", CODED)
def test_a_table_of_codes_is_measured_by_the_bytes_of_its_codes(cli, home, tmp_path, scheme):
    place = tmp_path / "found.json"
    arguments = ["compress", str(home / scheme), "--schemes", f"fp16,{scheme}"]
    code, out, err = cli(*arguments, "--json", str(place))
    assert code == 0, err
    found = json.loads(place.read_text())
    named = by_name(found)
    assert named["as stored"]["bytes"] == in_its_files(home / scheme, {"codes", "scale"})
    digest = decoder_of(Table(str(home / scheme)).schema().field("codes"))[1]
    learned = home / scheme / "_corpusmill" / "artefacts" / f"{digest}.safetensors"
    assert named["as stored"]["artefact"] == (learned.stat().st_size if digest else 0)
    assert named["as stored"]["bytes"] < named["fp16"]["bytes"]
    assert f"dimensions, codes by {scheme}" in out
    if scheme == "int8":  # the same codes again save nothing
        assert named["int8"]["lost"] == pytest.approx(0, abs=0.01)
        assert found["best"] == "as stored"
        assert "keep the vectors as they are" in out


def test_a_sample_is_the_same_twice_and_another_with_another_seed(cli, home, tmp_path):
    options = ("--schemes", "binary", "--sample", "60")
    one, _ = measured(cli, home, tmp_path, *options)
    again, _ = measured(cli, home, tmp_path, *options)
    other, _ = measured(cli, home, tmp_path, *options, "--seed", "1")
    assert one == again
    assert one["schemes"][1] != other["schemes"][1]


def test_every_mistake_of_the_list_of_schemes_is_told_before_anything_is_read(cli, home):
    table = str(home / "table")
    code, _, err = cli("compress", table, "--schemes", "int9,pq:stages=3,rvq:stages,pq:blocks=x")
    assert code == 2
    for sentence in (
        "did you mean 'int8'",
        "scheme 'pq' has no option 'stages'",
        "rvq:stages: expected option=value",
        "'blocks'",
    ):
        assert sentence in err
    code, _, err = cli("compress", table, "--schemes", "pq:blocks=5")
    assert code == 2
    assert "5 blocks divide" in err


def test_one_sentence_says_what_is_missing(cli, home, tmp_path):
    code, _, err = cli("compress", str(home / "table"), "--queries", "q.jsonl")
    assert code == 2
    assert "--qrels is missing" in err
    code, _, err = cli("compress", str(tmp_path / "none"))
    assert code == 1
    assert str(tmp_path / "none") in err
