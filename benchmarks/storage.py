"""Object storage: shards streamed to it, and what tens of thousands of small objects cost.

`make bench-storage`, or `python -m benchmarks.storage --objects 10000`. A SeaweedFS of its own on
loopback is the store, so it shares the cores with what is measured.
"""

import argparse
import asyncio
import io
import os
import shutil
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.fs import DeltaStorageHandler

from benchmarks._results import keep, table
from operators import columns
from operators.arrays import to_column
from operators.storage import bulk
from operators.storage import uri as store
from operators.storage.parquet import Shard, write_shard
from operators.storage.receipts import Receipt, RunFolder
from operators.storage.table import Table
from operators.text.source import Source
from pipelines.plan import plan_phase
from pipelines.spec import Phase, Write
from tests.conftest import ACCESS, BUCKET, REGION, make_bucket, seaweedfs

DIM, RUN = 384, "r"
ONLY_IDS = pa.schema([columns.ID])
PUTS = 32
"""Objects put at once while a store is filled."""


def main() -> None:
    """Measure everything several times, and keep the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=200_000, help="vectors of the large shard")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    weed = shutil.which("weed", path=str(Path(sys.executable).parent))
    if weed is None:
        sys.exit("no weed beside this Python: make venv")
    with tempfile.TemporaryDirectory() as name, seaweedfs(weed, Path(name)) as endpoint:
        os.environ.update({**ACCESS, **REGION, "AWS_ENDPOINT_URL": endpoint})
        make_bucket()
        lines = [*_shards(options), *_small(options)]
    command = (
        f"python -m benchmarks.storage --objects {options.objects} --rows {options.rows} "
        f"--repeats {options.repeats}"
    )
    head = ["what", "seconds", "of it", "aim"]
    told = [f"SeaweedFS on the same two cores; medians of {options.repeats}.", ""]
    keep("storage", command, [*told, *table(head, lines), "", f"`{command}`"], {"lines": lines})


def _shards(options: argparse.Namespace) -> Iterable[tuple[str, str, str, str]]:
    """A shard of vectors streamed to the store, and the same bytes put by the fastest client."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((options.rows, DIM), np.float32)
    ids = pa.array([f"d{n:09d}" for n in range(options.rows)])
    schema = pa.schema([columns.ID, columns.embedding(DIM)])
    rows = pa.table([ids, to_column(vectors)], schema=schema)
    shard = write_shard(f"s3://{BUCKET}/warm", RUN, "u", rows.slice(0, 10), {})
    whole: list[float] = []
    alone: list[float] = []
    raw: list[float] = []
    for number in range(options.repeats):
        place = f"s3://{BUCKET}/large{number}"
        took, shard = _timed(lambda to=place: write_shard(to, RUN, "u", rows, {}))
        whole.append(took)
        data = store.read_bytes(store.join(place, shard.path))
        raw.append(_timed(lambda d=data, n=number: obstore.put(_client(), f"raw{n}", d))[0])
        alone.append(_timed(lambda: _in_memory(rows))[0])
    size = shard.size / 1e6
    a, b, c = (statistics.median(each) for each in (whole, raw, alone))
    yield f"shard of {size:.0f} MB, written", f"{a:.2f}", f"{size / a:.0f} MB/s", ""
    yield "  the same bytes put by obstore", f"{b:.2f}", f"{size / b:.0f} MB/s", ""
    yield "  the same rows as Parquet in memory", f"{c:.2f}", f"{size / c:.0f} MB/s", ""
    yield "  upload's rate over the raw one", "", f"{b / a:.2f}", "≥ 0.8"


def _in_memory(rows: pa.Table) -> None:
    split: Any = {"embedding.list.element": "BYTE_STREAM_SPLIT"}
    dictionaries: Any = ["id"]
    pq.write_table(
        rows, io.BytesIO(), compression="zstd", column_encoding=split, use_dictionary=dictionaries
    )


