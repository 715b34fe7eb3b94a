"""Object storage: shards streamed to it, and what tens of thousands of small objects cost.

`make bench-storage`, or `python -m benchmarks.storage --objects 10000`. A SeaweedFS of its own on
loopback is the store, so it shares the cores with what is measured.
"""

import argparse
import asyncio
import io
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from benchmarks._measured import HEAD, Clock, Line, Measured, in_turn, line_of, median_of
from benchmarks._results import keep, table
from operators import columns
from operators.arrays import to_column
from operators.storage import bulk
from operators.storage import uri as store
from operators.storage.content import content_digest
from operators.storage.parquet import Shard, write_shard
from operators.storage.parts import PART_BYTES
from operators.storage.receipts import Receipt, RunFolder
from operators.storage.stored import stored_table
from operators.storage.table import Table
from operators.text.source import Source
from pipelines.plan import PhasePlan, plan_phase
from pipelines.spec import Phase, Write
from tests.conftest import ACCESS, BUCKET, REGION, make_bucket, seaweedfs

DIM, RUN = 384, "r"
ONLY_IDS = pa.schema([columns.ID])
PUTS = 32
"""Objects put at once while a store is filled."""
LOOPED = 20
"""A plain loop takes this part of the objects: all would take minutes."""


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
        clock = Clock()
        lines = [*_shards(options, clock), *_small(options, clock)]
    command = (
        f"python -m benchmarks.storage --objects {options.objects} --rows {options.rows} "
        f"--repeats {options.repeats}"
    )
    told = [f"SeaweedFS on the same cores; medians of {options.repeats}, each way in turn.", ""]
    rows = [list(vars(line).values()) for line in lines]
    keep("storage", command, [*told, *table(HEAD, rows), "", f"`{command}`"], {"lines": rows})


def _shards(options: argparse.Namespace, clock: Clock) -> Iterable[Line]:
    """A shard of vectors streamed to the store, and the same bytes put by others, in turn."""
    rows = _vectors(options.rows)
    shard = write_shard(f"s3://{BUCKET}/warm", RUN, "u", rows, {})
    data = store.read_bytes(f"s3://{BUCKET}/warm/{shard.path}")
    files, client = store.filesystem(f"s3://{BUCKET}")[0], _client()
    parts = {"chunksize": PART_BYTES, "max_concurrency": 4}
    ways: dict[str, Callable[[], Any]] = {
        "written": lambda: write_shard(f"s3://{BUCKET}/large", RUN, "u", rows, {}),
        "s3fs": lambda: files.pipe_file(f"{BUCKET}/raw", data, **parts),
        "obstore": lambda: obstore.put(client, "raw", data, chunk_size=PART_BYTES),
        "memory": lambda: _in_memory(rows),
        "digest": lambda: content_digest(stored_table(rows), {}),
        "checksum": lambda: blake2b(data, digest_size=16).digest(),
    }
    found = in_turn(ways, options.repeats, clock)
    size = len(data) / 1e6
    told = {
        "written": f"shard of {size:.0f} MB, written",
        "s3fs": "  the same bytes by a multipart upload of s3fs",
        "obstore": "  the same bytes by a multipart upload of obstore",
        "memory": "  of it: the rows as Parquet in memory",
        "digest": "  of it: the digest that names the shard",
        "checksum": "  of it: the checksum of its bytes",
    }
    for way, name in told.items():
        yield line_of(name, found[way], f"{size / found[way].seconds:.0f} MB/s")
    for peer in ("s3fs", "obstore"):
        ratio = found[peer].seconds / found["written"].seconds
        yield Line(f"  our rate over that of {peer}", ratio=f"{ratio:.2f}", aim="≥ 0.8")


def _vectors(count: int) -> pa.Table:
    vectors = np.random.default_rng(0).standard_normal((count, DIM), np.float32)
    ids = pa.array([f"d{n:09d}" for n in range(count)])
    schema = pa.schema([columns.ID, columns.embedding(DIM)])
    return pa.table([ids, to_column(vectors)], schema=schema)


