"""Texts asked of a committed table: encoded as its commit says, compared as its columns are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators import columns
from operators.arrays import whole
from operators.base import Resources
from operators.beside import Beside, pinned
from operators.contract import assign
from operators.errors import ConfigError, SourceError, TableError
from operators.mine.groups import Atom, atoms_of
from operators.mine.pool import DOCUMENTS
from operators.mine.ways import Way, asked_by, chosen, open_part
from operators.storage.parquet import read_group
from operators.storage.table import Table
from operators.text.fetch import fetch
from operators.text.origin import cuts, texts_of
from pipelines.asking import Recipe, recipe_of

_HIT: list[pa.Field] = [
    pa.field("query", pa.int64()),
    pa.field("rank", pa.int64()),
    pa.field("score", pa.float32()),
]
HITS = pa.schema([*_HIT, *DOCUMENTS])
"""A hit: the number of its query, its rank from 0, its score, and what is known of the row."""
_PASSAGE = [columns.CHAR_START.name, columns.CHAR_STOP.name]


@dataclass(frozen=True, eq=False)
class Found:
    """The hits of all queries."""

    table: Beside
    way: Way
    rows: int
    """Rows that were searched."""
    hits: pa.Table
    """HITS, by query and rank."""
    numbers: npt.NDArray[np.int64]
    """Of each hit its row's number in the table."""
    atoms: tuple[Atom, ...]


def search(
    uri: str,
    queries: Sequence[str],
    k: int = 10,
    *,
    version: int = -1,
    way: Way | None = None,
    language: str = "",
) -> Found:
    """The k best rows of a table for each text, exactly; equal scores by id.

    Queries are encoded in this process by the model and strategy of the table's commit. Without
    `way` they are compared as the columns are made for: token vectors by MaxSim, sparse vectors by
    their product, plus that of the dense ones where there are some. TableError where the table
    cannot be searched so, ConfigError for a query that cannot be encoded.
    """
    try:
        table = pinned(Beside(uri, version=version), {})
    except SourceError as error:
        raise TableError(error.uri, error.problem) from error
    schema = Table(table.uri).schema(table.version)
    way = chosen(table.uri, schema, way)
    atoms = atoms_of(table.uri, table.version)
    if not atoms:
        raise TableError(table.uri, f"version {table.version} has no row; nothing can be found")
    rows = _encoded(recipe_of(table), queries, language)
    part = open_part(table.uri, schema, atoms, way)
    found = part.search(asked_by(way, rows), k)
    query, rank = np.nonzero(found.rows >= 0)
    numbers = found.rows[query, rank]
    distinct, which = np.unique(numbers, return_inverse=True)
    places: Any = pa.array(which)
    known = part.documents(distinct).take(places)
    told = [pa.array(query), pa.array(rank), pa.array(found.scores[query, rank])]
    hits = pa.table([*told, *known.columns], schema=HITS)
    return Found(table, way, part.size(), hits, numbers, atoms)


def with_texts(found: Found) -> pa.Table:
    """The hits and the text of each, of a passage its part; SourceError where it is no more."""
    if not len(found.hits):
        return assign(found.hits, columns.TEXT, pa.array([], pa.string()))
    source = texts_of(found.table)
    files, rows, hashes = (
        whole(found.hits[name]) for name in ("source_file", "source_row", "content_hash")
    )
    if not cuts(found.table):
        return assign(found.hits, columns.TEXT, fetch(source, files, rows, hashes))
    there = Table(found.table.uri).schema(found.table.version).names
    hash_of = [name for name in (columns.PARENT_HASH.name,) if name in there]
    own = _of_rows(found, [*_PASSAGE, *hash_of])
    parents = whole(own[hash_of[0]]) if hash_of else None
    texts = fetch(source, files, rows, parents).to_pylist()
    starts, stops = (own[name].to_pylist() for name in _PASSAGE)
    parts = [str(text)[a:b] for text, a, b in zip(texts, starts, stops, strict=True)]
    return assign(found.hits, columns.TEXT, pa.array(parts, pa.string()))


def _encoded(recipe: Recipe, queries: Sequence[str], language: str) -> pa.Table:
    """The queries as the recipe encodes them, in their order; ConfigError names one it refuses."""
    if recipe.by_language and not language:
        problem = "the table's model has adapters for languages; say which one the queries are in"
        raise ConfigError((f"search: {problem} (--language)",))
    recipe.bound()
    ids = pa.array([str(n) for n in range(len(queries))], pa.string())
    texts: dict[str, Any] = {"id": ids, "text": pa.array(list(queries), pa.string())}
    if recipe.by_language:
        texts["lang"] = pa.array([language] * len(queries), pa.string())
    rows = recipe.encoded(pa.table(texts), Resources())
    there = set(rows["id"].to_pylist())
    if refused := [text for n, text in enumerate(queries) if str(n) not in there]:
        problem = f"{refused[0]!r} cannot be encoded by {recipe.encode.model.path}"
        hint = ": no token is left of it, or its language is unknown to the model"
        raise ConfigError((f"search: {problem}{hint}",))
    order: Any = pa.array(np.argsort(rows["id"].to_numpy().astype(np.int64)))
    return rows.take(order)


def _of_rows(found: Found, names: list[str]) -> pa.Table:
    """Columns of the rows that are hits, in the order of the hits."""
    parts, places = [], [np.zeros(0, np.int64)]
    for atom in found.atoms:
        inside = (found.numbers >= atom.first_row) & (found.numbers < atom.first_row + atom.rows)
        here = np.flatnonzero(inside)
        if len(here):
            table = read_group(found.table.uri, atom.path, atom.group, names)
            rows: Any = pa.array(found.numbers[here] - atom.first_row)
            parts.append(table.take(rows))
            places.append(here)
    order: Any = pa.array(np.argsort(np.concatenate(places)))
    return pa.concat_tables(parts).select(names).take(order)