def _small(options: argparse.Namespace) -> Iterable[tuple[str, str, str, str]]:
    """Plans over many files; receipts of many units collected and committed; a table opened."""
    count = options.objects
    line = b'{"id": "%d", "text": "a text of a small file"}\n'
    _fill({f"lines/{n:06d}.jsonl": line % n for n in range(count)})
    _fill({f"parquet/{n:06d}.parquet": _file(n) for n in range(count)})
    shards = [Shard(f"data/{RUN}/u{n:06d}-x.parquet", 1, 1000, "0" * 32) for n in range(count)]
    receipts = {f"u{n:06d}": _receipt(f"u{n:06d}", shard) for n, shard in enumerate(shards)}
    found: dict[str, list[float]] = {}
    for _ in range(options.repeats):
        for kind in ("lines", "parquet"):
            phase = Phase("rows", Source(f"s3://{BUCKET}/{kind}"), (), Write(_place()))
            found.setdefault(f"plan of {count:,} files, {kind}", []).append(
                _timed(lambda phase=phase: plan_phase(phase))[0]
            )
        place = _place()
        key = place.removeprefix(f"s3://{BUCKET}/")
        _fill({f"{key}/{shard.path}": b"x" * 1000 for shard in shards})
        run = f"{key}/_corpusmill/runs/{RUN}/receipts"
        _fill({f"{run}/{name}.json": each.to_json() for name, each in receipts.items()})
        took, collected = _timed(lambda to=place: RunFolder(to, RUN).receipts())
        found.setdefault(f"{count:,} receipts collected", []).append(took)
        found.setdefault("  their bytes by deltalake's handles, 16 threads", []).append(
            _timed(lambda key=run, names=[*receipts]: _by_handles(key, names))[0]
        )
        new = [shard for receipt in collected.values() for shard in receipt.shards]
        commit = _timed(lambda to=place, new=new: Table(to).commit(-1, ONLY_IDS, new, {}, "k"))[0]
        found.setdefault("  checked and committed", []).append(commit)
        files = _timed(lambda to=place: list(Table(to).files()))[0]
        found.setdefault(f"table of {count:,} shards opened", []).append(files)
        bare = _timed(
            lambda to=place: DeltaTable(to, storage_options=bulk.options(to)).file_uris()
        )[0]
        found.setdefault("  by deltalake alone", []).append(bare)
    aims = {"plan": "≤ 10 s", "receipts collected": "≤ 15 s with the commit", "opened": "≤ 5 s"}
    for name, seconds in found.items():
        aim = next((aim for part, aim in aims.items() if part in name), "")
        yield name, f"{statistics.median(seconds):.2f}", "", aim


def _by_handles(folder: str, names: list[str]) -> list[bytes]:
    handler = DeltaStorageHandler(f"s3://{BUCKET}", options=bulk.options(f"s3://{BUCKET}"))
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda n: handler.open_input_file(f"{folder}/{n}.json").read(), names))


def _bare(uri: str) -> list[str]:
    return DeltaTable(uri, storage_options=bulk.options(uri)).file_uris()


def _receipt(unit: str, shard: Shard) -> Receipt:
    seconds = {"tokenize": 0.1, "encode": 3.2, "quantize": 0.01}
    return Receipt(unit, (shard,), "", 1, 1, 200, 0, {}, 1.0, 1.0, 0, seconds, worker="node-1/1")


def _file(number: int) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": [str(number)], "text": ["a text of a small file"]}), sink)
    return sink.getvalue()


def _place() -> str:
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"


def _client() -> Any:
    return obstore.store.S3Store(
        BUCKET, endpoint=os.environ["AWS_ENDPOINT_URL"], client_options={"allow_http": True}
    )


def _fill(objects: dict[str, bytes]) -> None:
    client = _client()

    async def every() -> None:
        gate = asyncio.Semaphore(PUTS)

        async def one(key: str, data: bytes) -> None:
            async with gate:
                await obstore.put_async(client, key, data)

        await asyncio.gather(*(one(*each) for each in objects.items()))

    asyncio.run(every())


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    clock = time.perf_counter()
    found = work()
    return time.perf_counter() - clock, found


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
