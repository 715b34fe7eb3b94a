"""Canary queries: read and checked before anything is encoded, searched exactly, compared."""

import gzip
from dataclasses import replace

import numpy as np
import pytest

from operators import columns
from operators.adapt.adapt import Adapt
from operators.arrays import to_matrix
from operators.errors import ConfigError, GateError, SourceError
from operators.quantize.codes import decoded
from operators.storage import uri as files
from operators.storage.table import Table
from operators.text.source import Source
from pipelines import canaries
from pipelines.canaries import MOST_QUERIES, ask, check_canaries, questions
from pipelines.plan import PhasePlan, plan_phase
from pipelines.spec import Canaries, Gate, Phase, Step, Write
from tests.gated import Site, checks, worked
from tests.pipeline_builders import good_rows, lineage_of, lines, rows_of
from tests.poison import Raise
from tests.tiny_models import build_bert

DOCS = good_rows(0, 60)
EVERY_SIXTH = [
    {"id": f"q{n}", "text": row["text"], "expected": [row["id"]]} for n, row in enumerate(DOCS[::6])
]
"""Ten questions that are the very texts of documents."""


@pytest.fixture
def site(tmp_path, tiny_model):
    made = Site(str(tmp_path), tiny_model)
    made.put(a=DOCS[:40], b=DOCS[40:])
    return made


def gate(site: Site, rows=EVERY_SIXTH, **fields) -> dict[str, object]:
    """A gate with these canary queries in a file."""
    place = f"{site.base}/canaries.jsonl"
    files.write_bytes(place, lines(rows))
    return {"canaries": {"queries": place, **fields}}


def test_questions_are_read_and_equal_texts_joined(store):
    rows = [
        {"text": "one", "expected": ["a", 7]},
        {"text": "two", "expected": ["b"], "id": "q2"},
        {"text": "one", "expected": ["c"]},
    ]
    plain, packed = f"{store}/q.jsonl", f"{store}/q.jsonl.gz"
    files.write_bytes(plain, lines(rows) + b"\n")
    files.write_bytes(packed, gzip.compress(lines(rows)))
    found = questions(plain)
    assert found.texts == ("one", "two")
    assert found.expected == ({"a", "7", "c"}, {"b"})
    assert questions(packed) == found
    assert questions(packed).digest == found.digest


@pytest.mark.parametrize(
    ("data", "phrase"),
    [
        (None, "not found"),
        (b"", "it holds no canary query"),
        (b"\n\n", "it holds no canary query"),
        (b"{]\n", "line 1 is no canary query: not valid JSON"),
        (b'\n["a"]\n', "line 2 is no canary query: not a JSON object"),
        (b'{"text": "\xff"}\n', "line 1 is no canary query: not UTF-8"),
        (lines([{"expected": ["a"]}]), "line 1 is no canary query: it needs a 'text'"),
        (lines([{"text": " ", "expected": ["a"]}]), "it needs a 'text'"),
        (lines([{"text": 3, "expected": ["a"]}]), "it needs a 'text'"),
        (lines([{"text": "q"}]), "it needs 'expected', a list of ids"),
        (lines([{"text": "q", "expected": "a"}]), "it needs 'expected', a list of ids"),
        (lines([{"text": "q", "expected": []}]), "it needs 'expected', a list of ids"),
        (lines([{"text": "q", "expected": [None]}]), "it needs 'expected', a list of ids"),
        (
            lines([{"text": f"q{n}", "expected": ["a"]} for n in range(MOST_QUERIES + 1)]),
            "more than 2,000 canary queries",
        ),
    ],
)
def test_a_file_that_holds_no_questions_is_told_when_the_run_is_planned(
    tmp_path, tiny_model, data, phrase
):
    site = Site(str(tmp_path), tiny_model)
    site.put(a=DOCS)
    place = f"{tmp_path}/canaries.jsonl"
    if data is not None:
        files.write_bytes(place, data)
    with pytest.raises(SourceError, match=phrase) as refused:
        site.plan(gate={"canaries": {"queries": place}})
    assert refused.value.uri == place
    assert not files.list_names(site.table)


def test_a_phase_that_makes_no_vectors_of_texts_cannot_ask(site):
    wanted = Gate(canaries=Canaries(gate(site)["canaries"]["queries"]))
    source = Source(uri=f"{site.base}/docs")
    phase = Phase("texts", source, (Step(Raise("lemon")),), Write(site.table, wanted))
    with pytest.raises(ConfigError, match=r"phase texts, .* need steps tokenize and encode"):
        plan_phase(phase)
    plan = site.plan(gate=gate(site))
    narrower = [*plan.schemas[:-1], columns_of(16)]
    with pytest.raises(ConfigError, match="32 dimensions, and the table's have 16"):
        check_canaries(plan.phase, narrower)
    adapt = Step(Adapt(scheme="orthogonal", artefact="map.safetensors"))
    mapped = replace(plan.phase, steps=(*plan.phase.steps, adapt))
    with pytest.raises(ConfigError, match="adapt maps the table's"):
        check_canaries(mapped, plan.schemas)


def columns_of(dim: int):
    import pyarrow as pa

    return pa.schema([columns.ID, columns.embedding(dim)])


