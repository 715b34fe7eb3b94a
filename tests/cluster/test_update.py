"""A later run pays for what changed: what is read, encoded, kept and rewritten, on both runners."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from cluster.execute import Result, run_pipeline
from cluster.progress import Progress
from cluster.runner import Runner
from operators.errors import GateError
from operators.storage.table import Table
from pipelines.spec import Asked, Pipeline
from tests.pipeline_builders import (
    UNIT_BYTES,
    Row,
    built,
    equal_tables,
    good_rows,
    ids_of,
    lineage_of,
    lines,
    packed_lines,
    quarantined,
    rows_of,
    vectors_phase,
    write_files,
)
from tests.tiny_models import build_bert

LOCAL = pytest.param("local", "file", id="local-file")
LOCAL_S3 = pytest.param("local", "s3", marks=pytest.mark.s3, id="local-s3")
RAY_S3 = pytest.param("ray", "s3", marks=[pytest.mark.ray, pytest.mark.s3], id="ray-s3")
locally = pytest.mark.parametrize(("runner", "store"), [LOCAL, LOCAL_S3])
everywhere = pytest.mark.parametrize(("runner", "store"), [LOCAL, LOCAL_S3, RAY_S3])
ANY_CHANGE = {"max_deleted": 10**9, "max_bad_rows": 10**9}


def run(pipeline: Pipeline, runner: Runner, nonce: str = "") -> Result:
    return run_pipeline(pipeline, runner, Progress(quiet=True), Asked(nonce))[-1]


def files_of(table: str) -> set[str]:
    return {file.path for file in Table(table).files()}


def three_files(base: str) -> str:
    parts = {"a": good_rows(0, 20), "b": good_rows(20, 40), "c": good_rows(40, 60)}
    return write_files(base, {f"{name}.jsonl": lines(rows) for name, rows in parts.items()})


def same_as_a_full_run(pipeline: Pipeline, table: str, runner: Runner) -> None:
    """The table equals what the same pipeline makes of the same source on an empty table."""
    afresh = f"{table}-afresh"
    (phase,) = pipeline.phases
    write = phase.write.__class__(table=afresh, gate=phase.write.gate)
    full = Pipeline((phase.__class__(phase.name, phase.read, phase.steps, write),))
    if Table(afresh).version() >= 0:
        shutil.rmtree(afresh)
    run(full, runner)
    assert equal_tables(table, afresh)
    assert quarantined(table) == quarantined(afresh)


@everywhere
def test_only_new_texts_are_encoded_and_files_of_unchanged_sources_stay(
    place_on, runner_called, tiny_model, runner, store
):
    base, using = place_on(store), runner_called(runner)
    docs, table = three_files(base + "/docs"), base + "/vectors"
    pipeline = built(tiny_model, vectors=vectors_phase(docs, table, gate=ANY_CHANGE))
    first = run(pipeline, using)
    before = files_of(table)

    edited = [{"id": "d0020", "text": "quite another text"}, *good_rows(22, 40)]
    moved = [{"id": "e0001", "text": good_rows(3, 4)[0]["text"]}]
    write_files(docs, {"b.jsonl": lines([*edited, *moved])})
    second = run(pipeline, using)
    assert first.counts is not None
    assert second.counts is not None
    change = lineage_of(table)["changes"]
    assert (change["added"], change["changed"], change["deleted"]) == (1, 1, 1)
    assert change["reused"] == 19
    assert 0 < second.counts.tokens < first.counts.tokens / 20
    assert len(before & files_of(table)) == change["files_kept"] > 0
    same_as_a_full_run(pipeline, table, runner_called("local"))
    assert run(pipeline, using).counts is None


@locally
def test_a_source_file_that_goes_takes_its_rows_along_and_loads_no_model(
    place_on, runner_called, tiny_model, runner, store
):
    base, using = place_on(store), runner_called(runner)
    docs, table = three_files(base + "/docs"), base + "/vectors"
    gate = {**ANY_CHANGE, "sample": 0}
    pipeline = built(tiny_model, vectors=vectors_phase(docs + "/*.jsonl", table, gate=gate))
    run(pipeline, using)
    write_files(docs, {"c.jsonl": b""})
    result = run(pipeline, using)
    assert result.counts is not None
    assert result.counts.tokens == 0
    assert "encode" not in result.counts.seconds
    assert lineage_of(table)["changes"]["deleted"] == 20
    assert ids_of(table) == [f"d{n:04d}" for n in range(40)]


def test_small_files_that_share_a_shard_are_rewritten_without_the_rows_that_changed(
    tmp_path, runner_called, tiny_model
):
    table, using = f"{tmp_path}/vectors", runner_called("local")
    docs = write_files(
        f"{tmp_path}/docs", {f"{n}.jsonl": lines(good_rows(n, n + 1)) for n in range(12)}
    )
    pipeline = built(tiny_model, vectors=vectors_phase(docs, table, gate=ANY_CHANGE))
    run(pipeline, using)
    assert len(files_of(table)) < 12
    write_files(docs, {"4.jsonl": lines([{"id": "d0004", "text": "else"}])})
    run(pipeline, using)
    change = lineage_of(table)["changes"]
    assert (change["changed"], change["files_rewritten"]) == (1, 1)
    same_as_a_full_run(pipeline, table, using)


def test_a_later_row_of_an_id_comes_back_when_the_earlier_one_goes(
    tmp_path, runner_called, tiny_model
):
    table, using = f"{tmp_path}/vectors", runner_called("local")
    twice = [{"id": "d0001", "text": "the later one"}, *good_rows(20, 30)]
    docs = write_files(
        f"{tmp_path}/docs", {"a.jsonl": lines(good_rows(0, 10)), "b.jsonl": lines(twice)}
    )
    pipeline = built(tiny_model, vectors=vectors_phase(docs, table, gate=ANY_CHANGE))
    run(pipeline, using)
    assert quarantined(table) == {("d0001", "duplicate id")}
    write_files(docs, {"a.jsonl": lines([*good_rows(0, 1), *good_rows(2, 10)])})
    run(pipeline, using)
    assert quarantined(table) == set()
    same_as_a_full_run(pipeline, table, using)
    write_files(docs, {"0.jsonl": lines([{"id": "d0025", "text": "now the first"}])})
    run(pipeline, using)
    assert quarantined(table) == {("d0025", "duplicate id")}
    same_as_a_full_run(pipeline, table, using)


def test_bad_rows_of_files_that_were_not_read_again_stay_in_the_quarantine(
    tmp_path, runner_called, tiny_model
):
    table, using = f"{tmp_path}/vectors", runner_called("local")
    bad = [{"id": "n1", "text": None}, *good_rows(0, 5)]
    docs = write_files(
        f"{tmp_path}/docs", {"a.jsonl": lines(bad), "b.jsonl": lines(good_rows(5, 9))}
    )
    pipeline = built(tiny_model, vectors=vectors_phase(docs, table, gate=ANY_CHANGE))
    run(pipeline, using)
    write_files(docs, {"b.jsonl": lines([*good_rows(5, 8), {"id": "n2", "text": "  "}])})
    run(pipeline, using)
    assert {id_ for id_, _ in quarantined(table)} == {"n1", "n2"}
    same_as_a_full_run(pipeline, table, using)


def test_equal_texts_under_many_ids_are_encoded_once(tmp_path, runner_called, tiny_model):
    table, using = f"{tmp_path}/vectors", runner_called("local")
    docs = write_files(f"{tmp_path}/docs", {"a.jsonl": lines(good_rows(0, 10))})
    pipeline = built(tiny_model, vectors=vectors_phase(docs, table, gate=ANY_CHANGE))
    run(pipeline, using)
    same = [{"id": f"s{n:03d}", "text": "one text for all of them"} for n in range(120)]
    write_files(docs, {"b.jsonl": lines(same[:60]), "c.jsonl.gz": packed_lines(same[60:])})
    result = run(pipeline, using)
    assert result.counts is not None
    assert 0 < result.counts.tokens < 40
    assert lineage_of(table)["changes"]["reused"] == 119
    same_as_a_full_run(pipeline, table, using)


def test_a_row_whose_text_cannot_be_encoded_says_why_under_each_of_its_ids(
    tmp_path, runner_called, tiny_model
):
    table, using = f"{tmp_path}/vectors", runner_called("local")
    docs = write_files(f"{tmp_path}/docs", {"a.jsonl": lines(good_rows(0, 10))})
    reading = {"max_text_bytes": 500}
    pipeline = built(tiny_model, vectors=vectors_phase(docs, table, read=reading, gate=ANY_CHANGE))
    run(pipeline, using)
    rows = [*good_rows(10, 12), {"id": "x1", "text": "z" * 600}]
    write_files(docs, {"b.jsonl": lines(rows)})
    run(pipeline, using)
    assert {id_ for id_, _ in quarantined(table)} == {"x1"}
    same_as_a_full_run(pipeline, table, using)


def test_a_renamed_model_embeds_nothing_and_new_weights_under_the_old_name_everything(
    tmp_path, runner_called
):
    using = runner_called("local")
    model = build_bert(tmp_path / "model")
    docs, table = three_files(f"{tmp_path}/docs"), f"{tmp_path}/vectors"
    pipeline = built(model, vectors=vectors_phase(docs, table))
    first = run(pipeline, using)
    renamed = tmp_path / "elsewhere" / "renamed"
    shutil.copytree(model, renamed)
    assert run(built(renamed, vectors=vectors_phase(docs, table)), using).counts is None

    shutil.rmtree(model)
    build_bert(tmp_path / "model", seed=1)
    again = run(pipeline, using)
    assert first.counts is not None
    assert again.counts is not None
    assert again.counts.tokens == first.counts.tokens
    assert lineage_of(table)["changes"]["reused"] == 0
    assert rows_of(table, 0)["codes"] != rows_of(table)["codes"]


def test_another_passthrough_column_keeps_every_vector(tmp_path, runner_called, tiny_model):
    table, using = f"{tmp_path}/vectors", runner_called("local")
    rows = [{**row, "lang": "en"} for row in good_rows(0, 30)]
    docs = write_files(f"{tmp_path}/docs", {"a.jsonl": lines(rows)})
    run(built(tiny_model, vectors=vectors_phase(docs, table)), using)
    kept = built(tiny_model, vectors=vectors_phase(docs, table, read={"keep": ["lang"]}))
    result = run(kept, using)
    assert result.counts is not None
    assert result.counts.tokens == 0
    assert set(rows_of(table)["lang"].to_pylist()) == {"en"}
    same_as_a_full_run(kept, table, using)


@pytest.mark.parametrize("runner", ["local", pytest.param("ray", marks=pytest.mark.ray)])
def test_passages_of_unchanged_documents_stay_and_so_do_their_vectors(
    tmp_path, runner_called, tiny_model, runner
):
    using = runner_called(runner)
    long = [{"id": f"p{n}", "text": f"sentence {n} of the text. " * 30} for n in range(8)]
    docs = write_files(f"{tmp_path}/docs", {"a.jsonl": lines(long[:4]), "b.jsonl": lines(long[4:])})
    pipeline = chunked(tiny_model, docs, str(tmp_path))
    both = run_pipeline(pipeline, using, Progress(quiet=True))
    assert both[1].counts is not None
    longer = {"id": "p5", "text": f"{long[5]['text']} And one sentence more."}
    write_files(docs, {"b.jsonl": lines([long[4], longer, *long[6:]])})
    passages, vectors = run_pipeline(pipeline, using, Progress(quiet=True))
    assert vectors.counts is not None
    assert lineage_of(passages.table)["changes"]["files_kept"] > 0
    assert vectors.counts.tokens < both[1].counts.tokens / 4
    read, made = rows_of(passages.table), rows_of(vectors.table)
    assert read["id"].equals(made["id"])
    assert read["content_hash"].equals(made["content_hash"])


def chunked(model: Any, docs: str, base: str) -> Pipeline:
    passages = {
        "read": {"uri": docs, "unit_bytes": UNIT_BYTES},
        "steps": [{"passages": {"model": "tiny", "tokens": 40, "overlap": 8}}],
        "write": {"table": f"{base}/passages"},
    }
    vectors = vectors_phase("", f"{base}/vectors", read={"uri": "", "phase": "passages"})
    return built(model, passages=passages, vectors=vectors)


def test_a_source_that_shrinks_is_refused_and_the_old_version_stays(
    tmp_path, runner_called, tiny_model
):
    table, using = f"{tmp_path}/vectors", runner_called("local")
    docs = three_files(f"{tmp_path}/docs")
    pipeline = built(tiny_model, vectors=vectors_phase(docs, table))
    run(pipeline, using)
    for rows in shrunken():
        write_files(docs, {f"{name}.jsonl": data for name, data in rows.items()})
        with pytest.raises(GateError, match="of the last version's 60 rows are gone"):
            run(pipeline, using)
        assert len(ids_of(table)) == 60
    three_files(docs)
    assert run(pipeline, using).table == table


def shrunken() -> Iterator[Mapping[str, bytes]]:
    one: Sequence[Row] = good_rows(0, 1)
    yield {"a": lines(one), "b": b"", "c": b""}
    yield {"a": lines([{"id": "new", "text": "the ids are of another kind"}]), "b": b"", "c": b""}


def test_a_rerun_makes_everything_anew(tmp_path, runner_called, tiny_model):
    table, using = f"{tmp_path}/vectors", runner_called("local")
    docs = three_files(f"{tmp_path}/docs")
    pipeline = built(tiny_model, vectors=vectors_phase(docs, table))
    first, again = run(pipeline, using), run(pipeline, using, nonce="once more")
    assert first.counts is not None
    assert again.counts is not None
    assert again.counts.tokens == first.counts.tokens
    change = lineage_of(table)["changes"]
    assert (change["parent_rows"], change["added"], change["deleted"]) == (60, None, None)
