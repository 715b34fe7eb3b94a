"""A phase comes back from the record in its commit."""

import json

import pytest

from operators.errors import TableError
from pipelines.fingerprint import fingerprints
from pipelines.plan import plan_phase
from pipelines.recorded import recalled, record
from tests.pipeline_builders import built, good_rows, lines, vectors_phase, write_files


@pytest.fixture
def phase(tmp_path, tiny_model):
    docs = write_files(str(tmp_path / "docs"), {"a.jsonl": lines(good_rows(0, 3))})
    described = vectors_phase(
        docs,
        str(tmp_path / "vectors"),
        read={"normalize": "NFC", "keep": []},
        tokenize={"prompt": "passage: "},
        encode={"precision": "bf16", "pooling": "cls"},
        quantize={"keep_embedding": True},
    )
    return built(tiny_model, vectors=described).phases[0]


def test_a_recorded_phase_is_recalled_with_the_same_identity(phase):
    plan = plan_phase(phase)
    told = {"config": record(phase, plan.source), "phase": "vectors"}
    again = recalled(phase.write.table, json.loads(json.dumps(told)))
    assert again.steps == phase.steps
    assert again.read == plan.source
    assert (again.name, again.write.table) == (phase.name, phase.write.table)
    assert fingerprints(again.read, again.steps) == plan.fingerprints


@pytest.mark.parametrize(
    "damage",
    [
        lambda told: told.pop("config"),
        lambda told: told["config"].pop("read"),
        lambda told: told["config"]["steps"].append({"juggle": {}}),
        lambda told: told["config"]["steps"].append({"quantize": {"shceme": "int8"}}),
        lambda told: told["config"]["read"].update(colour="red"),
    ],
)
def test_a_record_that_does_not_say_how_is_a_table_error(phase, damage):
    told = {"config": record(phase, phase.read), "phase": "vectors"}
    damage(told)
    with pytest.raises(TableError, match="does not say how it was made"):
        recalled("lake/vectors", told)
