"""A committed table is read by tools that know nothing of us, with equal rows."""

import subprocess
import sys
from collections.abc import Callable

import pyarrow as pa
import pytest

from cluster.execute import run_pipeline
from cluster.local import LocalRunner
from cluster.progress import Progress
from tests.pipeline_builders import (
    built,
    good_rows,
    lines,
    rows_of,
    vectors_phase,
    write_files,
)

NAMES = ["id", "content_hash", "n_tokens", "truncated", "codes", "scale"]


@pytest.fixture(scope="module")
def table(tmp_path_factory, tiny_model):
    """Vectors of two versions, the files of the first still beside those of the second."""
    base = str(tmp_path_factory.mktemp("lake"))
    docs = write_files(base + "/docs", {"a.jsonl": lines(good_rows(0, 50))})
    described = vectors_phase(docs, base + "/vectors", quantize={"keep_embedding": True})
    pipeline = built(tiny_model, vectors=described)
    run_pipeline(pipeline, LocalRunner(), Progress(quiet=True))
    write_files(docs, {"a.jsonl": lines(good_rows(20, 90))})
    run_pipeline(pipeline, LocalRunner(), Progress(quiet=True))
    return base + "/vectors"


@pytest.fixture(scope="module")
def files(table, project):
    """What `table files` prints."""
    command = [sys.executable, "-m", "cluster.cli", "table", "files", table]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    return done.stdout.split()


def by_duckdb(table: str, files: list[str]) -> pa.Table:
    import duckdb
    from deltalake import DeltaTable

    rows = pa.table(DeltaTable(table).to_pyarrow_table())
    connection = duckdb.connect()
    connection.register("vectors", rows)
    return connection.sql("select * from vectors").to_arrow_table()


def by_polars(table: str, files: list[str]) -> pa.Table:
    import polars

    return polars.read_delta(table).to_arrow()


def by_pandas(table: str, files: list[str]) -> pa.Table:
    import pandas

    return pa.Table.from_pandas(pandas.concat([pandas.read_parquet(file) for file in files]))


def by_datasets(table: str, files: list[str]) -> pa.Table:
    import datasets

    found = datasets.Dataset.from_parquet(files, cache_dir=f"{table}-cache")
    return found.data.table


def by_ray(table: str, files: list[str]) -> pa.Table:
    import ray.data

    return pa.concat_tables(ray.get(ray.data.read_parquet(files).to_arrow_refs()))


def same(found: pa.Table, expected: pa.Table) -> bool:
    """Whether the columns are equal once other string, binary and list types are ours."""
    found = found.sort_by("id")
    return all(
        found[name].cast(expected[name].type).combine_chunks().to_pylist()
        == expected[name].to_pylist()
        for name in [*NAMES, "embedding"]
    )


@pytest.mark.parametrize(
    "reader",
    [by_duckdb, by_polars, by_pandas, by_datasets, pytest.param(by_ray, marks=pytest.mark.ray)],
)
def test_another_reader_sees_the_rows_of_the_newest_version(
    request, table, files, reader: Callable[[str, list[str]], pa.Table]
):
    if reader is by_ray:
        request.getfixturevalue("ray_started")
    expected = rows_of(table)
    assert len(expected) == 70
    assert same(reader(table, files), expected)


def test_the_files_of_an_older_version_are_listed_by_its_number(table, files, project):
    command = [sys.executable, "-m", "cluster.cli", "table", "files", table, "--version", "0"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    assert done.stdout.split()
    assert not set(done.stdout.split()) & set(files)
