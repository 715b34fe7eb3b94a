"""A committed vectors table as an index: which rows it has, and a part of them that is searched."""

from dataclasses import dataclass

import pyarrow as pa

from operators.mine.index import Part
from operators.mine.pool import Asked, Places, Scores
from operators.mine.topk import Hits
from operators.quantize.kernels import Rows


@dataclass(frozen=True)
class Atom:
    """One row group of a table's file: what is read at once, and never cut."""

    path: str
    group: int
    first_row: int
    """Its first row's number in the whole index."""
    rows: int


@dataclass(frozen=True)
class DenseIndex:
    """A vectors table as it is searched: plain data, told to every part."""

    uri: str
    version: int
    column: str
    """What is searched: `embedding`, `codes` or `bits`."""
    finer: str
    """What pairs are scored by: `column` itself, or a finer column of the same table."""
    dim: int
    artefacts: tuple[tuple[str, bytes], ...]
    """What decodes a column, by its name."""
    atoms: tuple[Atom, ...]

    def __len__(self) -> int:
        return sum(atom.rows for atom in self.atoms)


def describe(uri: str, version: int = -1, column: str = "", finer: str = "") -> DenseIndex:
    """The index of a table's version, from its log and its files' footers; -1 is the newest.

    `column` is the finest one unless named, `finer` is `column` unless named. TableError where
    the table has no row, ContractError where it has no such column.
    """
    raise NotImplementedError


def open_part(
    index: DenseIndex, part: int = 0, of: int = 1, *, resident: bool = False
) -> "DensePart":
    """Part `part` of `of` equal runs of the index's atoms; `resident` reads them now and for all."""
    raise NotImplementedError


class DensePart(Part):
    """Exact search of a part's row groups, each read when it is its turn unless resident."""

    def size(self) -> int:
        raise NotImplementedError

    def search(self, asked: Asked, k: int) -> Hits:
        raise NotImplementedError

    def documents(self, rows: Rows) -> pa.Table:
        raise NotImplementedError

    def locate(self, ids: pa.Array) -> Rows:
        raise NotImplementedError

    def score(self, asked: Asked, query: Places, rows: Rows) -> Scores:
        raise NotImplementedError
