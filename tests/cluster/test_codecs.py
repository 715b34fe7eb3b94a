"""Every scheme from YAML to a committed table that is searched, by the local runner."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml

from cluster.execute import Result, run_pipeline
from cluster.local import LocalRunner
from cluster.progress import Progress
from cluster.runner import Runner
from operators import columns
from operators.arrays import to_column, to_matrix, whole
from operators.errors import ContractError
from operators.mine.dense import describe, open_part
from operators.mine.pool import Asked
from operators.quantize.artefact import digest_of, fetched, unpacked
from operators.quantize.codes import decoded
from operators.quantize.prefix import prefix
from operators.quantize.quantize import Quantize
from operators.quantize.registry import SCHEMES
from pipelines import spec
from pipelines.config import parse
from tests.pipeline_builders import (
    built,
    good_rows,
    lineage_of,
    lines,
    rows_of,
    vectors_phase,
    write_files,
)

ROWS = 60
MORE: dict[str, dict[str, Any]] = {
    "truncate": {"dims": 12},
    "pq": {"blocks": 4},
    "rvq": {"stages": 4},
    "residual-codec": {"nbits": 4},
}


@pytest.fixture(scope="module")
def floats(tmp_path_factory, tiny_model) -> Path:
    """A folder with documents, and a table of their vectors as they are."""
    folder = tmp_path_factory.mktemp("codecs")
    write_files(f"{folder}/docs", {"a.jsonl": lines(good_rows(0, ROWS))})
    phase = vectors_phase(f"{folder}/docs", f"{folder}/floats")
    phase["steps"].pop()
    run_pipeline(built(tiny_model, vectors=phase), LocalRunner(), Progress(quiet=True))
    return folder


def coded(folder: Path, table: str, **quantize: Any) -> str:
    """A phase that reads the floats' table and codes its vectors."""
    phase = {
        "read": {"uri": f"{folder}/floats"},
        "steps": [{"quantize": quantize}],
        "write": {"table": f"{folder}/{table}"},
    }
    text = yaml.safe_dump({"phases": {"codes": phase}})
    run_pipeline(parse(text), LocalRunner(), Progress(quiet=True))
    return f"{folder}/{table}"


def asked(folder: Path) -> Asked:
    """The floats of the documents, as queries."""
    rows = rows_of(f"{folder}/floats")
    matrix = to_matrix(rows["embedding"], columns.dim_of(rows.schema.field("embedding")))
    return Asked(whole(rows["id"]), whole(rows["content_hash"]), matrix)


@pytest.mark.parametrize("dims", [None, 12])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_scheme_of_a_config_is_fitted_committed_and_searched_by_float_queries(
    scheme, dims, floats
):
    options = {"scheme": scheme, **MORE.get(scheme, {}), **({"dims": dims} if dims else {})}
    table = coded(floats, f"{scheme}-{dims}", **options)
    rows = rows_of(table)
    index = describe(table)
    (field,) = [rows.schema.field(index.column.field.name)]
    meant = decoded(rows, field.name, index.column.artefact)
    queries = asked(floats)
    hits = open_part(index).search(queries, 5)
    matrix = queries.matrix if index.dim == 32 else prefix(queries.matrix, index.dim)
    exact = -np.sort(-(matrix @ meant.T), axis=1)[:, :5]
    assert len(rows) == ROWS
    assert index.dim == dims or index.dim == (12 if scheme == "truncate" else 32)
    assert np.allclose(hits.scores, exact, atol=1e-5)


def test_a_table_of_fewer_dimensions_is_told_from_one_that_was_never_longer(floats):
    short = coded(floats, "short", scheme="int8", dims=12)
    again = {"read": {"uri": short}, "steps": [], "write": {"table": f"{floats}/again"}}
    run_pipeline(
        parse(yaml.safe_dump({"phases": {"copy": again}})), LocalRunner(), Progress(quiet=True)
    )
    field = describe(f"{floats}/again").column.field
    assert (columns.dim_of(field), columns.truncated_from(field)) == (12, 32)
    narrow = describe(f"{floats}/floats")
    cut = prefix(asked(floats).matrix, 12)
    with pytest.raises(ContractError, match="vectors of 32 dimensions"):
        open_part(narrow).search(replace(asked(floats), matrix=cut), 1)


