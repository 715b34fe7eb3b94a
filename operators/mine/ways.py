"""The ways in which a table of vectors can be searched, told by its columns."""

from typing import Literal

import pyarrow as pa

from operators import columns
from operators.arrays import whole
from operators.errors import TableError
from operators.mine import dense, late, lexical
from operators.mine.groups import Atom, coded
from operators.mine.index import Part
from operators.mine.looks import of_rows
from operators.mine.pool import Asked
from operators.quantize.codes import FINEST_FIRST

Way = Literal["dense", "words", "both", "tokens"]
"""By the product of vectors, that of sparse ones, the sum of both, or MaxSim of token vectors."""
_COMPARED: dict[Way, tuple[str, ...]] = {
    "dense": ("embedding",),
    "words": (columns.LEXICAL_IDS,),
    "both": (columns.LEXICAL_IDS, "embedding"),
    "tokens": (columns.TOKEN_VECTORS,),
}


def ways_of(schema: pa.Schema) -> tuple[Way, ...]:
    """Every way in which rows of that schema can be searched, the one they are made for first."""
    names = set(schema.names)
    found: list[Way] = []
    if names & {columns.TOKEN_VECTORS, columns.TOKEN_CODES}:
        found.append("tokens")
    if columns.LEXICAL_IDS in names:
        found += ["both", "words"] if names & {*FINEST_FIRST} else ["words"]
    if names & {*FINEST_FIRST}:
        found.append("dense")
    return tuple(found)


def chosen(uri: str, schema: pa.Schema, way: Way | None = None) -> Way:
    """The way asked for, else the first there is; TableError where the table does not have it."""
    ways = ways_of(schema)
    if not ways:
        raise TableError(uri, without_vectors(schema))
    if way is not None and way not in ways:
        raise TableError(uri, f"it cannot be searched by {way}; it can by {' or '.join(ways)}")
    return way or ways[0]


def without_vectors(schema: pa.Schema) -> str:
    """Why a table of that schema is none of dense vectors, and what can be done with it."""
    ways = ways_of(schema)
    if "tokens" in ways:
        return (
            "it holds vectors of tokens, and one vector a document is needed here; "
            "`corpusmill search` and `mine` compare tokens, the step quantize-tokens codes them"
        )
    if "words" in ways:
        return (
            "it holds sparse vectors, which have neither codes nor maps; `corpusmill search` and "
            "`mine` compare them, and a smaller top_k of their strategy makes them smaller"
        )
    return f"it holds no vectors of documents; it has only {', '.join(schema.names)}"


def open_part(uri: str, schema: pa.Schema, atoms: tuple[Atom, ...], way: Way) -> Part:
    """Some row groups of a table, searched exactly; all but `dense` have them in memory."""
    if way == "tokens":
        held = [columns.TOKEN_VECTORS, columns.TOKEN_CODES]
        field = next(schema.field(name) for name in held if name in schema.names)
        return late.open_part(late.LateIndex(uri, coded(uri, field), atoms))
    if way == "dense":
        column = coded(uri, finest(schema))
        return dense.open_part(dense.DenseIndex(uri, -1, column, column, atoms))
    words = columns.dim_of(schema.field(columns.LEXICAL_IDS))
    vectors = coded(uri, finest(schema)) if way == "both" else None
    weight = 1.0 if vectors else 0.0
    return lexical.open_part(lexical.LexicalIndex(uri, words, atoms, weight, vectors))


def asked_by(way: Way, rows: pa.Table) -> Asked:
    """Queries as `encode` gives them, with what that way compares."""
    looked = of_rows(rows, [rows.schema.field(name) for name in _COMPARED[way]])
    ids = whole(rows[columns.ID.name])
    hashes = pa.nulls(len(ids), columns.CONTENT_HASH.type)
    return Asked(ids, hashes, looked.matrix, None, looked.terms, looked.tokens)


def finest(schema: pa.Schema) -> pa.Field:
    """The finest column of vectors that a schema has; StopIteration where it has none."""
    return next(schema.field(name) for name in FINEST_FIRST if name in schema.names)
