"""A table's later runs: a changed source, a refused gate, a rollback, all of it on both runners."""

import numpy as np
import pytest

from cluster.execute import Result, run_pipeline
from cluster.progress import Progress
from cluster.runner import Runner
from operators import columns
from operators.arrays import to_matrix
from operators.errors import GateError
from operators.storage.receipts import RunFolder, runs
from operators.storage.table import Table
from pipelines.spec import Pipeline
from tests.pipeline_builders import (
    UNIT_BYTES,
    built,
    good_rows,
    ids_of,
    lineage_of,
    lines,
    rows_of,
    same_columns,
    vectors_phase,
    write_files,
)

LOCAL_FILE = pytest.param("local", "file", id="local-file")
LOCAL_S3 = pytest.param("local", "s3", marks=pytest.mark.s3, id="local-s3")
RAY_FILE = pytest.param("ray", "file", marks=pytest.mark.ray, id="ray-file")
locally = pytest.mark.parametrize(("runner", "store"), [LOCAL_FILE, LOCAL_S3])
on_disk = pytest.mark.parametrize(("runner", "store"), [LOCAL_FILE, RAY_FILE])

NAMES = [f"d{n:04d}" for n in range(60)]


def run(pipeline: Pipeline, runner: Runner) -> Result:
    return run_pipeline(pipeline, runner, Progress(quiet=True))[-1]


@locally
def test_a_changed_source_is_a_new_version_and_a_rollback_starts_anew(
    place_on, runner_called, tiny_model, runner, store
):
    base, using = place_on(store), runner_called(runner)
    docs = write_files(
        base + "/docs", {"a.jsonl": lines(good_rows(0, 30)), "b.jsonl": lines(good_rows(30, 50))}
    )
    table = base + "/vectors"
    pipeline = built(tiny_model, vectors=vectors_phase(docs, table))
    assert run(pipeline, using).version == 0

    changed = [{"id": "d0030", "text": "another text"}, *good_rows(31, 40), *good_rows(50, 60)]
    write_files(docs, {"b.jsonl": lines(changed)})
    assert run(pipeline, using).version == 1
    assert ids_of(table, 0) == NAMES[:50]
    assert ids_of(table) == NAMES[:40] + NAMES[50:]
    before, after = rows_of(table, 0), rows_of(table)
    assert before["codes"][0] == after["codes"][0]
    assert before["codes"][30] != after["codes"][30]

    assert Table(table).rollback(0) == 2
    assert ids_of(table) == NAMES[:50]
    again = run(pipeline, using)
    assert again.counts is not None
    assert again.version == 3
    assert same_columns(rows_of(table), rows_of(table, 1), ["id", "content_hash", "codes"])
    assert lineage_of(table)["parent"] == 2
    assert len(runs(table)) == 3


@locally
def test_a_refused_version_is_published_without_encoding_again_when_the_gate_allows(
    place_on, runner_called, tiny_model, runner, store
):
    base, using = place_on(store), runner_called(runner)
    docs = write_files(base + "/docs", {"a.jsonl": lines(good_rows(0, 20))})
    table = base + "/vectors"
    strict = built(tiny_model, vectors=vectors_phase(docs, table, gate={"max_bad_rows": 0}))
    assert run(strict, using).version == 0

    write_files(docs, {"b.jsonl": lines([{"id": "bad", "text": ""}, *good_rows(20, 60)])})
    with pytest.raises(GateError, match="1 of 61 rows quarantined") as refused:
        run(strict, using)
    assert refused.value.exit_code == 4
    assert Table(table).version() == 0
    assert ids_of(table) == NAMES[:20]

    (staged,) = set(runs(table)) - {lineage_of(table)["run_key"]}
    folder = RunFolder(table, staged)
    attempts, receipts = folder.attempts(), folder.receipts()
    assert (folder.entry() or {})["status"] == "refused"
    with pytest.raises(GateError):
        run(strict, using)
    loose = built(tiny_model, vectors=vectors_phase(docs, table, gate={"max_bad_rows": 1}))
    published = run(loose, using)
    assert (published.version, published.reused_units) == (1, len(receipts))
    assert ids_of(table) == NAMES
    assert lineage_of(table)["run_key"] == staged
    assert folder.attempts() == attempts
    assert folder.receipts() == receipts


