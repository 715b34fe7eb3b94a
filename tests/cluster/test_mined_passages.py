"""Mining passages that were cut as they were encoded: their texts are found by id, or refused."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from cluster.cli import status
from operators.storage.table import Table
from tests.pipeline_builders import lineage_of, lines, rows_of, write_files

CUT = {"model": "tiny", "tokens": 32, "overlap": 4}
ENCODED = [{"tokenize": {"model": "tiny"}}, {"encode": {"model": "tiny"}}]
LATE = {"encode": {"model": "tiny", "strategy": {"kind": "late-chunking", "window": 48}}}
STEPS = {"passages": [{"passages": CUT}, *ENCODED], "late-passages": [{"late-passages": CUT}, LATE]}
DOCUMENTS = [
    {
        "id": f"d{n}",
        "text": f"The gull{n} keeps salt. Over it a rock{n} came. Until noon{n} it sat.",
    }
    for n in range(8)
]
QUERIES = [{"id": f"q{n}", "text": f"which gull{n} keeps rock"} for n in range(4)]


class Home:
    """Documents and queries embedded, and configs that mine them."""

    def __init__(self, root: Path, model: Path, teacher: Path, steps: list[Any]) -> None:
        files = {"docs.jsonl": lines(DOCUMENTS), "queries.jsonl": lines(QUERIES)}
        write_files(str(root), files)
        self.root = root
        self.models = {"tiny": {"path": str(model)}, "teacher": {"path": str(teacher)}}
        docs = {"uri": str(root / "docs.jsonl")}
        self.passages = ({"read": docs, "steps": [{"passages": CUT}]}, "passages")
        vectors = ({"read": docs, "steps": steps}, "vectors")
        queries = ({"read": {"uri": str(root / "queries.jsonl")}, "steps": ENCODED}, "queries")
        assert self.run({each[1]: each for each in (self.passages, vectors, queries)}) == 0
        rows = rows_of(self.table("passages")).to_pylist()
        self.texts = {row["id"]: row["text"] for row in rows}
        first = {row["parent_id"]: row["id"] for row in rows if row["position"] == 0}
        self.positives = {f"q{n}": first[f"d{n}"] for n in range(len(QUERIES))}
        judged = "".join(f"{query}\t{one}\t1\n" for query, one in self.positives.items())
        write_files(str(root), {"qrels.tsv": f"query-id\tcorpus-id\tscore\n{judged}".encode()})

    def table(self, name: str) -> str:
        return str(self.root / name)

    def run(self, phases: dict[str, tuple[dict[str, Any], str]]) -> int:
        told = {
            name: {**phase, "write": {"table": self.table(table)}}
            for name, (phase, table) in phases.items()
        }
        path = self.root / "config.yaml"
        path.write_text(yaml.safe_dump({"models": self.models, "phases": told}, sort_keys=False))
        return status(["run", str(path)])

    def mine(self, table: str, *more: str, **fields: Any) -> int:
        """Mine to a table of that name, beside the passages' phase, and take it further."""
        mine = {
            "qrels": {"uri": str(self.root / "qrels.tsv")},
            "dense": [{"vectors": {"uri": self.table("vectors")}}],
            "rules": [],
            "selection": {"negatives": 3, "range_max": 8},
            **fields,
        }
        read = {"uri": self.table("queries")}
        teach = {"teach": {"teacher": "cross-encoder", "model": "teacher"}}
        mined = {"read": {"phase": "negatives"}}
        further = {
            "scores": ({**mined, "steps": [{"pairs": {}}, teach]}, f"{table}-scores"),
            "triples": ({**mined, "steps": [{"distil": {}}]}, f"{table}-triples"),
        }
        phases = {"passages": self.passages}
        phases["negatives"] = ({"read": read, "steps": [{"mine": mine}]}, table)
        return self.run(phases | {name: further[name] for name in more})


@pytest.fixture(scope="module", params=list(STEPS))
def home(request, tmp_path_factory, tiny_model, tiny_teacher) -> Home:
    root = tmp_path_factory.mktemp("passages")
    return Home(root, tiny_model, tiny_teacher, STEPS[request.param])


@pytest.mark.parametrize(
    ("fields", "reader"),
    [({"bm25": {}}, "bm25"), ({"rules": ["near-duplicate"]}, "rule 'near-duplicate'")],
)
def test_texts_that_no_table_holds_are_missed_before_mining(home, capsys, fields, reader) -> None:
    assert home.mine("refused", **fields) == 2
    said = capsys.readouterr().err
    assert f"mine: {reader} reads texts, and" in said
    assert "name a table with the text of each under 'documents'" in said
    assert Table(home.table("refused")).version() == -1


def test_documents_names_the_table_in_which_every_text_is_found(home, tmp_path, capsys) -> None:
    fields = {"documents": {"phase": "passages"}, "bm25": {}, "rules": ["near-duplicate"]}
    assert home.mine("found", "scores", "triples", **fields) == 0
    rows = rows_of(home.table("found")).to_pylist()
    assert len(rows) == len(QUERIES)
    assert {"dense+bm25", "bm25"} & {each for row in rows for each in row["sources"]}
    mined = {each for row in rows for each in row["negative_ids"]}
    pairs = rows_of(home.table("found-scores")).to_pylist()
    assert {row["doc_id"] for row in pairs} == mined | set(home.positives.values())
    for table in ("found", "found-triples"):
        out = tmp_path / table
        assert status(["export", home.table(table), "--format", "triplet", "--out", str(out)]) == 0
        written = pq.read_table(out / "train.parquet").to_pylist()
        asked = {row["text"]: home.texts[home.positives[row["id"]]] for row in QUERIES}
        assert {row["anchor"]: row["positive"] for row in written} == asked
        assert {row["negative"] for row in written} == {home.texts[each] for each in mined}
    assert status(["table", "audit", home.table("found")]) == 0
    capsys.readouterr()
    assert home.mine("found", **fields) == 0
    assert Table(home.table("found")).version() == 0  # nothing to do


def test_mined_without_texts_they_have_ids_and_a_teacher_is_refused(home, tmp_path, capsys) -> None:
    assert home.mine("ids", "triples") == 0
    assert len(rows_of(home.table("ids-triples"))) == len(QUERIES)
    assert home.mine("ids", "scores") == 1
    assert "records no mine step with documents" in capsys.readouterr().err
    out = str(tmp_path / "out")
    assert status(["export", home.table("ids"), "--format", "triplet", "--out", out]) == 1
    assert "does not say where the texts of its documents are" in capsys.readouterr().err
    assert home.mine("ids", documents={"phase": "passages"}) == 0
    assert Table(home.table("ids")).version() == 1  # named later, they are mined anew
    assert lineage_of(home.table("ids"))["config"]["steps"][0]["mine"]["documents"]


def test_texts_by_id_are_those_of_a_delta_table_that_has_every_one(home, capsys) -> None:
    plain = {"uri": str(home.root / "docs.jsonl")}
    assert home.mine("plain", documents=plain) == 2
    assert "'documents' is a Delta table with the text of each id" in capsys.readouterr().err
    assert home.mine("bare", documents={"uri": home.table("vectors")}) == 2
    assert "has no text" in capsys.readouterr().err
    few = {"read": {**plain, "limit": 2}, "steps": [{"passages": CUT}]}
    assert home.run({"few": (few, "few")}) == 0
    assert home.mine("lost", documents={"uri": home.table("few")}) == 4
    assert "has no text of d" in capsys.readouterr().err
