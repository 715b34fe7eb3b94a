"""A committed table's sparse vectors as an index, alone or on top of its dense ones."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa

from operators import columns
from operators.arrays import to_ragged, whole
from operators.errors import ContractError, TableError
from operators.mine.dense import describe, queries_of
from operators.mine.groups import Atom, Coded, atoms_of, read_documents, read_vectors, share
from operators.mine.held import Held, nearest
from operators.mine.pool import Asked, Places, Scores
from operators.mine.postings import Postings
from operators.mine.runs import Array
from operators.mine.topk import Hits
from operators.quantize.dots import dots
from operators.quantize.kernels import Matrix, Rows
from operators.storage.parquet import read_group
from operators.storage.table import Table

_TILE = 64
"""Queries whose products with every dense vector are held at once."""


@dataclass(frozen=True)
class LexicalIndex:
    """The sparse vectors of a table's version: plain data, told to every part."""

    uri: str
    vocabulary: int
    atoms: tuple[Atom, ...]
    weight: float
    """Of the dense vectors' product; 0 leaves them out."""
    dense: Coded | None

    def __len__(self) -> int:
        return sum(atom.rows for atom in self.atoms)


def lexical_index(uri: str, version: int, weight: float = 0.0) -> LexicalIndex:
    """The index of a version, from its log and footers; TableError where it has no row."""
    field = Table(uri).schema(version).field(columns.LEXICAL_IDS)
    atoms = atoms_of(uri, version)
    if not atoms:
        raise TableError(uri, f"version {version} has no row; there is nothing to search")
    dense = describe(uri, version).column if weight else None
    return LexicalIndex(uri, columns.dim_of(field), atoms, weight, dense)


def open_part(index: LexicalIndex, part: int = 0, of: int = 1) -> "LexicalPart":
    """Part `part` of `of` runs of row groups, in memory: 8 bytes a word of each row.

    About twice that while it opens. TableError where the columns cannot be read.
    """
    atoms = [atom for atom in index.atoms if share(atom, len(index), of) == part]
    held = Held.of(
        [read_documents(index.uri, atom) for atom in atoms], atoms[0].first_row if atoms else 0
    )
    try:
        words = [_words(read_group(index.uri, a.path, a.group, list(_NAMES))) for a in atoms]
        matrix = _matrix(index, atoms)
    except ValueError as error:
        raise TableError(index.uri, f"{', '.join(_NAMES)}: {error}") from error
    return LexicalPart(index, held, Postings.of(words, index.vocabulary), matrix)


@dataclass(frozen=True, eq=False)
class LexicalPart:
    """Exact search: of a row that scores 0 or less, only where dense vectors count too."""

    index: LexicalIndex
    held: Held
    postings: Postings
    matrix: Matrix | None

    def size(self) -> int:
        return len(self.held)

    def search(self, asked: Asked, k: int) -> Hits:
        found, asked = [], self._cut(asked)
        for start in range(0, len(asked), _TILE):
            queries = np.arange(start, min(start + _TILE, len(asked)))
            rough = self._dense(asked, queries)
            found += [
                self._near(asked, int(query), k, None if rough is None else rough[place])
                for place, query in enumerate(queries)
            ]
        return self.held.hits(found, k)

    def documents(self, rows: Rows) -> pa.Table:
        return self.held.documents(rows)

    def locate(self, ids: pa.Array) -> Rows:
        return self.held.locate(ids)

    def children(self, parents: pa.Array) -> tuple[Rows, Places]:
        return self.held.children(parents)

    def score(self, asked: Asked, query: Places, rows: Rows) -> Scores:
        scores, asked = np.full(len(rows), np.nan, np.float32), self._cut(asked)
        for one, pairs in self.held.by_query(query, rows):
            places = rows[pairs] - self.held.first_row
            scores[pairs] = self._exact(asked, one, places, self._sparse(asked, one))
        return scores

    def _cut(self, asked: Asked) -> Asked:
        """The queries with vectors that were cut as the table's were."""
        if self.index.dense is None or asked.matrix is None:
            return asked
        return replace(asked, matrix=queries_of(asked, self.index.uri, self.index.dense))

    def _sparse(self, asked: Asked, query: int) -> Scores:
        if asked.terms is None:
            needed = f"sparse vectors, as {self.index.uri} has them"
            raise ContractError("mine", columns.LEXICAL_IDS, needed, "none of the queries")
        ids, weights = asked.terms[query]
        return self.postings.scores(ids, weights)

    def _dense(self, asked: Asked, queries: Places) -> Matrix | None:
        """(queries, rows) dense products, to the last bits."""
        if self.matrix is None:
            return None
        if asked.matrix is None:
            needed = f"vectors, as {self.index.uri} has them"
            raise ContractError("mine", "embedding", needed, "none of the queries")
        return asked.matrix[queries] @ self.matrix.T

    def _near(
        self, asked: Asked, query: int, k: int, rough: Scores | None
    ) -> tuple[Places, Scores]:
        """The k best places and what may tie with the last of them, with their scores."""
        sparse = self._sparse(asked, query)
        if rough is None:
            some = np.flatnonzero(sparse > 0)
            some = some[nearest(sparse[some], k)]
            return some, sparse[some]
        about = sparse + np.float32(self.index.weight) * rough
        some = nearest(about, k, self._slack(asked, query, sparse))
        return some, self._exact(asked, query, some, sparse)

    def _exact(self, asked: Asked, query: int, places: Places, sparse: Scores) -> Scores:
        """The scores of one query and some places, the same bits wherever they lie."""
        if self.matrix is None:
            return sparse[places]
        assert asked.matrix is not None
        one, first = asked.matrix[query : query + 1], np.zeros(len(places), np.int64)
        products = dots(one, self.matrix, first, places)
        return sparse[places] + np.float32(self.index.weight) * products

    def _slack(self, asked: Asked, query: int, sparse: Scores) -> float:
        """Twice how far a rough score may lie from the exact one."""
        assert asked.matrix is not None
        assert self.matrix is not None
        size = float(np.linalg.norm(asked.matrix[query])) * self._longest * self.index.weight
        most = size + float(np.abs(sparse).max(initial=0))
        eps = float(np.finfo(np.float32).eps)
        return 2 * eps * (int(self.matrix.shape[1]) + 2) * most

    @cached_property
    def _longest(self) -> float:
        assert self.matrix is not None
        return float(np.linalg.norm(self.matrix, axis=1).max(initial=0))


_NAMES = (columns.LEXICAL_IDS, columns.LEXICAL_WEIGHTS)


def _matrix(index: LexicalIndex, atoms: Sequence[Atom]) -> Matrix | None:
    """The dense vectors of row groups, one in memory beside the matrix at a time."""
    if index.dense is None or not atoms:
        return None
    found = np.empty((sum(atom.rows for atom in atoms), index.dense.dim), np.float32)
    first = 0
    for atom in atoms:
        vectors = read_vectors(index.uri, atom, index.dense)
        found[first : first + atom.rows] = vectors.take(np.arange(atom.rows))
        first += atom.rows
    return found


def _words(table: pa.Table) -> tuple[Array, Array, Array]:
    ids, bounds = to_ragged(whole(table[_NAMES[0]]))
    weights, _ = to_ragged(whole(table[_NAMES[1]]))
    return ids, weights, np.diff(bounds).astype(np.int64)