@on_disk
def test_medians_are_learned_once_and_pinned_to_the_table(
    place_on, runner_called, tiny_model, runner, store
):
    base, using = place_on(store), runner_called(runner)
    docs = write_files(base + "/docs", {"a.jsonl": lines(good_rows(0, 40))})
    table = base + "/vectors"
    binary = {"scheme": "binary", "center": "median"}
    gate = {"max_deleted": 0.9}
    pipeline = built(tiny_model, vectors=vectors_phase(docs, table, quantize=binary, gate=gate))
    assert run(pipeline, using).version == 0
    _, learned = columns.decoder_of(rows_of(table).schema.field("bits"))
    assert learned
    assert run(pipeline, using).counts is None

    write_files(docs, {"a.jsonl": lines([{"id": "d0000", "text": "z"}, *good_rows(30, 60)])})
    assert run(pipeline, using).version == 1
    assert columns.decoder_of(rows_of(table).schema.field("bits"))[1] == learned
    assert same_columns(
        rows_of(table).slice(1, 10), rows_of(table, 0).slice(30), ["id", "content_hash", "bits"]
    )


def test_a_phase_reads_what_an_earlier_phase_committed(place_on, runner_called, tiny_model):
    base, using = place_on("file"), runner_called("local")
    long = [{"id": f"long{n}", "text": f"sentence {n} of the text. " * 30} for n in range(6)]
    docs = write_files(base + "/docs", {"a.jsonl": lines([*good_rows(0, 10), *long])})
    passages = {
        "read": {"uri": docs, "unit_bytes": UNIT_BYTES},
        "steps": [{"passages": {"model": "tiny", "tokens": 40, "overlap": 8}}],
        "write": {"table": base + "/passages"},
    }
    vectors = vectors_phase("", base + "/vectors", read={"uri": "", "phase": "passages"})
    vectors["read"]["keep"] = ["parent_id"]
    pipeline = built(tiny_model, passages=passages, vectors=vectors)
    first, second = run_pipeline(pipeline, using, Progress(quiet=True))
    assert (first.version, second.version) == (0, 0)
    read, made = rows_of(first.table), rows_of(second.table)
    assert len(made) > 16
    assert same_columns(read, made, ["id", "content_hash", "parent_id"])
    source = lineage_of(second.table)
    assert (source["source"], source["source_version"]) == (first.table, 0)
    again = run_pipeline(pipeline, using, Progress(quiet=True))
    assert [result.counts for result in again] == [None, None]


@pytest.mark.ray
def test_in_bf16_local_and_ray_agree_to_the_promised_cosine(place_on, runner_called, tiny_model):
    base = place_on("file")
    docs = write_files(base + "/docs", {"a.jsonl": lines(good_rows(0, 60))})
    made = []
    for runner in ("local", "ray"):
        phase = vectors_phase(
            docs,
            f"{base}/{runner}",
            encode={"precision": "bf16"},
            quantize={"keep_embedding": True},
        )
        run(built(tiny_model, vectors=phase), runner_called(runner))
        made.append(rows_of(f"{base}/{runner}"))
    one, other = made
    assert same_columns(one, other, ["id", "content_hash"])
    dim = columns.dim_of(one.schema.field("embedding"))
    a, b = (to_matrix(table["embedding"], dim) for table in made)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    assert (np.einsum("ij,ij->i", a, b) / lengths).min() >= 0.9999
    codes = [to_matrix(table["codes"], dim).astype(np.int16) for table in made]
    assert np.abs(codes[0] - codes[1]).max() <= 1
