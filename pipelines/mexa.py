"""How far a model's languages share one space: parallel sentences found by each other (MEXA).

Paper 76 of docs/techniques.md. Ours: the means over layers leave out what the first layer is given.
"""

import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from operators.encode.layers import LayerPooling, layer_vectors
from operators.errors import ConfigError, ModelError, SourceError
from operators.model import Model
from operators.storage import uri as store

Vectors = npt.NDArray[np.float32]
_ROUNDING = 1e-6
"""Cosines of equal sentences differ by less."""
_TABLES = (".jsonl", ".csv", ".parquet")


@dataclass(frozen=True)
class Language:
    """One language against the pivot."""

    name: str
    layers: tuple[float, ...]
    """Share of sentences that find each other, by layer; the first is of the layers' input."""

    @property
    def best(self) -> int:
        """The layer with the highest share, the first of equal ones; the input does not count."""
        return 1 + int(np.argmax(self.layers[1:]))

    @property
    def max(self) -> float:
        """The highest share of any layer."""
        return max(self.layers[1:])

    @property
    def mean(self) -> float:
        """The mean share over layers."""
        return float(np.mean(self.layers[1:]))


@dataclass(frozen=True)
class Alignment:
    """Every language against the pivot."""

    model: str
    pivot: str
    sentences: int
    languages: tuple[Language, ...]

    @property
    def layer(self) -> int:
        """The layer at which the languages' mean share is highest."""
        return 1 + int(np.argmax(np.mean([each.layers[1:] for each in self.languages], axis=0)))

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON values."""
        told = asdict(self) | {"layer": self.layer}
        for plain, each in zip(told["languages"], self.languages, strict=True):
            plain |= {"max": each.max, "mean": each.mean, "best": each.best}
        return told


def aligned(
    model: Model, files: Sequence[str], pivot: str, pooling: LayerPooling, most: int, device: str
) -> Alignment:
    """Encode the first `most` parallel sentences of every language and compare with the pivot's.

    ConfigError where the files have not the pivot and another language, SourceError where a file
    cannot be read, ModelError where the model cannot be loaded or makes no vector of a sentence.
    """
    sentences = {name: texts[:most] for name, texts in read_parallel(files).items()}
    if pivot not in sentences or len(sentences) < 2:
        found = ", ".join(sentences)
        raise ConfigError((f"--pivot {pivot}: the files have {found}; it and another are needed",))
    stacks = {
        name: layer_vectors(model, texts, pooling, device) for name, texts in sentences.items()
    }
    for name, stack in stacks.items():
        _check_finite(model, name, stack)
    languages = tuple(
        Language(name, tuple(map(alignment, stack, stacks[pivot])))
        for name, stack in stacks.items()
        if name != pivot
    )
    return Alignment(model.path, pivot, len(sentences[pivot]), languages)


def alignment(one: Vectors, other: Vectors) -> float:
    """The share of n pairs whose cosine is above all others in their row and in their column."""
    cosines = _unit(one) @ _unit(other).T
    own = np.diag(cosines).copy()
    np.fill_diagonal(cosines, -np.inf)
    rivals = np.maximum(cosines.max(axis=0), cosines.max(axis=1))
    return float(np.mean(own > rivals + _ROUNDING))


def told(found: Alignment) -> list[str]:
    """The report, a line a language, the best aligned first."""
    width = max(8, *(len(each.name) for each in found.languages))
    best_first = sorted(found.languages, key=lambda each: -each.max)
    return [
        f"{found.model}: {found.sentences} sentences against {found.pivot}",
        f"{'language':{width}}    max   mean  best layer",
        *(f"{one.name:{width}}  {one.max:.3f}  {one.mean:.3f}  {one.best}" for one in best_first),
        f"over all languages layer {found.layer} aligns best",
    ]


def read_parallel(files: Sequence[str]) -> dict[str, list[str]]:
    """Sentences by language; SourceError where files have not equally many, or too few.

    Columns of JSON lines, CSV or Parquet are languages; any other file is one, a sentence a line,
    and called as the file without its ending. An empty sentence is refused.
    """
    found: dict[str, list[str]] = {}
    for uri in files:
        for name, texts in _languages(uri).items():
            if name in found:
                raise SourceError(uri, f"language {name} comes twice")
            if any(len(texts) != len(other) for other in found.values()):
                count = len(next(iter(found.values())))
                raise SourceError(uri, f"{name} has {len(texts)} sentences, others have {count}")
            empty = next((n for n, text in enumerate(texts, 1) if not text.strip()), 0)
            if empty:
                problem = f"sentence {empty} of {name} is empty"
                raise SourceError(uri, f"{problem}; leave it out in every language")
            found[name] = texts
    if any(len(texts) < 2 for texts in found.values()):
        raise SourceError(files[0], "two sentences or more are needed")
    return found


def _languages(uri: str) -> dict[str, list[str]]:
    data = store.read_bytes(uri)
    if not uri.endswith(_TABLES):
        told = data.decode("utf-8", "replace").removesuffix("\n").split("\n")
        lines = [line.removesuffix("\r") for line in told]  # a sentence may hold U+2028
        return {uri.rpartition("/")[2].rpartition(".")[0] or uri: lines}
    reader: Any = {
        ".csv": pyarrow.csv.read_csv,
        ".parquet": pq.read_table,
    }.get("." + uri.rpartition(".")[2], pyarrow.json.read_json)
    try:
        table = reader(io.BytesIO(data))
    except pa.ArrowInvalid as error:
        raise SourceError(uri, f"cannot be read ({error})") from error
    names = [field.name for field in table.schema if _is_text(field.type)]
    texts = {name: table[name].cast(pa.string()) for name in names}
    if any(column.null_count for column in texts.values()):
        raise SourceError(uri, "a sentence is missing in a language")
    return {name: column.to_pylist() for name, column in texts.items()}


def _is_text(found: Any) -> bool:
    """Strings of any width, coded in a dictionary or not."""
    kind = found.value_type if pa.types.is_dictionary(found) else found
    text: bool = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return text or pa.types.is_string_view(kind)


def _check_finite(model: Model, language: str, stack: Vectors) -> None:
    """ModelError where a sentence has no finite vector: its cosines would be everybody's rivals."""
    bad = np.flatnonzero(~np.isfinite(stack).all(axis=(0, 2)))
    if len(bad):
        problem = f"it makes no finite vector of sentence {bad[0] + 1} of {language}"
        raise ModelError(model.path, f"{problem}; leave it out in every language")


def _unit(vectors: Vectors) -> Vectors:
    lengths: Vectors = np.linalg.norm(vectors, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    return vectors / lengths