def _in_memory(rows: pa.Table) -> None:
    split: Any = {"embedding.list.element": "BYTE_STREAM_SPLIT"}
    only_ids: Any = ["id"]
    pq.write_table(
        rows,
        io.BytesIO(),
        compression="zstd",
        column_encoding=split,
        use_dictionary=only_ids,
        write_statistics=only_ids,
    )


def _small(options: argparse.Namespace, clock: Clock) -> Iterable[Line]:
    """Plans over many files; receipts of many units collected and committed; a table opened."""
    count = options.objects
    line = b'{"id": "%d", "text": "a text of a small file"}\n'
    _fill({f"lines/{n:06d}.jsonl": line % n for n in range(count)})
    _fill({f"parquet/{n:06d}.parquet": _file(n) for n in range(count)})
    some = max(1, count // LOOPED)
    yield from _told(
        in_turn(
            {
                f"plan of {count:,} files, lines": lambda: _plan("lines"),
                f"plan of {count:,} files, parquet": lambda: _plan("parquet"),
                f"  a plain loop over the footers of {some:,} of them": lambda: _loop(some),
            },
            options.repeats,
            clock,
        ),
        {"parquet": "≤ 10 s"},
    )
    rounds = [_committed(count, clock) for _ in range(options.repeats)]
    found = {name: median_of([each[name] for each in rounds]) for name in rounds[0]}
    yield from _told(found, {"collected": "≤ 15 s with the commit", "opened": "≤ 5 s"})


def _committed(count: int, clock: Clock) -> dict[str, Measured]:
    """One round on a fresh table: receipts there, collected, committed, opened."""
    shards = [Shard(f"data/{RUN}/u{n:06d}-x.parquet", 1, 1000, "0" * 32) for n in range(count)]
    receipts = {f"u{n:06d}": _receipt(f"u{n:06d}", shard) for n, shard in enumerate(shards)}
    place = _place()
    key = place.removeprefix(f"s3://{BUCKET}/")
    _fill({f"{key}/{shard.path}": b"x" * 1000 for shard in shards})
    run = f"{key}/_corpusmill/runs/{RUN}/receipts"
    _fill({f"{run}/{name}.json": each.to_json() for name, each in receipts.items()})
    found: dict[str, Measured] = {}
    name = f"{count:,} receipts collected"
    found[name], collected = clock.timed(lambda: RunFolder(place, RUN).receipts())
    names = [*receipts][: max(1, count // LOOPED)]
    found[f"  a plain loop over {len(names):,} of them by s3fs"], _ = clock.timed(
        lambda: [store.read_bytes(f"s3://{BUCKET}/{run}/{name}.json") for name in names]
    )
    new = [shard for receipt in collected.values() for shard in receipt.shards]
    found["  checked and committed"], _ = clock.timed(
        lambda: Table(place).commit(-1, ONLY_IDS, new, {}, "k")
    )
    opened, _ = clock.timed(lambda: Table(place).files())
    found[f"table of {count:,} shards opened"] = opened
    found["  by deltalake alone"], _ = clock.timed(lambda: _bare(place))
    return found


def _plan(folder: str) -> PhasePlan:
    return plan_phase(Phase("rows", Source(f"s3://{BUCKET}/{folder}"), (), Write(_place())))


def _loop(count: int) -> None:
    files = store.filesystem(f"s3://{BUCKET}")[0]
    for number in range(count):
        with files.open(f"{BUCKET}/parquet/{number:06d}.parquet") as stream:
            pq.read_metadata(stream)


def _told(found: dict[str, Measured], aims: dict[str, str]) -> Iterable[Line]:
    for name, measured in found.items():
        aim = next((aim for part, aim in aims.items() if part in name and name[0] != " "), "")
        yield line_of(name, measured, aim=aim)


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


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
