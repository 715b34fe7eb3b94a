"""What a source is and how it is cut: the spec of `read:`, pieces and units."""

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from operators.base import STRICT

Format = Literal["auto", "parquet", "jsonl", "csv", "beir", "delta"]

UNIT_BYTES = 16 << 20
"""Bytes of a unit where neither the source nor the plan says."""
_COMPRESSION: dict[str, Literal["gzip", "zstd"]] = {"gz": "gzip", "zst": "zstd", "zstd": "zstd"}


def _as_tuple(value: object) -> object:
    return (
        (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value
    )


Names = Annotated[
    tuple[str, ...], BeforeValidator(_as_tuple, json_schema_input_type=str | tuple[str, ...])
]


@dataclass(frozen=True, config=STRICT)
class Source:
    """Where rows come from and which columns become id and text."""

    uri: str = ""
    phase: str = ""
    """Another phase of the same pipeline, read at the version it commits; instead of `uri`."""
    format: Format = "auto"
    id: str = ""
    """Column that names a row; the default is `_id` for BEIR, else `id`."""
    text: Names = ()
    """Columns joined to the text; the default is title and text for BEIR, else `text`.

    A Delta table without `text`, such as one of vectors, is read as it is: every column.
    """
    separator: str = " "
    keep: Names = ()
    """Columns passed through to the output."""
    normalize: Literal["none", "NFC", "NFKC"] = "none"
    version: Annotated[int, Field(ge=-1)] = -1
    """Version of a Delta table; -1 is the newest."""
    part: Literal["corpus", "queries"] = "corpus"
    """Which half of a BEIR folder."""
    newlines_in_values: bool = False
    """Whether a quoted CSV value may hold line breaks; such files are not cut."""
    max_text_bytes: Annotated[int, Field(gt=0)] = 1_000_000
    limit: Annotated[int, Field(ge=0)] = 0
    """Only the first rows of the source, bad ones counted, before sampling; 0 is all."""
    sample: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of rows kept, chosen by a hash of (seed, id), so that cutting changes nothing."""
    seed: int = 0
    unit_bytes: Annotated[int, Field(ge=0)] = 0
    """Source bytes a unit holds at most; 0 chooses by the source's size. Not identity.

    A unit is one retry and one shard. Parquet is measured by what the columns read hold before
    compression, text by its plain bytes.
    """


def with_defaults(source: Source, found: Format, *, as_it_is: bool = False) -> Source:
    """The source with its format and column names filled in, as the readers need it.

    `as_it_is`: no column becomes the text, and all of them are read.
    """
    beir = found == "beir"
    text = () if as_it_is else ("title", "text") if beir else ("text",)
    return replace(
        source,
        format=found,
        id=source.id or ("_id" if beir else "id"),
        text=source.text or text,
    )


@dataclass(frozen=True)
class Piece:
    """A part of one file.

    Rows [start, stop) of a Parquet file, bytes [start, stop) of a plain text file, or all of a
    file that cannot be cut (start 0, stop = size).
    """

    uri: str
    format: Literal["parquet", "jsonl", "csv"]
    version: str
    size: int
    start: int
    stop: int
    max_rows: int = -1
    """Read at most that many rows of the piece; -1 is all (used by `limit`)."""
    whole: bool = True
    """The piece covers its file."""

    @property
    def compression(self) -> Literal["", "gzip", "zstd"]:
        """How a text file is compressed, told by its name."""
        return _COMPRESSION.get(self.uri.rpartition(".")[2].lower(), "")


@dataclass(frozen=True)
class Unit:
    """What one retry reads and one shard holds; `id` names the source version."""

    id: str
    ordinal: int
    pieces: tuple[Piece, ...]
    rows: int
    """Source rows it reads, -1 where only reading tells."""
    size: int
    """Source bytes, compressed as they are stored."""
    splits: bool = False
    """True where one pass over an uncut file yields several parts, each a shard of its own."""
