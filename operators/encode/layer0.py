"""The input vectors of a model, read from its weight files without building the network."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from operators.errors import ModelError
from operators.families import OFFSET_POSITIONS
from operators.model import Folder

Matrix = npt.NDArray[np.float32]
Ids = npt.NDArray[Any]

_WORDS = (
    "word_embeddings.weight",
    "tok_embeddings.weight",
    "embed_tokens.weight",
    "wte.weight",
    "embed_in.weight",
    "shared.weight",
)
"""How families call their table of words, by the end of its name; the first there is counts."""
_PLACES, _TYPES = "embeddings.position_embeddings.weight", "embeddings.token_type_embeddings.weight"
_NORM = ("embeddings.LayerNorm.weight", "embeddings.LayerNorm.bias")


@dataclass(frozen=True)
class Layer0:
    """Where the tables lie, and, once `loaded`, what they hold."""

    files: dict[str, tuple[Path, str]]
    words: int
    dim: int
    first: bool
    """Place, type and norm are added: what a BERT's first layer is given."""
    offset: int = 0
    """Row of the position table for a text's first token."""
    eps: float = 1e-12
    tables: dict[str, Matrix] = field(default_factory=dict)

    def loaded(self) -> "Layer0":
        """The same with its tables in memory, in float32."""
        return replace(self, tables={name: _read(*at) for name, at in self.files.items()})

    def states(self, ids: Ids, place: Ids) -> Matrix:
        """The (n, dim) states of n tokens at places of their texts, counted from 0."""
        found = self.tables["words"][ids]
        if not self.first:
            return found
        found = found + self.tables["places"][place + self.offset]
        if "types" in self.tables:
            found = found + self.tables["types"][0]
        apart = found - found.mean(axis=1, keepdims=True)
        scale = np.sqrt((apart**2).mean(axis=1, keepdims=True) + self.eps)
        normed: Matrix = apart / scale * self.tables["weight"] + self.tables["bias"]
        return normed


def find(folder: Folder, model: str, states: str) -> Layer0:
    """Look for the tables in the headers of the weight files; ModelError where one is missing."""
    there = dict(_tensors(folder))
    words = next((name for end in _WORDS for name in there if name.endswith(end)), "")
    if not words:
        raise ModelError(model, f"no table of word vectors is known of a {folder.model_type}")
    shape = there[words][1]
    files = {"words": (there[words][0], words)}
    if states == "words":
        return Layer0(files, shape[0], shape[1], first=False)
    ends = {"places": _PLACES, "types": _TYPES, "weight": _NORM[0], "bias": _NORM[1]}
    for key, end in ends.items():
        name = next((name for name in there if name.endswith(end)), "")
        if name:
            files[key] = (there[name][0], name)
        elif key != "types":
            problem = f"a {folder.model_type} has no {end}, which states: first adds; take words"
            raise ModelError(model, problem)
    pad = int(folder.config.get("pad_token_id") or 0)
    offset = pad + 1 if folder.model_type in OFFSET_POSITIONS else 0
    eps = float(folder.config.get("layer_norm_eps") or 1e-12)
    return Layer0(files, shape[0], shape[1], first=True, offset=offset, eps=eps)


def _tensors(folder: Folder) -> Iterator[tuple[str, tuple[Path, tuple[int, ...]]]]:
    """Every tensor of the weight files: its file and shape, from the headers alone."""
    from safetensors import safe_open

    for path in folder.weights:
        with safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118 - it is no dict
                yield name, (path, tuple(file.get_slice(name).get_shape()))


def _read(path: Path, name: str) -> Matrix:
    """A tensor in float32; torch reads it, since numpy has no bfloat16."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        found: Matrix = file.get_tensor(name).float().numpy()
    return found
