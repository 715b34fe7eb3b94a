"""What rows know beside their text, parents, kinds and answers, from a config to a table."""

import pyarrow as pa
import pytest
import yaml

from cluster.cli import status
from cluster.commands import runner_named
from cluster.execute import run_pipeline
from cluster.progress import Progress
from operators.model import Model
from operators.teach.teach import Teach
from pipelines.config import parse
from tests.pipeline_builders import lines, quarantined, rows_of, write_files
from tests.tiny_models import build_language_model

DOCUMENTS = [
    {"id": f"d{n:02d}", "text": f"passage {n} of it", "parent_id": f"p{n % 6}", "kind": f"k{n % 4}"}
    for n in range(36)
]
QUERIES = [
    {"id": f"q{n}", "text": f"what is passage {n}", "answer": "of the and " * n} for n in range(4)
]
LOCAL = (runner_named("local", ""), Progress())
FIVE = {"negatives": 5, "range_max": 5}
QRELS = "query-id\tcorpus-id\tscore\n" + "".join(f"q{n}\td{n:02d}\t1\n" for n in range(4))


@pytest.fixture(scope="module")
def config(tmp_path_factory, tiny_model):
    """The YAML of mining with those fields, over documents that know their parent and kind."""
    root = tmp_path_factory.mktemp("books")
    files = {"docs.jsonl": lines(DOCUMENTS), "queries.jsonl": lines(QUERIES)}
    write_files(str(root), {**files, "qrels.tsv": QRELS.encode()})

    def made(name, **mine):
        encode = [{"tokenize": {"model": "tiny"}}, {"encode": {"model": "tiny"}}]
        fields = {"qrels": {"uri": str(root / "qrels.tsv")}, "rules": [], **mine}
        fields["dense"] = [{"vectors": {"phase": "documents"}}]
        keep = ["parent_id", "kind"] if name != "plain" else []
        reads = {
            "documents": ({"uri": str(root / "docs.jsonl"), "keep": keep}, encode),
            "queries": ({"uri": str(root / "queries.jsonl")}, encode),
            "negatives": ({"phase": "queries"}, [{"mine": fields}]),
        }
        tables = {each: str(root / f"{name}-{each}") for each in reads}
        phases = {
            each: {"read": read, "steps": steps, "write": {"table": tables[each]}}
            for each, (read, steps) in reads.items()
        }
        return yaml.safe_dump(
            {"models": {"tiny": {"path": str(tiny_model)}}, "phases": phases}, sort_keys=False
        )

    return made


def scores(config, table: str, **teach):
    """A config with a phase of scores behind the mining."""
    made = yaml.safe_load(config("book", inbook={}, rules=["strangers"], selection=FIVE))
    made["models"]["lm"] = {"path": teach.pop("model")}
    step = {"teach": {"model": "lm", "teacher": "answer-likelihood", **teach}}
    made["phases"]["scores"] = {
        "read": {"phase": "negatives"},
        "steps": [{"pairs": {}}, step],
        "write": {"table": table, "gate": {"max_bad_rows": 10}},
    }
    return yaml.safe_dump(made, sort_keys=False)


def mined(text: str) -> dict[str, dict]:
    results = run_pipeline(parse(text), *LOCAL)
    return {row["query_id"]: row for row in rows_of(list(results)[-1].table).to_pylist()}


def test_in_book_negatives_share_the_parent_and_are_never_the_positive(config) -> None:
    rows = mined(config("book", inbook={}, rules=["strangers"], selection=FIVE))
    for number in range(4):
        row = rows[f"q{number}"]
        book = {each["id"] for each in DOCUMENTS if each["parent_id"] == f"p{number}"}
        assert set(row["negative_ids"]) == book - {f"d{number:02d}"}
        assert all("inbook" in each for each in row["sources"])


def test_local_negatives_have_the_kind_of_the_positive(config) -> None:
    selection = {"negatives": 2, "local": 3}
    rows = mined(config("kinds", selection=selection))
    for number in range(4):
        names = rows[f"q{number}"]["negative_ids"]
        kinds = [DOCUMENTS[int(name[1:])]["kind"] for name in names]
        assert len(set(names)) == 5
        assert kinds.count(f"k{number}") >= 3


def test_what_is_drawn_at_random_fills_the_places_of_local_negatives_too(config) -> None:
    selection = {"negatives": 1, "local": 8, "shortage": "random"}
    rows = mined(config("drawn", depth=1, selection=selection))
    assert [len(row["negative_ids"]) for row in rows.values()] == [9] * 4
    assert all(row["short"] for row in rows.values())


def test_what_knows_no_parents_and_what_cancels_out_is_refused(config, tmp_path, capsys) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(config("plain", inbook={}))
    assert status(["run", str(path)]) != 0
    said = capsys.readouterr().err
    assert "mine needs column 'parent_id'" in said
    assert "keep: [parent_id] when the vectors are made" in said
    with pytest.raises(Exception, match="rule 'siblings' drops all that 'inbook' proposes"):
        parse(config("both", inbook={}, rules=["siblings"]))


def test_a_language_model_weighs_documents_by_the_answer_that_the_queries_hold(
    config, tmp_path, capsys
) -> None:
    model = str(build_language_model(tmp_path / "lm"))
    table = str(tmp_path / "scores")
    run_pipeline(parse(scores(config, table, model=model, answer="answer")), *LOCAL)
    rows = rows_of(table).to_pylist()
    assert {row["query_id"] for row in rows} == {"q1", "q2", "q3"}
    assert len(rows) == 3 * 6
    assert {why[:16] for _, why in quarantined(table)} == {"it has no answer"}
    with Teach(Model(model), "answer-likelihood", answer="a", fingerprint="t").open() as teach:
        first = next(row for row in rows if row["query_id"] == "q2")
        asked = {"query": ["what is passage 2"], "answer": ["of the and of the and"]}
        asked["text"] = [f"passage {int(first['doc_id'][1:])} of it"]
        alone = teach(pa.table({"id": ["a"], "teacher": ["t"], **asked}))["logit"][0].as_py()
    assert first["logit"] == pytest.approx(alone, abs=1e-3)
    path = tmp_path / "c.yaml"
    path.write_text(scores(config, table, model=model, answer="nowhere"))
    assert status(["run", str(path)]) != 0
    assert "24 × it has no answer" in capsys.readouterr().err
