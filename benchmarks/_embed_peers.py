"""What others embed with, as their users would write it; what is imported is so before the clock.

fastembed is given a folder with the graph that our own backend exports, under the names that it
feeds, and asks nothing of a network. Its batches of 256 are in the order of the source.
"""

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks._embed_asked import BATCH, Asked, Told, texts_of, write
from benchmarks._memory import peak_bytes

_INPUTS = ("input_ids", "attention_mask")
_TOKENIZER = ("config.json", "tokenizer.json", "special_tokens_map.json")
_ACTORS, _BLOCKS = 2, 8


def theirs(asked: Asked) -> tuple[np.ndarray, Told]:
    """`encode` of sentence-transformers as it is by default, but for the precision asked for."""
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(asked.threads)
    options = {} if asked.precision == "fp32" else {"dtype": torch.bfloat16}
    clock = time.perf_counter()
    model = SentenceTransformer(asked.model, device="cpu", model_kwargs=options)
    model.max_seq_length = asked.length
    vectors = model.encode(texts_of(asked), show_progress_bar=False)
    write(asked, np.asarray(vectors, np.float32))
    seconds = time.perf_counter() - clock
    return np.asarray(vectors, np.float32), Told(seconds, None, 0, peak_bytes())


def theirs_processes(asked: Asked) -> tuple[np.ndarray, Told]:
    """The same over a pool of two processes of one thread each."""
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)
    clock = time.perf_counter()
    model = SentenceTransformer(asked.model, device="cpu")
    model.max_seq_length = asked.length
    pool = model.start_multi_process_pool(["cpu", "cpu"])
    vectors: Any = model.encode(texts_of(asked), pool=pool, show_progress_bar=False)
    model.stop_multi_process_pool(pool)
    write(asked, vectors)
    return vectors, Told(time.perf_counter() - clock, None, 0, 0)


def fastembed(asked: Asked) -> tuple[np.ndarray, Told]:
    """`embed` of fastembed over a model of one's own, as it is by default."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    folder = _exported(asked)
    TextEmbedding.add_custom_model(
        model=folder.name,
        pooling=PoolingType.MEAN,
        normalization=True,
        sources=ModelSource(hf=folder.name),
        dim=json.loads((folder / "config.json").read_text(encoding="utf-8"))["hidden_size"],
        model_file="model.onnx",
    )
    clock = time.perf_counter()
    model = TextEmbedding(folder.name, specific_model_path=str(folder), threads=asked.threads)
    vectors = np.stack(list(model.embed(texts_of(asked)))).astype(np.float32)
    write(asked, vectors)
    return vectors, Told(time.perf_counter() - clock, None, 0, peak_bytes())


def ray_data(asked: Asked) -> tuple[np.ndarray, Told]:
    """`map_batches` by hand: Ray is up before the clock, its actors import and load within."""
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    DataContext.get_current().enable_progress_bars = False
    clock = time.perf_counter()
    rows = ray.data.read_parquet(asked.source).repartition(_BLOCKS)  # one file is one block
    embedded = rows.map_batches(
        _Embed,
        fn_constructor_args=[asked.model, asked.length],
        batch_size=BATCH,
        compute=ActorPoolStrategy(size=_ACTORS),
    )
    embedded.write_parquet(asked.out)
    seconds = time.perf_counter() - clock
    ray.shutdown()
    found = pq.read_table(asked.out)
    ids = pq.read_table(asked.source, columns=["id"])["id"]
    found = found.take(pc.index_in(ids, found["id"].combine_chunks()))
    return np.stack(found["embedding"].to_numpy()), Told(seconds, None, 0, 0)


class _Embed:
    """What an actor of Ray Data holds."""

    def __init__(self, model: str, length: int) -> None:
        from sentence_transformers import SentenceTransformer

        self.model = SentenceTransformer(model, device="cpu")
        self.model.max_seq_length = length

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, Any]:
        asked = list(batch["text"])
        vectors = self.model.encode(asked, batch_size=BATCH, show_progress_bar=False)
        return {"id": batch["id"], "embedding": vectors}


def _exported(asked: Asked) -> Path:
    """A folder with the graph and the tokenizer as fastembed wants them."""
    import onnx
    import torch

    from operators.encode.torch_backend import load
    from operators.model import Model, resolve

    place = Path(f"{asked.out}-graph")
    os.environ["CORPUSMILL_CACHE"] = str(place / "cache")
    folder = resolve(Model(asked.model))
    load(folder, asked.model, "fp32", torch.device("cpu"), "onnxruntime")
    (graph,) = place.glob("cache/graphs/*/graph.onnx")
    network = onnx.load(graph)
    names = {each.name: name for each, name in zip(network.graph.input, _INPUTS, strict=True)}
    for each in network.graph.input:
        each.name = names[each.name]
    for node in network.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    onnx.save(network, place / "model.onnx")
    for name in _TOKENIZER:
        shutil.copy(Path(asked.model) / name, place / name)
    told = json.loads((Path(asked.model) / "tokenizer_config.json").read_text(encoding="utf-8"))
    told["model_max_length"] = asked.length
    (place / "tokenizer_config.json").write_text(json.dumps(told), encoding="utf-8")
    return place
