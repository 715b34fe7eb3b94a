"""One way to embed documents, as a process of its own: `python -m benchmarks._embedding JSON`.

What a way imports is imported before its clock; loading the model, reading the corpus and writing
the vectors are inside of it, for every way alike.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks import _embed_peers as peers
from benchmarks._embed_asked import BATCH, Asked, Told, texts_of, write
from benchmarks._memory import peak_bytes

CONFIG = """
models:
  model: {{ path: {model}, max_length: {length} }}
phases:
  vectors:
    read: {{ uri: {source}, text: text, id: id }}
    steps:
      - tokenize: {{ model: model }}
      - encode: {{ model: model, precision: {precision}, backend: {backend} }}
    write: {{ table: {out}, gate: {{ max_bad_rows: 0.01 }} }}
"""


def main() -> None:
    """Do it and print what it took."""
    asked = Asked(**json.loads(sys.argv[1]))
    vectors, told = WAYS[asked.way](asked)
    np.save(f"{asked.out}.npy", vectors)
    print(json.dumps(asdict(told)))


def ours(asked: Asked) -> tuple[np.ndarray, Told]:
    """The pipeline, as the command `run` does it."""
    import transformers.modeling_utils  # noqa: F401 - loaded before the clock

    import operators.encode.embedder
    import operators.encode.probe  # noqa: F401
    from cluster.execute import run_pipeline
    from cluster.local import LocalRunner
    from cluster.progress import Progress
    from operators.arrays import to_matrix
    from operators.storage.table import Table
    from pipelines.config import parse

    made = parse(CONFIG.format(**asdict(asked)))
    with _forwards() as forwards:
        clock = time.perf_counter()
        (result,) = run_pipeline(made, LocalRunner(), Progress(quiet=True))
        seconds = time.perf_counter() - clock
    rows = pa.concat_tables(Table(asked.out).read())
    rows = rows.take(pc.sort_indices(rows["source_row"]))
    vectors = to_matrix(rows["embedding"], len(rows["embedding"][0]))
    assert result.counts is not None
    return vectors, Told(seconds, sum(forwards), result.counts.tokens, peak_bytes())


def graph(asked: Asked) -> tuple[np.ndarray, Told]:
    """A plain loop over the backend: batches of 32 in the order of their length in characters."""
    import torch
    from tokenizers import Tokenizer

    import operators.encode.embedder  # noqa: F401
    from operators.encode.torch_backend import load
    from operators.model import Model, resolve

    torch.set_num_threads(asked.threads)
    clock = time.perf_counter()
    folder = resolve(Model(asked.model, max_length=asked.length))
    network = load(folder, asked.model, asked.precision, torch.device("cpu"), asked.backend)
    tokenizer = Tokenizer.from_file(str(folder.tokenizer))
    tokenizer.enable_truncation(asked.length)
    tokenizer.enable_padding()
    texts = texts_of(asked)
    order = np.argsort([-len(text) for text in texts], kind="stable")
    vectors = np.zeros((len(texts), folder.width), np.float32)
    for start in range(0, len(texts), BATCH):
        chosen = order[start : start + BATCH]
        found = tokenizer.encode_batch([texts[row] for row in chosen])
        ids = torch.tensor([row.ids for row in found])
        mask = torch.tensor([row.attention_mask for row in found])
        states = network.states(ids, mask).float()
        means = (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
        vectors[chosen] = torch.nn.functional.normalize(means).numpy()
    write(asked, vectors)
    return vectors, Told(time.perf_counter() - clock, None, 0, peak_bytes())


def floor(asked: Asked) -> tuple[np.ndarray, Told]:
    """The forward passes of the job alone, on batches tokenized, sorted and padded beforehand."""
    from operators.encode import allocator

    allocator.keep()
    import torch

    from operators.arrays import to_ragged
    from operators.encode.budget import pack
    from operators.encode.device import token_budget
    from operators.encode.embedder import build
    from operators.encode.loop import Ragged, padded
    from operators.encode.shape import decide
    from operators.model import Model, resolve
    from operators.text.tokenizer import Tokenize

    torch.set_num_threads(asked.threads)
    model, cpu = Model(asked.model, max_length=asked.length), torch.device("cpu")
    folder = resolve(model)
    shape = decide(folder, asked.model, "auto", None)
    network = build(folder, asked.model, shape, asked.precision, cpu, asked.backend)
    texts = texts_of(asked)
    with Tokenize(model).open() as tokenize:
        rows = tokenize(pa.table({"id": [str(n) for n in range(len(texts))], "text": texts}))
    ragged = Ragged(*to_ragged(rows["input_ids"]))
    packed = pack(ragged.lengths, token_budget(cpu, folder.width))
    batches = [padded(ragged, chosen, network.pad) for chosen in packed]
    vectors = np.zeros((len(texts), network.dim), np.float32)
    with torch.inference_mode():
        clock = time.perf_counter()
        for chosen, (ids, mask) in zip(packed, batches, strict=True):
            given = torch.from_numpy(ids), None if mask.all() else torch.from_numpy(mask)
            vectors[chosen] = network(*given, None).numpy()
        seconds = time.perf_counter() - clock
    return vectors, Told(seconds, seconds, int(ragged.lengths.sum()), peak_bytes())


WAYS: dict[str, Callable[[Asked], tuple[np.ndarray, Told]]] = {
    "ours": ours,
    "floor": floor,
    "theirs": peers.theirs,
    "theirs-processes": peers.theirs_processes,
    "fastembed": peers.fastembed,
    "ray-data": peers.ray_data,
    "graph": graph,
}


@contextmanager
def _forwards() -> Iterator[list[float]]:
    """Seconds of every forward pass, whatever computes it."""
    from operators.encode.torch_backend import TorchBackend

    took: list[float] = []
    states = TorchBackend.states

    def timed(self: TorchBackend, ids: Any, mask: Any) -> Any:
        clock = time.perf_counter()
        found = states(self, ids, mask)
        took.append(time.perf_counter() - clock)
        return found

    TorchBackend.states = timed
    try:
        yield took
    finally:
        TorchBackend.states = states


if __name__ == "__main__":
    main()
