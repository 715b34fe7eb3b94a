"""A network as a graph: exported once, kept by content, compared with torch each time.

A graph is called like the network of transformers it was made from, so that whatever feeds that
network feeds its graph. Only what the graph gives first is there: states, or logits.
"""

import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from operators import digest
from operators.encode.engine import Inputs, Run, Runtime
from operators.encode.onnx_engine import OnnxRuntime
from operators.encode.openvino_engine import OpenVino
from operators.encode.probe import TEXT
from operators.encode.torch_backend import DTYPES
from operators.errors import ModelError
from operators.model import Folder
from operators.text.tokenizer import load

_VARIABLE = "CORPUSMILL_CACHE"
RUNTIMES: dict[str, Runtime] = {"openvino": OpenVino(), "onnxruntime": OnnxRuntime()}
"""What computes graphs, by the backend's name."""
_MOST_APART = {"fp32": 1e-3, "bf16": 0.1, "int8": 0.4}
"""Of a logit to what torch gave in fp32; of 1 - cosine of a row's mean state a twentieth."""
_TRACED, _COMPARED = (24, 7), (33, 12, 5)
"""Tokens of the rows that the network is traced with, and of other rows that show whether the trace
holds for any. It is a text, since bf16 knows little of tokens at random: mpnet's states of those
had cosines of 0.76, in torch as well.
"""


@dataclass(frozen=True)
class Graph:
    """Maps ids, mask and token types, (rows, tokens) int64, to a tuple of one float32 tensor."""

    run: Run
    takes_types: bool
    dtype: torch.dtype
    """What it computes in; what it gives is float32."""

    def __call__(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        token_type_ids: Tensor | None = None,
    ) -> tuple[Tensor]:
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        given = [input_ids.numpy(), mask.numpy()]
        if self.takes_types:
            types = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
            given.append(types.numpy())
        return (torch.from_numpy(self.run(given)),)


def opened(
    folder: Folder,
    model: str,
    read: Callable[[], Any],
    engine: str,
    precision: str,
    *,
    types: bool = False,
) -> Graph:
    """The graph of a folder's network; `read` loads that in fp32, where it is not exported yet.

    ModelError when the engine is not there, cannot take the network, or gives other numbers.
    """
    runtime = RUNTIMES[engine]
    if find_spec(runtime.package) is None:
        problem = f"backend {engine} is not installed: install corpusmill's extra {engine}"
        raise ModelError(model, problem)
    place = cache() / "graphs" / _key(folder, runtime, types=types)
    if not (place / runtime.file).is_file():
        _export(
            runtime,
            place,
            model,
            read(),
            _rows(folder, _TRACED, types=types),
            _rows(folder, _COMPARED, types=types),
        )
    graph = Graph(runtime.compiled(place, precision), types, DTYPES[precision])
    reference = load_file(place / "reference.safetensors")
    apart = _apart(graph, reference)
    if not apart <= _MOST_APART[precision]:
        problem = f"{runtime.title} gives other numbers than torch ({apart:.4f} apart); take torch"
        raise ModelError(model, problem)
    return graph


def cache() -> Path:
    """Where this user's exported graphs are kept: $CORPUSMILL_CACHE, or ~/.cache/corpusmill."""
    named = os.environ.get(_VARIABLE)
    return Path(named) if named else Path.home() / ".cache" / "corpusmill"


def _key(folder: Folder, runtime: Runtime, *, types: bool) -> str:
    """Of all that decides the graph: weights, config, whether it takes types, what makes it."""
    return digest.of_json(
        {
            "weights": [digest.of_file(file) for file in folder.weights],
            "config": folder.config,
            "architecture": [folder.architecture, types],
            "made by": {
                name: metadata.version(name) for name in (runtime.package, "torch", "transformers")
            },
        }
    )


def _export(
    runtime: Runtime, place: Path, model: str, network: Any, traced: Inputs, compared: Inputs
) -> None:
    """Write the graph and what torch gives for a few rows; other workers may do so meanwhile."""
    first = _First(network.eval())
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=place.parent))
    try:
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tracing says of every branch that it takes one
            wanted = first(*compared.values()).contiguous()
            runtime.export(first, traced, fresh)
        save_file({**compared, "wanted": wanted}, fresh / "reference.safetensors")
        fresh.rename(place)
    except OSError as error:
        if not (place / runtime.file).is_file():
            problem = f"its graph cannot be kept in {place.parent} ({error})"
            raise ModelError(model, problem) from error
    except Exception as error:
        cause = str(error).strip().split("\n")[0]
        problem = f"{runtime.title} cannot take it ({cause:.200}); backend torch can"
        raise ModelError(model, problem) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


class _First(torch.nn.Module):
    """A network whose inputs have places and whose first output is all there is."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, ids: Tensor, mask: Tensor, types: Tensor | None = None) -> Tensor:
        extra = {} if types is None else {"token_type_ids": types}
        found: Tensor = self.network(input_ids=ids, attention_mask=mask, **extra)[0]
        return found


def _rows(folder: Folder, lengths: tuple[int, ...], *, types: bool) -> dict[str, Tensor]:
    """The beginnings of a text, padded; names in the order of the graph's inputs."""
    text = 4 * f"{TEXT.lower() if folder.lower_case else TEXT} "
    words = torch.tensor(load(folder).encode(text).ids[: folder.max_length])
    place = torch.arange(min(max(lengths), len(words)))
    mask = (place < torch.tensor(lengths)[:, None]).long()
    found = {"0 ids": words[place] * mask, "1 mask": mask}
    return found | ({"2 types": (place > 3).long() * mask} if types else {})


def _apart(graph: Graph, reference: dict[str, Tensor]) -> float:
    """How far the graph's numbers are from torch's, as `_MOST_APART` counts."""
    wanted = reference.pop("wanted")
    inputs = [reference[name] for name in sorted(reference)]
    found = graph(*inputs)[0]
    if wanted.dim() == 2:
        return float((wanted - found).abs().max()) / max(1.0, float(wanted.abs().max()))
    kept = inputs[1][:, :, None]
    sums = [(states * kept).sum(1) for states in (wanted, found)]
    same = torch.nn.functional.cosine_similarity(sums[0], sums[1], dim=1)
    return 20 * (1 - float(same.min()))
