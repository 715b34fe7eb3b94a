"""A committed table's token vectors as an index: the sum of each query token's nearest (MaxSim)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from operators import columns
from operators.arrays import to_ragged, whole
from operators.errors import ContractError, TableError
from operators.mine.groups import Atom, Coded, atoms_of, coded, read_documents, share
from operators.mine.held import Held, nearest
from operators.mine.pool import Asked, Places, Scores
from operators.mine.runs import Runs
from operators.mine.topk import Hits
from operators.quantize.kernels import Matrix, Rows
from operators.quantize.maxsim import maxsim, maxsim_of_all
from operators.quantize.token_codes import decoded_tokens, width_of
from operators.storage.parquet import read_group
from operators.storage.table import Table

pc: Any = pyarrow.compute  # the stubs do not know every function


@dataclass(frozen=True)
class LateIndex:
    """The token vectors of a table's version: plain data, told to every part."""

    uri: str
    column: Coded
    """`token_vectors`, or `token_codes` and what decodes them."""
    atoms: tuple[Atom, ...]

    @property
    def dim(self) -> int:
        return self.column.dim

    def __len__(self) -> int:
        return sum(atom.rows for atom in self.atoms)


def late_index(uri: str, version: int) -> LateIndex:
    """The index of a version, from its log and footers; TableError where it has no row."""
    schema = Table(uri).schema(version)
    name = columns.TOKEN_VECTORS if columns.TOKEN_VECTORS in schema.names else columns.TOKEN_CODES
    atoms = atoms_of(uri, version)
    if not atoms:
        raise TableError(uri, f"version {version} has no row; there is nothing to search")
    return LateIndex(uri, coded(uri, schema.field(name)), atoms)


def open_part(index: LateIndex, part: int = 0, of: int = 1) -> "LatePart":
    """Part `part` of `of` runs of row groups, its token vectors in memory as floats.

    TableError where the column cannot be read.
    """
    atoms = [atom for atom in index.atoms if share(atom, len(index), of) == part]
    held = Held.of(
        [read_documents(index.uri, atom) for atom in atoms], atoms[0].first_row if atoms else 0
    )
    try:
        tokens = _joined([_column(index, atom) for atom in atoms], index.column)
    except ValueError as error:
        raise TableError(index.uri, f"{index.column.field.name}: {error}") from error
    return LatePart(index, held, tokens)


def _column(index: LateIndex, atom: Atom) -> pa.Table:
    return read_group(index.uri, atom.path, atom.group, [index.column.field.name])


def _joined(read: list[pa.Table], column: Coded) -> Runs:
    """The token vectors of the tables, in one matrix; each table is let go when it is in."""
    name = column.field.name
    width = width_of(column.field) if name == columns.TOKEN_CODES else column.dim
    values = sum(pc.sum(pc.list_value_length(each[name])).as_py() or 0 for each in read)
    matrix = np.empty((values // width, column.dim), np.float32)
    bounds = [np.zeros(1, np.int64)]
    while read:
        rows = token_rows(read.pop(0), column)
        first = bounds[-1][-1]
        matrix[first : first + rows.bounds[-1]] = rows.arrays[0]
        bounds.append(rows.bounds[1:] + first)
    return Runs((matrix,), np.concatenate(bounds))


def token_rows(table: pa.Table, column: Coded) -> Runs:
    """The token vectors of a table's rows, as matrices; codes are decoded."""
    held = table[column.field.name]
    if column.field.name == columns.TOKEN_CODES:
        matrix, bounds = decoded_tokens(held, column.field, column.artefact)
        return Runs((matrix,), bounds)
    values, ends = to_ragged(whole(held))
    if (ends % column.dim).any():
        raise ValueError(f"a row's values are no multiple of {column.dim}")
    return Runs((values.reshape(-1, column.dim),), (ends // column.dim).astype(np.int64))


@dataclass(frozen=True, eq=False)
class LatePart:
    """Exact search of every token vector of a part; rows without any are no hits."""

    index: LateIndex
    held: Held
    tokens: Runs

    def size(self) -> int:
        return len(self.held)

    def search(self, asked: Asked, k: int) -> Hits:
        return self.held.hits([self._near(asked, query, k) for query in range(len(asked))], k)

    def documents(self, rows: Rows) -> pa.Table:
        return self.held.documents(rows)

    def locate(self, ids: pa.Array) -> Rows:
        return self.held.locate(ids)

    def children(self, parents: pa.Array) -> tuple[Rows, Places]:
        return self.held.children(parents)

    def score(self, asked: Asked, query: Places, rows: Rows) -> Scores:
        scores = np.full(len(rows), np.nan, np.float32)
        for one, pairs in self.held.by_query(query, rows):
            scores[pairs] = self._exact(_of(asked, one), rows[pairs] - self.held.first_row)
        return scores

    def _near(self, asked: Asked, query: int, k: int) -> tuple[Places, Scores]:
        """The k best places and what may tie with the last of them, with their scores."""
        tokens = _of(asked, query)
        if tokens.shape[1] != self.index.dim:
            needed = f"token vectors of {self.index.dim} values, as {self.index.uri} has them"
            raise ContractError("mine", columns.TOKEN_VECTORS, needed, str(tokens.shape[1]))
        [matrix] = self.tokens.arrays
        rough = maxsim_of_all(tokens, matrix, self.tokens.bounds)
        there = np.flatnonzero(np.isfinite(rough))
        slack = 4 * float(np.finfo(np.float32).eps) * (self.index.dim + 2) * max(1, len(tokens))
        some = there[nearest(rough[there], k, slack)]
        return some, self._exact(tokens, some)

    def _exact(self, tokens: Matrix, places: npt.NDArray[np.int64]) -> Scores:
        """The scores of one query, each by its two sets of vectors alone."""
        found = [maxsim(tokens, self.tokens[int(place)][0]) for place in places]
        return np.array(found, np.float32)


def _of(asked: Asked, query: int) -> Matrix:
    if asked.tokens is None:
        raise ContractError("mine", columns.TOKEN_VECTORS, "token vectors", "none of the queries")
    matrix: Matrix = asked.tokens[query][0]
    return matrix