@pytest.mark.parametrize(
    "quantize", [{"scheme": "int8"}, {"scheme": "fp16"}, {"scheme": "binary"}], ids=str
)
@pytest.mark.parametrize("one_task_a_file", [False, True])
def test_recall_is_that_of_a_search_over_all_rows(
    tmp_path, tiny_model, quantize, one_task_a_file, monkeypatch
):
    """Against the vectors of a phase of queries and a plain product over what is stored."""
    if one_task_a_file:
        monkeypatch.setattr(canaries, "_TASK_BYTES", 1)
    prompted = build_bert(tmp_path / "prompted", prompts={"query": "find ", "passage": "the "})
    site = Site(str(tmp_path), prompted)
    site.put(a=DOCS[:40], b=DOCS[40:])
    rng = np.random.default_rng(3)
    asked = [
        {
            "id": f"q{n}",
            "text": f"question {n} of passage {n * 7}",
            "expected": sorted({f"d{m:04d}" for m in rng.integers(0, 60, 1 + 4 * (n % 3))}),
        }
        for n in range(20)
    ]
    plan = site.plan(quantize=quantize, gate=gate(site, asked, k=5))
    site.publish(plan)
    told = lineage_of(site.table)["canaries"]
    assert (told["k"], told["asked"]) == (5, 20)

    queries = Site(f"{tmp_path}/q", prompted)
    queries.put(q=[{"id": row["id"], "text": row["text"]} for row in asked])
    queries.publish(queries.plan(tokenize={"role": "query"}, quantize={"keep_embedding": True}))
    made, there = rows_of(queries.table), rows_of(site.table)
    asking = to_matrix(made["embedding"], 32)[
        [made["id"].to_pylist().index(r["id"]) for r in asked]
    ]
    scores = asking @ decoded(there.cast(plan.schemas[-1])).T
    shares = []
    for row, found in zip(asked, scores, strict=True):
        near = np.array(there["id"])[found >= np.sort(found)[-5] - 1e-6]
        shares.append(min(len({*near} & {*row["expected"]}), 5) / min(5, len(row["expected"])))
    assert told["recall"] == pytest.approx(np.mean(shares))
    assert 0 < told["recall"] < 1


def asking(site: Site, rows=EVERY_SIXTH, **fields) -> PhasePlan:
    """A run whose canaries must be the very nearest; floats are, of a text, the nearest to it."""
    wanted = gate(site, rows, **{"k": 1, **fields})
    return site.plan(gate=wanted, quantize={"keep_embedding": True})


def test_a_first_version_records_its_recall_for_the_next(site):
    site.publish(asking(site))
    told = lineage_of(site.table)
    asked = questions(f"{site.base}/canaries.jsonl")
    assert told["canaries"] == {"recall": 1.0, "k": 1, "queries": asked.digest, "asked": 10}
    assert checks(told)["canaries"]["least"] == 0


def without_the_first(site: Site) -> None:
    """Take away a document that one of ten questions asks for."""
    site.put(a=DOCS[1:40])


def test_a_version_that_finds_less_than_the_last_is_refused(site):
    site.publish(asking(site))
    without_the_first(site)
    with pytest.raises(GateError, match=r"recall@1 0.9, less than the last version's 1") as refused:
        site.publish(asking(site))
    assert refused.value.exit_code == 4
    assert Table(site.table).version() == 0


@pytest.mark.parametrize(
    ("fields", "rows", "phrase"),
    [
        ({"tolerance": 0.1}, EVERY_SIXTH, ""),
        ({"tolerance": 0.09}, EVERY_SIXTH, "less than the last version's 1 less tolerance 0.09"),
        ({"k": 2}, EVERY_SIXTH, ""),
        ({}, EVERY_SIXTH[:-1], ""),
        ({"min_recall": 0.9}, EVERY_SIXTH[:-1], "less than min_recall 0.9"),
        ({"tolerance": 0.5, "min_recall": 0.95}, EVERY_SIXTH, "less than min_recall 0.95"),
    ],
)
def test_what_was_recorded_counts_for_the_same_questions_within_the_tolerance(
    site, fields, rows, phrase
):
    site.publish(asking(site))
    without_the_first(site)
    plan = asking(site, rows, **fields)
    if not phrase:
        assert site.publish(plan) == 1
        return
    with pytest.raises(GateError, match=phrase):
        site.publish(plan)


def test_files_that_stay_are_searched_too(site):
    site.publish(asking(site))
    site.put(c=good_rows(60, 70))
    site.publish(asking(site), only="c.jsonl")
    told = lineage_of(site.table)
    assert told["canaries"]["recall"] == 1
    assert checks(told)["canaries"]["least"] == 0.98


def test_equal_vectors_do_not_push_each_other_out(site):
    """Ten documents of one text: whichever is expected, fewer than k rows are nearer."""
    site.put(b=[{"id": f"twin{n}", "text": DOCS[0]["text"]} for n in range(10)])
    for twin in ("twin0", "twin9"):
        plan = asking(site, [{"text": DOCS[0]["text"], "expected": [twin]}])
        shards = [s for receipt in worked(plan).values() for s in receipt.shards]
        assert ask(plan.phase.write.gate.canaries, plan.job, shards, map).recall == 1


def test_a_question_that_the_steps_refuse_finds_nothing(tmp_path):
    model = build_bert(tmp_path / "model")
    site = Site(str(tmp_path), model)
    site.put(a=DOCS)
    asked = [{"text": "\u200b", "expected": ["d0000"]}, *EVERY_SIXTH[:3]]
    plan = site.plan(gate=gate(site, asked, k=100))
    shards = [s for receipt in worked(plan).values() for s in receipt.shards]
    assert ask(plan.phase.write.gate.canaries, plan.job, shards, map).recall == 0.75


def test_a_config_says_canaries_by_their_fields(site):
    assert site.plan(gate=gate(site, k=3)).phase.write.gate.canaries.k == 3
    for wrong, phrase in (
        ({"k": 0}, "canaries.k"),
        ({"tolerance": 2}, "canaries.tolerance"),
        ({"limit": 3}, "field 'canaries': no field 'limit'$"),
    ):
        with pytest.raises(ConfigError, match=phrase):
            site.plan(gate=gate(site, **wrong))
