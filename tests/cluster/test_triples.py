import json

import pytest
import yaml

from cluster.cli import status
from operators.beside import Beside
from operators.distil.teachers import fingerprints_of
from operators.errors import TableError
from operators.storage.table import Table
from tests.scores_tables import scores_table
from tests.training_tables import Collection

LOGITS = {("q0", "d0"): 8.0, ("q0", "d3"): 5.0, ("q0", "d4"): 9.0}


def test_a_phase_distils_mined_rows_and_its_table_can_be_exported(tmp_path) -> None:
    collection = Collection(str(tmp_path / "in"))
    mined = collection.mined(("q0", ["d0"], ["d3", "d4"]), ("q1", ["d1"], ["d4"]), scores={})
    hashes = {name: collection.hash_of(name) for name in ("q0", "d0", "d3", "d4")}
    logits = {(hashes[query], hashes[document]): s for (query, document), s in LOGITS.items()}
    scores = scores_table(str(tmp_path / "scores"), ab12=logits)
    distil = {
        "scores": {"uri": scores.uri},
        "target": "softmax",
        "drop_false": {"margin": 0, "scale": "raw"},
    }
    phase = {
        "read": {"uri": collection.negatives(mined)},
        "steps": [{"distil": distil}],
        "write": {"table": str(tmp_path / "triples"), "gate": {"max_bad_rows": 1}},
    }
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"phases": {"triples": phase}}))
    assert status(["run", str(config)]) == 0
    table = Table(str(tmp_path / "triples"))
    (row,) = [row for part in table.read() for row in part.to_pylist()]
    assert (row["query_id"], row["positive_id"], row["negative_ids"]) == ("q0", "d0", ["d3"])
    lineage = table.lineage()
    assert lineage["counts"]["bad"] == {"the positive has no teacher score": 1}
    (step,) = lineage["config"]["steps"]
    assert step["distil"]["teachers"] == ["ab12"]
    assert step["distil"]["documents"]["uri"] == collection.sources["documents"].uri
    out = str(tmp_path / "out")
    assert status(["export", table.uri, "--format", "flagembedding", "--out", out]) == 0
    (line,) = (tmp_path / "out" / "train.jsonl").read_text().splitlines()
    assert json.loads(line)["neg_scores"] == [5.0]
    assert status(["run", str(config)]) == 0
    assert table.version() == 0


def test_a_scores_table_without_scores_names_no_teacher(tmp_path) -> None:
    beside = scores_table(str(tmp_path / "scores"))
    with pytest.raises(TableError, match="it holds no scores"):
        fingerprints_of(Beside(uri=beside.uri, version=0), ())
