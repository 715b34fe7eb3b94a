"""One measurement of mining in a process of its own: `python -m benchmarks._mining '{...}'`.

Prints one line of JSON: seconds, and peak resident bytes of the process, of them before the clock.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks._memory import peak_bytes
from benchmarks._packages import Lake, Settings


@dataclass(frozen=True)
class Asked:
    """What to measure; plain values, as they travel in JSON."""

    way: str
    """ours, theirs, ours-encoding or theirs-encoding."""
    root: str
    out: str
    """Where the negatives go, as JSON; ours writes its table beside."""
    negatives: int
    relative_margin: float
    documents: str = ""
    """URI of the vectors table; the lake's own by default."""
    faiss: bool = False
    batch: int = 16384
    """Queries a batch of the peer's search; its own default."""
    model: str = ""
    """Folder of the encoder, where a way encodes."""
    dtype: str = "float32"
    threads: int = 1
    """Of the peer's torch."""

    @property
    def settings(self) -> Settings:
        return Settings(self.negatives, self.relative_margin)


@dataclass(frozen=True)
class Took:
    """What a measurement came to; bytes are of resident memory."""

    seconds: float
    start: int
    peak: int


def main() -> None:
    """Measure what the argument asks for."""
    asked = Asked(**json.loads(sys.argv[1]))
    ways: dict[str, Callable[[Asked, Clock], None]] = {
        "ours": ours,
        "theirs": theirs,
        "ours-encoding": ours_encoding,
        "theirs-encoding": theirs_encoding,
    }
    clock = Clock()
    ways[asked.way](asked, clock)
    print(json.dumps(asdict(clock.took)))


class Clock:
    """Measures what happens between entering and leaving it."""

    took: Took

    def __enter__(self) -> None:
        self._start = peak_bytes()
        self._began = time.perf_counter()

    def __exit__(self, *failure: object) -> None:
        seconds = time.perf_counter() - self._began
        self.took = Took(seconds, self._start, peak_bytes())


def ours(asked: Asked, clock: Clock) -> None:
    import torch  # noqa: F401 - what the search loads, before the clock as for the peer

    import operators.mine.miner  # noqa: F401
    from benchmarks._packages import mining, run

    lake = Lake(Path(asked.root))
    documents = asked.documents or lake.at("documents")
    table = f"{asked.out}-{time.time_ns()}"
    with clock:
        run({"phases": {"negatives": mining(lake, documents, table, asked.settings)}})
    _tell(asked, table)


def ours_encoding(asked: Asked, clock: Clock) -> None:
    import operators.encode.embedder
    import operators.mine.miner  # noqa: F401
    from benchmarks._packages import encoding, mining, run

    lake = Lake(Path(asked.root))
    tables = Path(f"{asked.out}-{time.time_ns()}")
    config = encoding(lake, asked.model, tables)
    phase = mining(lake, str(tables / "documents"), str(tables / "negatives"), asked.settings)
    config["phases"]["negatives"] = {**phase, "read": {"phase": "queries"}}
    with clock:
        run(config)
    _tell(asked, str(tables / "negatives"))


def theirs(asked: Asked, clock: Clock) -> None:
    import numpy as np
    import sentence_transformers.util  # noqa: F401 - loaded before the clock
    import torch

    from benchmarks._cached import Cached

    torch.set_num_threads(asked.threads)
    lake = Lake(Path(asked.root))
    model = Cached(
        lambda texts: np.asarray(np.load(lake.at("documents.npy"))),
        lambda texts: np.asarray(np.load(lake.at("queries.npy"))),
        np.load(lake.at("queries.npy"), mmap_mode="r").shape[1],
    )
    _mine(asked, clock, lambda: model)


def theirs_encoding(asked: Asked, clock: Clock) -> None:
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(asked.threads)
    options = {} if asked.dtype == "float32" else {"dtype": getattr(torch, asked.dtype)}
    _mine(
        asked, clock, lambda: SentenceTransformer(asked.model, device="cpu", model_kwargs=options)
    )


def _mine(asked: Asked, clock: Clock, model: Callable[[], Any]) -> None:
    import pyarrow.parquet as pq
    from datasets import Dataset  # type: ignore[import-untyped]
    from sentence_transformers.util import mine_hard_negatives

    from benchmarks._cached import grouped

    lake = Lake(Path(asked.root))
    texts = pq.read_table(lake.at("documents.parquet")).to_pydict()
    queries = pq.read_table(lake.at("queries.parquet")).to_pydict()
    text_of = dict(zip(texts["id"], texts["text"], strict=True))
    pairs = {"query": queries["text"], "answer": [text_of[name] for name in queries["id"]]}
    with clock:
        mined = mine_hard_negatives(
            Dataset.from_dict(pairs),
            model(),
            corpus=texts["text"],
            num_negatives=asked.negatives,
            relative_margin=asked.relative_margin,
            output_format="labeled-list",
            output_scores=True,
            use_faiss=asked.faiss,
            verbose=False,
            faiss_batch_size=asked.batch,
        )
    positive = {
        query: scores[0] for query, scores in zip(mined["query"], mined["scores"], strict=True)
    }
    _write(asked, grouped(mined), positive)


def _tell(asked: Asked, table: str) -> None:
    """Write a negatives table as the peer's are written: by texts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from operators.storage.table import Table

    if asked.documents:
        return
    lake = Lake(Path(asked.root))
    documents = pq.read_table(lake.at("documents.parquet")).to_pydict()
    queries = pq.read_table(lake.at("queries.parquet")).to_pydict()
    text_of = dict(zip(documents["id"], documents["text"], strict=True))
    query_of = dict(zip(queries["id"], queries["text"], strict=True))
    found, positive = {}, {}
    for row in pa.concat_tables(Table(table).read()).to_pylist():
        texts = [text_of[name] for name in row["negative_ids"]]
        query = query_of[row["query_id"]]
        found[query] = dict(zip(texts, row["negative_scores"], strict=True))
        positive[query] = row["positive_scores"][0]
    _write(asked, found, positive)


def _write(asked: Asked, found: dict[str, dict[str, float]], positive: dict[str, float]) -> None:
    told = {"found": found, "positive": positive}
    Path(f"{asked.out}.json").write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main()
