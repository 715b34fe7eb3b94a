"""What proposes candidates: vectors tables and BM25, named by a config and pinned by a plan."""

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Annotated, ClassVar, Literal, TypeVar

import pyarrow as pa
from pydantic import Field
from pydantic.dataclasses import dataclass

from operators import columns
from operators.base import STRICT
from operators.beside import Around, Beside, pinned
from operators.encode.space import differences, space_of
from operators.errors import ConfigError, ContractError
from operators.mine.choice import Ann
from operators.quantize.codes import FINEST_FIRST
from operators.storage.table import Table
from operators.text.origin import texts_of
from operators.text.source import Source, Unit


@dataclass(frozen=True, config=STRICT)
class Dense:
    """A committed vectors table that proposes the documents nearest to a query's vector."""

    aside: ClassVar[frozenset[str]] = frozenset({"dim", "cut_from", "finest"})

    vectors: Beside
    queries: Beside = Beside()
    """Vectors of the queries, by id; where none is named, the phase's own rows have them."""
    name: str = ""
    """What a negative's `sources` calls it."""
    column: Literal["", "embedding", "codes", "bits"] = ""
    """What is searched; the finest there is by default."""
    rescored: Annotated[int, Field(ge=0)] = 0
    """Candidates of a coarser column that the finest one ranks again; 0 is four times the depth."""
    approximate: Ann | None = None
    """Search an approximate index, built from the vectors; exact where it is not given."""
    same_space: bool = True
    """Refuse vectors of queries and documents that another model, pooling or strategy made."""
    dim: int = 0
    """Of the vectors; set by the plan."""
    cut_from: int = 0
    """Dimensions that the vectors were cut from, 0 if they were not; set by the plan."""
    finest: str = ""
    """The finest column the table has; set by the plan."""

    @property
    def coarse(self) -> bool:
        """Whether what is searched is not the finest there is."""
        return self.column not in {"", self.finest}


@dataclass(frozen=True, config=STRICT)
class Lexical:
    """A committed table whose sparse vectors propose the documents of the highest product.

    Searched exactly, in memory: 8 bytes for each word of each document.
    """

    vectors: Beside
    queries: Beside = Beside()
    """Sparse vectors of the queries, by id; where none is named, the phase's own rows have them."""
    name: str = ""
    """What a negative's `sources` calls it."""
    dense: Annotated[float, Field(ge=0)] = 0.0
    """How much the product of the embeddings adds to that of the words; 1 is their plain sum."""
    same_space: bool = True
    """Refuse vectors of queries and documents that another model, pooling or strategy made."""


@dataclass(frozen=True, config=STRICT)
class Late:
    """A committed table of token vectors, compared by MaxSim with those of the queries.

    Searched exactly, in memory: 4 bytes for each value of each token's vector.
    """

    vectors: Beside
    queries: Beside = Beside()
    """Token vectors of the queries, by id; where none is named, the phase's own rows have them."""
    name: str = ""
    """What a negative's `sources` calls it."""
    same_space: bool = True
    """Refuse vectors of queries and documents that another model, pooling or strategy made."""


@dataclass(frozen=True, config=STRICT)
class Bm25:
    """BM25 over the documents' texts, with statistics of the whole collection."""

    aside: ClassVar[frozenset[str]] = frozenset({"units"})

    k1: Annotated[float, Field(gt=0)] = 1.5
    b: Annotated[float, Field(ge=0, le=1)] = 0.75
    stopwords: str = "english"
    """Words left out, by the name that bm25s has for them; empty for none."""
    units: Annotated[tuple[Unit, ...], Field(exclude=True)] = ()
    """How the texts are cut; set by the plan."""
    snapshot: str = ""
    """Digest of the texts' files; set by the plan."""


_COLUMNS = {
    "parents": (columns.PARENT_ID, "the rules siblings and strangers, and inbook"),
    "kinds": (columns.KIND, "selection.local"),
}
OfTable = TypeVar("OfTable", bound="Dense | Lexical | Late")
"""A source that is a committed table."""
_NEEDED = {
    FINEST_FIRST[0]: "vectors, or 'queries' beside for those of the queries",
    columns.TOKEN_VECTORS: "token vectors (encode, strategy colbert-xm)",
    columns.LEXICAL_IDS: "sparse vectors (encode, strategy splade or dupmae)",
}


def settled(source: OfTable, around: Around) -> OfTable:
    """The source with its tables pinned; refuses queries and documents of different spaces."""
    if not source.vectors.named:
        raise ConfigError(("mine: a source needs 'vectors', a table by uri or phase",))
    vectors = pinned(source.vectors, around.versions)
    queries = pinned(source.queries, around.versions) if source.queries.named else source.queries
    fields = searched(source, vectors)
    if queries.named:
        for field, own in zip(searched(source, queries), fields, strict=True):
            _check_dim(vectors.uri, _dims(own), queries.uri, columns.dim_of(field))
    asked = queries if queries.named else _own(around.source)
    if source.same_space and asked is not None:
        _check_space(vectors, asked)
    source = replace(source, vectors=vectors, queries=queries)
    if isinstance(source, Dense):
        dim, cut_from = _dims(fields[0])
        return replace(source, dim=dim, cut_from=cut_from, finest=fields[0].name)
    return source


