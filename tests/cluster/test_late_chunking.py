"""Documents read whole and passages as rows, from a config to a table, and to its next version."""

import numpy as np
import pytest

from cluster.execute import run_pipeline
from cluster.progress import Progress
from operators.arrays import to_matrix
from pipelines.config import parse
from pipelines.verify import verify_table
from tests.pipeline_builders import config, lines, rows_of, write_files
from tests.tiny_models import build_bert

QUIET = Progress(quiet=True)
CUT = {"model": "tiny", "tokens": 16, "overlap": 4}
LATE = {"encode": {"model": "tiny", "strategy": {"kind": "late-chunking", "window": 48}}}


def texts(start, stop):
    body = "The fox ran. Of rain and sea it sang. And then it sat, and so on. "
    return [{"id": f"d{n}", "text": f"It is {n}. " + body * (n % 3)} for n in range(start, stop)]


def phase(docs, table, step):
    return {
        "read": {"uri": docs},
        "steps": [step, LATE, {"quantize": {"scheme": "int8", "keep_embedding": True}}],
        "write": {"table": table},
    }


def run(text, runner):
    return run_pipeline(parse(text), runner, QUIET)


@pytest.mark.parametrize("runner", ["local", pytest.param("ray", marks=pytest.mark.ray)])
def test_a_changed_document_gives_all_its_passages_new_vectors(tmp_path, runner_called, runner):
    runner = runner_called(runner)
    model = build_bert(tmp_path / "m")
    one, two = lines(texts(0, 5)), lines(texts(5, 10))
    docs = write_files(str(tmp_path / "docs"), {"a.jsonl": one, "b.jsonl": two})
    tables = {name: str(tmp_path / name) for name in ("late", "fresh", "passages")}
    late = config(model, late=phase(docs, tables["late"], {"late-passages": CUT}))
    run(late, runner)
    before = rows_of(tables["late"])
    assert list(verify_table(tables["late"]))

    changed = texts(5, 10)
    changed[0]["text"] += "But then it ended."
    write_files(docs, {"b.jsonl": lines(changed)})
    (result,) = run(late, runner)
    assert result.version == 1
    after = rows_of(tables["late"])
    run(config(model, late=phase(docs, tables["fresh"], {"late-passages": CUT})), runner)
    fresh = rows_of(tables["fresh"])
    assert after["id"].equals(fresh["id"])
    found = to_matrix(after["embedding"], 32)
    np.testing.assert_allclose(found, to_matrix(fresh["embedding"], 32), atol=5e-5)

    place = {name: n for n, name in enumerate(before["id"].to_pylist())}
    vectors = to_matrix(before["embedding"], 32)
    moved = {
        row["parent_id"]
        for n, row in enumerate(after.select(["id", "parent_id"]).to_pylist())
        if row["id"] in place and np.abs(found[n] - vectors[place[row["id"]]]).max() > 1e-4
    }
    assert moved == {"d5"}  # an equal passage, in a document that is another

    cut = {"read": {"uri": docs}, "steps": [{"passages": CUT}]}
    run(config(model, passages={**cut, "write": {"table": tables["passages"]}}), runner)
    assert rows_of(tables["passages"])["id"].equals(after["id"])


def test_the_gate_makes_passages_again_from_the_documents_that_they_lie_in(tmp_path, runner_called):
    docs = write_files(str(tmp_path / "docs"), {"a.jsonl": lines(texts(0, 4))})
    steps = [{"passages": CUT}, {"tokenize": {"model": "tiny"}}, {"encode": {"model": "tiny"}}]
    write = {"table": str(tmp_path / "vectors")}
    vectors = {"read": {"uri": docs}, "steps": steps, "write": write}
    text = config(build_bert(tmp_path / "m"), vectors=vectors)
    run(text, runner_called("local"))
    write_files(docs, {"b.jsonl": lines(texts(4, 6))})
    (result,) = run(text, runner_called("local"))
    assert result.version == 1
    assert set(rows_of(write["table"])["parent_id"].to_pylist()) == {f"d{n}" for n in range(6)}


def test_a_tree_becomes_a_table(tmp_path, runner_called):
    docs = write_files(str(tmp_path / "docs"), {"a.jsonl": lines(texts(0, 4))})
    table = str(tmp_path / "tree")
    step = {"late-tree": {"model": "tiny", "tokens": 16}}
    run(config(build_bert(tmp_path / "m"), tree=phase(docs, table, step)), runner_called("local"))
    rows = rows_of(table)
    assert rows["within"].null_count == 4
    assert max(rows["level"].to_pylist()) >= 2
    assert to_matrix(rows["embedding"], 32).shape == (len(rows), 32)
