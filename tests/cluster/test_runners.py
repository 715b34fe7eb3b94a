"""One corpus with every kind of trouble becomes the same table on both runners and both stores."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest

from cluster.execute import Result, run_pipeline
from cluster.progress import Progress
from operators import columns
from operators.arrays import to_matrix
from operators.errors import SourceError
from operators.storage import uri as store_uri
from operators.storage.receipts import Receipt
from operators.storage.table import Table
from operators.text.hashes import content_hashes
from tests.pipeline_builders import (
    built,
    config,
    good_rows,
    ids_of,
    lineage_of,
    lines,
    packed_lines,
    quarantined,
    rows_of,
    run_folder,
    same_columns,
    vectors_phase,
    write_files,
)

RAY = pytest.param("ray", marks=pytest.mark.ray)
S3 = pytest.param("s3", marks=pytest.mark.s3)
on_every_runner = pytest.mark.parametrize("runner", ["local", RAY])
on_every_store = pytest.mark.parametrize("store", ["file", S3])

LONG = {"id": "d0040", "text": "long " * 1200}
"""Longer than several units: ranges of its file in which no line starts are empty units."""
BROKEN = b"".join(
    [
        lines([{"id": "d0003", "text": "another text under an old id"}]),
        b'{"id": "no-text", "text": null}\n',
        b'{"id": "blank", "text": " \\t "}\n',
        b'{"text": "nobody named it"}\n',
        b'{"id": "number", "text": 5}\n',
        b'{"id": "half\n',
        b'{"id": "bytes", "text": "\xff\xfe"}\n',
        b"\n",
    ]
)
FILES: Mapping[str, bytes] = {
    "a.jsonl": lines([*good_rows(0, 40), LONG, *good_rows(41, 60)]),
    "b.jsonl": BROKEN + lines(good_rows(60, 70)) + lines(good_rows(64, 65)),
    "c.jsonl.gz": packed_lines([*good_rows(1, 2), *good_rows(70, 130)]),
    "d.jsonl.gz": packed_lines(good_rows(200, 400))[:-40],
    "e.jsonl": b"",
}
GOOD = [f"d{n:04d}" for n in range(130)]
BAD = {
    ("d0003", "duplicate id"),
    ("d0064", "duplicate id"),
    ("d0001", "duplicate id"),
    ("no-text", "text is null"),
    ("blank", "text is empty"),
    (None, "id is null"),
    ("number", "not a string"),
    (None, "not valid JSON"),
    (None, "not UTF-8"),
}


@dataclass(frozen=True)
class Done:
    """A finished run: its config, table and result."""

    config: str
    table: str
    result: Result

    @property
    def receipts(self) -> dict[str, Receipt]:
        return run_folder(self.table).receipts()


Job = Callable[[str, str], Done]


@pytest.fixture(scope="module")
def job(place_on, runner_called, tiny_model) -> Job:
    """The run of the troubled corpus by (runner, store), done once each."""
    sources: dict[str, str] = {}
    known: dict[tuple[str, str], Done] = {}

    def run(runner: str, store: str) -> Done:
        if store not in sources:
            sources[store] = write_files(place_on(store) + "/docs", FILES)
        if (runner, store) not in known:
            table = place_on(store) + "/vectors"
            phase = vectors_phase(
                sources[store],
                table,
                quantize={"keep_embedding": True},
                gate={"max_bad_rows": 9, "max_bad_units": 1, "norm": [0.99, 1.01]},
            )
            pipeline = built(tiny_model, vectors=phase)
            (result,) = run_pipeline(pipeline, runner_called(runner), Progress(quiet=True))
            known[runner, store] = Done(config(tiny_model, vectors=phase), table, result)
        return known[runner, store]

    return run


@on_every_runner
@on_every_store
def test_every_good_row_is_in_the_table_once(job, runner, store):
    done = job(runner, store)
    assert ids_of(done.table) == GOOD
    counts = done.result.counts
    assert counts is not None
    assert (counts.rows_in, counts.rows_out, counts.quarantined) == (139, 130, 9)
    assert done.result.version == 0


@on_every_runner
@on_every_store
def test_every_bad_row_is_quarantined_with_its_reason_and_named_in_the_commit(job, runner, store):
    done = job(runner, store)
    assert quarantined(done.table) == BAD
    assert lineage_of(done.table)["counts"]["bad"] == {
        "duplicate id": 3,
        "id is null": 1,
        "not UTF-8": 1,
        "not a string": 1,
        "not valid JSON": 1,
        "text is empty": 1,
        "text is null": 1,
    }


@on_every_runner
@on_every_store
def test_of_equal_ids_the_first_by_file_and_row_stays(job, runner, store):
    rows = rows_of(job(runner, store).table)
    texts = {row["id"]: row["text"] for row in good_rows(0, 130)}
    for name in ("d0001", "d0003", "d0064"):
        expected = content_hashes(pa.array([texts[name]]))[0]
        assert rows["content_hash"][GOOD.index(name)].as_py() == expected.as_py()


@on_every_runner
@on_every_store
def test_a_unit_is_one_shard_and_a_compressed_file_one_a_part(job, runner, store):
    done = job(runner, store)
    shards = [shard for receipt in done.receipts.values() for shard in receipt.shards]
    assert {file.path for file in Table(done.table).files()} == {shard.path for shard in shards}
    assert all(len(receipt.shards) <= 1 for receipt in done.receipts.values())
    parts = [name for name in done.receipts if ".p" in name]
    assert len(parts) > 2
    assert len(done.receipts) - len(parts) > 4


@on_every_runner
@on_every_store
def test_a_unit_without_rows_has_a_receipt_and_no_shard(job, runner, store):
    receipts = job(runner, store).receipts.values()
    empty = [receipt for receipt in receipts if receipt.rows_in == 0 and receipt.parts < 0]
    assert empty
    assert all(receipt.shards == () for receipt in empty)


@on_every_runner
@on_every_store
def test_an_unreadable_file_is_named_and_the_others_are_kept(job, runner, store):
    bad = lineage_of(job(runner, store).table)["counts"]["bad_units"]
    (reason,) = bad.values()
    assert "d.jsonl.gz" in reason
    assert "cut short" in reason


@on_every_runner
def test_an_error_in_a_parallel_task_is_the_sentence_that_it_was(runner_called, runner):
    with pytest.raises(SourceError) as caught:
        list(runner_called(runner).parallel(store_uri.file_at, ["/no/such/file"]))
    assert str(caught.value).startswith("source /no/such/file: not found")


@pytest.mark.ray
@on_every_store
def test_local_and_ray_make_the_same_table(job, store):
    local, ray = (rows_of(job(runner, store).table) for runner in ("local", "ray"))
    assert local.schema.equals(ray.schema, check_metadata=True)
    names = [name for name in local.column_names if name != "embedding"]
    assert "codes" in names
    assert same_columns(local, ray, names)
    dim = columns.dim_of(local.schema.field("embedding"))
    assert np.allclose(
        to_matrix(local["embedding"], dim), to_matrix(ray["embedding"], dim), rtol=0, atol=1e-6
    )
    assert (
        lineage_of(job("local", store).table)["recipe"]
        == (lineage_of(job("ray", store).table)["recipe"])
    )


AGAIN = """
import sys
from cluster.commands import runner_named
from cluster.execute import run_pipeline
from cluster.progress import Progress
from pipelines.config import parse

pipeline = parse(sys.stdin.read())
(result,) = run_pipeline(pipeline, runner_named(sys.argv[1], ""), Progress(quiet=True))
started = "ray" in sys.modules and sys.modules["ray"].is_initialized()
print(result.counts, result.version, "torch" in sys.modules, started)
"""


@on_every_runner
@on_every_store
def test_run_again_nothing_changed_and_neither_model_nor_ray_is_loaded(job, runner, store, project):
    done = job(runner, store)
    again = subprocess.run(
        [sys.executable, "-c", AGAIN, runner],
        cwd=project,
        input=done.config,
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    assert again.stdout.split() == ["None", "0", "False", "False"]