def searched(source: OfTable, table: Beside) -> list[pa.Field]:
    """The columns of a pinned table that the source compares; ContractError where one lacks."""
    schema = Table(table.uri).schema(table.version)
    return compared(source, schema, f" in {table.uri}")


def compared(source: OfTable, schema: pa.Schema, where: str = "") -> list[pa.Field]:
    """The columns that the source compares; ContractError where one lacks."""
    wanted: list[tuple[str, ...]] = []
    if isinstance(source, Late):
        wanted.append((columns.TOKEN_VECTORS, columns.TOKEN_CODES))
    if isinstance(source, Lexical):
        wanted.append((columns.LEXICAL_IDS,))
    if isinstance(source, Dense) or (isinstance(source, Lexical) and source.dense):
        wanted.append(FINEST_FIRST)
    found = []
    for names in wanted:
        name = next((each for each in names if each in schema.names), "")
        if not name:
            told = f"only {', '.join(schema.names)}{where}"
            raise ContractError("mine", names[0], _NEEDED[names[0]], told)
        found.append(schema.field(name))
    return found


def check_queries(source: OfTable, schema: pa.Schema) -> None:
    """ContractError where the phase's rows should hold query vectors and do not."""
    if source.queries.named:
        return
    fields = compared(source, schema)
    if fields[0].name == columns.TOKEN_CODES:
        found = "their codes; name their table under 'queries', or leave them as vectors"
        raise ContractError("mine", columns.TOKEN_VECTORS, _NEEDED[columns.TOKEN_VECTORS], found)
    if isinstance(source, Dense) and source.dim:
        dims = (source.dim, source.cut_from)
        _check_dim(source.vectors.uri, dims, "the queries", columns.dim_of(fields[0]))


def check_needs(tables: Sequence[OfTable], documents: Source | None, needs: set[str]) -> None:
    """ContractError where the documents are known without a column that rules or others read.

    They are as the first vectors table has them; without any, as BM25 reads its texts.
    """
    if tables:
        uri, when = tables[0].vectors.uri, "when the vectors are made"
        names = Table(uri).schema(tables[0].vectors.version).names
    else:
        assert documents is not None
        uri, when = documents.uri, "under 'documents'"
        names = [documents.id, *documents.text, *documents.keep]
    for need, (field, wanted_for) in _COLUMNS.items():
        if need in needs and field.name not in names:
            needed = f"string (keep: [{field.name}] {when}), for {wanted_for}"
            raise ContractError("mine", field.name, needed, f"{', '.join(names)} in {uri}")


def check_installed(package: str, wanted_for: str) -> None:
    """ConfigError where an optional package is not there; it is looked for, not imported."""
    if find_spec(package) is None:
        raise ConfigError(
            (f"mine: {wanted_for} needs the package {package}; install corpusmill[mine]",)
        )


def check_depth(tables: Sequence[OfTable], wanted: int) -> None:
    """ConfigError where more candidates are asked for than a table has rows."""
    for each in tables:
        rows = sum(file.rows for file in Table(each.vectors.uri).files(each.vectors.version))
        if wanted > rows:
            raise ConfigError(
                (
                    f"mine: {wanted} candidates are asked for, and {each.vectors.uri} has {rows} "
                    "rows; lower range_max or depth",
                )
            )


def texts_of_queries(source: Source) -> Source:
    """Where the queries' texts are: the phase's source, or what its vectors were made from."""
    own = None if source.text else _own(source)
    return source if own is None else texts_of(own)


def _own(source: Source) -> Beside | None:
    """The Delta table that a phase reads; None for files."""
    return Beside(source.uri, version=source.version) if source.format == "delta" else None


def _dims(field: pa.Field) -> tuple[int, int]:
    """How many dimensions a column's vectors have, and of how many they are the first; 0: all."""
    return columns.dim_of(field), columns.truncated_from(field)


def _check_dim(vectors: str, dims: tuple[int, int], queries: str, found: int) -> None:
    if found not in dims:
        raise ConfigError(
            (
                f"mine: {queries} has vectors of {found} dimensions and {vectors} of {dims[0]}; "
                "embed both with one model",
            )
        )


def _check_space(vectors: Beside, queries: Beside) -> None:
    if differ := differences(space_of(queries), space_of(vectors)):
        raise ConfigError(
            (
                f"mine: the vectors of {queries.uri} and {vectors.uri} differ in "
                f"{', '.join(differ)}; embed both with one model and strategy (two towers: "
                "same_space: false)",
            )
        )