def learned_by(runner: Runner, floats: Path, table: str, **read: Any) -> dict[str, np.ndarray]:
    phase = {
        "read": {"uri": f"{floats}/floats", **read},
        "steps": [{"quantize": {"scheme": "int8-dim"}}],
        "write": {"table": f"{floats}/{table}"},
    }
    pipeline = parse(yaml.safe_dump({"phases": {"codes": phase}}))
    run_pipeline(pipeline, runner, Progress(quiet=True))
    return unpacked_of(describe(f"{floats}/{table}").column.artefact)


def unpacked_of(artefact: bytes) -> dict[str, np.ndarray]:
    return dict(unpacked(artefact, digest_of(artefact), "here"))


def least_and_greatest(floats: Path) -> np.ndarray:
    matrix = asked(floats).matrix
    assert matrix is not None
    return np.stack([matrix.min(axis=0), matrix.max(axis=0)])


@pytest.mark.parametrize("runner", ["local", pytest.param("ray", marks=pytest.mark.ray)])
def test_ranges_are_learned_from_every_row_however_the_source_is_cut(runner, floats, runner_called):
    cuts = {"whole": 1 << 24, "cut": 700}
    learned = [
        learned_by(runner_called(runner), floats, f"{runner}-{name}", unit_bytes=size)
        for name, size in cuts.items()
    ]
    low, high = least_and_greatest(floats).astype(np.float64)
    for each in learned:
        assert np.array_equal(each["offset"], ((low + high) / 2).astype(np.float32))
        assert np.array_equal(each["scale"], ((high - low) / 254).astype(np.float32))


@pytest.mark.parametrize("runner", ["local", pytest.param("ray", marks=pytest.mark.ray)])
def test_codes_are_learned_from_all_rows_however_the_source_is_cut(runner, floats, runner_called):
    wanted = {
        "bits": {"scheme": "binary", "center": "median"},
        "pq": {"scheme": "pq", "blocks": 4},
        "opq": {"scheme": "opq", "blocks": 4},
        "rvq": {"scheme": "rvq", "stages": 2},
        "residual": {"scheme": "residual-codec"},
    }
    learned = []
    for cut, size in {"whole": 1 << 24, "cut": 700}.items():
        phases = {
            name: {
                "read": {"uri": f"{floats}/floats", "unit_bytes": size},
                "steps": [{"quantize": quantize}],
                "write": {"table": f"{floats}/all-{runner}-{cut}-{name}"},
            }
            for name, quantize in wanted.items()
        }
        pipeline = parse(yaml.safe_dump({"phases": phases}))
        run_pipeline(pipeline, runner_called(runner), Progress(quiet=True))
        tables = [phases[name]["write"]["table"] for name in wanted]
        learned.append([describe(table).column.artefact for table in tables])
    matrix = asked(floats).matrix
    assert matrix is not None
    alone = [Quantize(**wanted[name]).fit(_vectors(matrix[::-1])) for name in wanted]
    assert learned[0] == learned[1] == alone


def _vectors(matrix: np.ndarray) -> pa.Table:
    return pa.table([to_column(matrix)], schema=pa.schema([columns.embedding(matrix.shape[1])]))


def test_behind_a_model_ranges_are_learned_from_a_sample(floats, tiny_model, capsys):
    phase = vectors_phase(f"{floats}/docs", f"{floats}/one", quantize={"scheme": "int8-dim"})
    run_pipeline(built(tiny_model, vectors=phase), LocalRunner(), Progress())
    told = capsys.readouterr().err
    assert "quantize learns from a sample" in told
    assert "warning: quantize learned from 60 rows only, and the table keeps that" in told
    artefact = unpacked_of(describe(f"{floats}/one").column.artefact)
    low, high = least_and_greatest(floats)
    assert np.allclose(artefact["offset"], (low + high) / 2, atol=1e-5)


