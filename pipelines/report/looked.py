"""A look at some rows of a table: evenly from a few of its files, whatever its size."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators import columns
from operators.mine.groups import Atom, Coded, coded, read_vectors
from operators.mine.ways import finest, ways_of
from operators.quantize.registry import scheme_class
from operators.storage.parquet import group_rows, read_group
from operators.storage.table import TableFile

FILES = 16
"""Files that are looked into at most."""
VECTORS = 4_000
"""Vectors that are compared at most."""
_PLAIN = (columns.N_TOKENS.name, columns.LOGIT.name, columns.CONTENT_HASH.name)

Figures = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Looked:
    """What was seen; None where the table has no such column."""

    rows: int = 0
    """That were looked at."""
    tokens: Figures | None = None
    """Of each row, as far as the model read it."""
    logits: Figures | None = None
    """Of teachers, raw."""
    cosines: Figures | None = None
    """Between vectors of two rows whose texts differ."""
    equal: int | None = None
    """Vectors that another row of another text has as well; None for codes, which may."""
    compared: int = 0
    """Vectors that were compared."""


def look(uri: str, schema: pa.Schema, files: Sequence[TableFile]) -> Looked:
    """Look at a row group of each of at most FILES files."""
    atoms = list(_atoms(uri, [file for file in files if file.rows]))
    names = [name for name in _PLAIN if name in schema.names]
    if not atoms or not names:
        return Looked(sum(atom.rows for atom in atoms))
    plain = pa.concat_tables(read_group(uri, a.path, a.group, names) for a in atoms)
    there = {name: plain[name].drop_null().to_numpy() for name in names if name != "content_hash"}
    found = Looked(len(plain), there.get("n_tokens"), there.get("logit"))
    if "dense" not in ways_of(schema) or columns.CONTENT_HASH.name not in names:
        return found
    column = coded(uri, finest(schema))
    vectors, texts = _vectors(uri, atoms, column, plain[columns.CONTENT_HASH.name])
    cosines, shared = compared(vectors, texts)
    equal = shared if _exact(column) else None
    return replace(found, cosines=cosines, equal=equal, compared=len(vectors))


def compared(vectors: Figures, texts: Figures) -> tuple[Figures, int]:
    """Cosines of rows drawn in pairs, and how many rows have the vector of another text."""
    order = np.random.default_rng(0).permutation(len(vectors))
    one, other = order, np.roll(order, 1)
    lengths = np.maximum(np.linalg.norm(vectors, axis=1), np.finfo(np.float32).tiny)
    unit = vectors / lengths[:, None]
    cosines = np.einsum("nd,nd->n", unit[one], unit[other])
    whole = np.ascontiguousarray(vectors, np.float32) + np.float32(0)
    vector = np.unique(whole.view(f"V{whole.shape[1] * 4}"), return_inverse=True)[1].reshape(-1)
    text = np.unique(texts, return_inverse=True)[1].reshape(-1)
    pairs = np.unique(np.stack([vector, text]), axis=1)[0]
    shared = np.bincount(pairs, minlength=len(vectors)) > 1
    return cosines[texts[one] != texts[other]], int(shared[vector].sum())


def _atoms(uri: str, files: Sequence[TableFile]) -> Iterator[Atom]:
    """The row group in the middle of each file that is looked into."""
    places = np.linspace(0, len(files) - 1, min(FILES, len(files)))
    for place in np.unique(places.round().astype(int)):
        groups = group_rows(uri, files[place].path)
        middle = len(groups) // 2
        yield Atom(files[place].path, middle, 0, groups[middle])


def _vectors(
    uri: str, atoms: Sequence[Atom], column: Coded, hashes: pa.ChunkedArray
) -> tuple[Figures, Figures]:
    """As many vectors of each row group, evenly spaced, with the hashes of their texts."""
    texts, found, first, kept = np.asarray(hashes.to_pylist(), object), [], 0, []
    for atom in atoms:
        many = min(atom.rows, max(1, VECTORS // len(atoms)))
        rows = np.linspace(0, atom.rows - 1, many).round().astype(np.int64)
        found.append(read_vectors(uri, atom, column).take(rows))
        kept.append(first + rows)
        first += atom.rows
    return np.concatenate(found), texts[np.concatenate(kept)]


def _exact(column: Coded) -> bool:
    """Whether two texts should not have the same codes."""
    name, _ = columns.decoder_of(column.field)
    return not name or not scheme_class(name).coarse