REFIT = spec.Asked(refit=True)


def over(
    folder: Path, model: Path, table: str, asked: spec.Asked = spec.BY_HAND, **encode: Any
) -> Result:
    """A table of floats brought up to date, and one of their codes."""
    vectors = vectors_phase(f"{folder}/docs", f"{folder}/of-{table}", encode=encode)
    vectors["steps"].pop()
    codes = {
        "read": {"phase": "floats"},
        "steps": [{"quantize": {"scheme": "int8-dim"}}],
        "write": {"table": f"{folder}/{table}"},
    }
    pipeline = built(model, floats=vectors, quantized=codes)
    return run_pipeline(pipeline, LocalRunner(), Progress(quiet=True), asked)[-1]


def ranges(result: Result) -> np.ndarray:
    (step,) = [each for each in lineage_of(result.table)["config"]["steps"] if "quantize" in each]
    learned = fetched(step["quantize"]["artefact"])
    return np.stack([learned["offset"], learned["scale"]])


def test_vectors_of_another_model_are_coded_by_what_is_learned_from_them(tmp_path, tiny_model):
    write_files(f"{tmp_path}/docs", {"a.jsonl": lines(good_rows(0, 30))})
    first = ranges(over(tmp_path, tiny_model, "codes"))
    write_files(f"{tmp_path}/docs", {"b.jsonl": lines(good_rows(30, 60))})
    assert np.array_equal(ranges(over(tmp_path, tiny_model, "codes")), first)
    after = ranges(over(tmp_path, tiny_model, "codes", pooling="cls"))
    fresh = ranges(over(tmp_path, tiny_model, "fresh", pooling="cls"))
    assert np.allclose(after, fresh, atol=1e-5)
    assert not np.allclose(after, first, atol=1e-3)


def test_a_refit_learns_from_the_rows_of_today_and_later_runs_keep_that(tmp_path, tiny_model):
    write_files(f"{tmp_path}/docs", {"a.jsonl": lines(good_rows(0, 1))})
    over(tmp_path, tiny_model, "codes")
    write_files(f"{tmp_path}/docs", {"b.jsonl": lines(good_rows(1, 60))})
    kept = over(tmp_path, tiny_model, "codes")
    same = rows_of(kept.table)["codes"].to_pylist()
    assert same == [same[0]] * 60  # ranges of one row
    after = over(tmp_path, tiny_model, "codes", REFIT)
    assert after.version == 2
    fresh = over(tmp_path, tiny_model, "fresh")
    assert np.allclose(ranges(after), ranges(fresh), atol=1e-5)
    assert len({tuple(row) for row in rows_of(after.table)["codes"].to_pylist()}) > 1
    assert over(tmp_path, tiny_model, "codes").counts is None
    again = over(tmp_path, tiny_model, "codes", REFIT)
    assert (again.counts, again.version) == (None, 2)


def test_a_refit_codes_the_floats_that_were_kept_and_encodes_nothing(tmp_path, tiny_model):
    codec = {"scheme": "int8-dim", "keep_embedding": True}
    phase = vectors_phase(f"{tmp_path}/docs", f"{tmp_path}/vectors", quantize=codec)
    pipeline = built(tiny_model, vectors=phase)
    write_files(f"{tmp_path}/docs", {"a.jsonl": lines(good_rows(0, 5))})
    run_pipeline(pipeline, LocalRunner(), Progress(quiet=True))
    write_files(f"{tmp_path}/docs", {"b.jsonl": lines(good_rows(5, 40))})
    (before,) = run_pipeline(pipeline, LocalRunner(), Progress(quiet=True))
    old = ranges(before)
    (after,) = run_pipeline(pipeline, LocalRunner(), Progress(quiet=True), REFIT)
    assert after.counts is not None
    assert (after.version, after.counts.tokens, len(rows_of(after.table))) == (2, 0, 40)
    assert not np.allclose(ranges(after), old, atol=1e-3)
