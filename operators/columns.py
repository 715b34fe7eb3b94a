"""The columns that flow between operators, written down once (DESIGN §3)."""

from typing import Any

import pyarrow as pa

ID = pa.field("id", pa.string())
TEXT = pa.field("text", pa.string())
CONTENT_HASH = pa.field("content_hash", pa.binary())
"""128-bit blake2b of the text that reaches the model."""
PARENT_ID = pa.field("parent_id", pa.string())
KIND = pa.field("kind", pa.string())
"""What sort of document a row is: its modality, language, collection."""
PARENT_HASH = pa.field("parent_hash", pa.binary())

POSITION = pa.field("position", pa.int32())
"""Which passage of its parent, counted from 0."""
CHAR_START = pa.field("char_start", pa.int32())
CHAR_STOP = pa.field("char_stop", pa.int32())
"""Characters [start, stop) of the parent's text that the passage is."""

LEVEL = pa.field("level", pa.int32())
"""How many times a document was halved to come to the passage; 0 is all of it."""
WITHIN = pa.field("within", pa.string())
"""Id of the passage that it is a half of."""
TOKEN_START = pa.field("token_start", pa.int32())
TOKEN_STOP = pa.field("token_stop", pa.int32())
"""Tokens [start, stop) of its document's that a passage has."""

SOURCE_FILE = pa.field("source_file", pa.string())
SOURCE_ROW = pa.field("source_row", pa.int64())
"""Where the row came from: row number in a Parquet file, line number or byte offset in text."""

ERROR = pa.field("error", pa.string())
"""Why a row is quarantined; null for a good row. Only present inside a phase."""

INPUT_IDS = pa.field("input_ids", pa.list_(pa.int32()))
N_TOKENS = pa.field("n_tokens", pa.int32())
TRUNCATED = pa.field("truncated", pa.bool_())
PROMPT_TOKENS = pa.field("prompt_tokens", pa.int32())
"""Leading tokens that the model sees and the pooling leaves out; only where the model says so."""

QUERY_ID = pa.field("query_id", pa.string())
DOC_ID = pa.field("doc_id", pa.string())
QUERY_HASH = pa.field("query_hash", pa.binary())
DOC_HASH = pa.field("doc_hash", pa.binary())
"""content_hash of the pair's query and of its document."""
QUERY = pa.field("query", pa.string())
"""Text of the query; `text` is the document's. Both only inside a phase."""
ANSWER = pa.field("answer", pa.string())
"""What the query's answer is, for a teacher that asks for it; only inside a phase."""
TEACHER = pa.field("teacher", pa.string())
"""Fingerprint of the step that scores the pair."""
LOGIT = pa.field("logit", pa.float32())

SCALE = pa.field("scale", pa.float32())
BITS_SCALE = pa.field("bits_scale", pa.float32())
"""What a bit of the row stands for, up to its sign."""
BITS_ERROR = pa.field("bits_error", pa.float32())
"""How far a score of the row's bits may lie from the vector's, for a query of length one."""

LANG = pa.field("lang", pa.string())
"""The language of a row's text, as its source calls it."""

SPANS = "spans"
LEXICAL_IDS, LEXICAL_WEIGHTS = "lexical_ids", "lexical_weights"
TOKEN_VECTORS, TOKEN_CODES = "token_vectors", "token_codes"

PASSAGES = pa.field("passages", pa.int32())
"""How many passages a document's vector was made of."""
LENGTH = pa.field("length", pa.float32())
"""Length of a document's vector before it was made one: near one where its passages agree."""


def embedding(dim: int, name: str = "embedding") -> pa.Field:
    """A float vector column of `dim` values a row."""
    return pa.field(name, pa.list_(pa.float32()), metadata={"corpusmill.dim": str(dim)})


def lexical(vocabulary: int) -> list[pa.Field]:
    """A sparse vector a row: ascending ids below `vocabulary`, and the weight of each."""
    told = {"corpusmill.dim": str(vocabulary)}
    ids: pa.Field = pa.field(LEXICAL_IDS, pa.list_(pa.int32()), metadata=told)
    return [ids, pa.field(LEXICAL_WEIGHTS, pa.list_(pa.float32()), metadata=told)]


def token_vectors(dim: int) -> pa.Field:
    """Any number of vectors of `dim` values a row, end to end in one flat list."""
    return embedding(dim, TOKEN_VECTORS)


def deviation(dim: int) -> pa.Field:
    """Standard deviations of a document's passages, dimension by dimension."""
    return embedding(dim, "deviation")


def codes(dim: int, scheme: str, artefact: str = "") -> pa.Field:
    """A column of codes, a byte each; its metadata says of how many dimensions, decoded by what."""
    return pa.field("codes", pa.list_(pa.int8()), metadata=decoder(dim, scheme, artefact))


def bits(dim: int, scheme: str, artefact: str = "") -> pa.Field:
    """A packed-bit column of ceil(dim / 8) bytes a row, first dimension in the highest bit."""
    return pa.field("bits", pa.binary(), metadata=decoder(dim, scheme, artefact))


def input_ids(tokenizer: str) -> pa.Field:
    """Token ids whose metadata names the tokenizer, by the digest of its file, that gave them."""
    return INPUT_IDS.with_metadata({"corpusmill.tokenizer": tokenizer})


def spans(*more: pa.Field) -> pa.Field:
    """The passages of a document that is one row, and what else each has; only inside a phase."""
    own = (ID, CONTENT_HASH, POSITION, CHAR_START, CHAR_STOP, TOKEN_START, TOKEN_STOP)
    return pa.field(SPANS, pa.list_(pa.struct([*own, *more])))


def dim_of(field: pa.Field) -> int:
    """How many dimensions a vector or code column has, from its metadata; KeyError without it."""
    return int((field.metadata or {})[b"corpusmill.dim"])


def notes(field: pa.Field) -> str:
    """What a column's metadata says of it, in words for a reader; empty where it says nothing."""
    told = sorted((field.metadata or {}).items())
    each = ((key.decode(), value.decode()) for key, value in told if value)
    return ", ".join(f"{key.removeprefix('corpusmill.')} {value}" for key, value in each)


def truncated(field: pa.Field, whole: int) -> pa.Field:
    """The column of vectors that were cut from `whole` dimensions before they were coded."""
    metadata: Any = field.metadata or {}
    return field.with_metadata({**metadata, "corpusmill.truncated_from": str(whole)})


def truncated_from(field: pa.Field) -> int:
    """How many dimensions the vectors of a column were cut from; 0 where they were not cut."""
    return int((field.metadata or {}).get(b"corpusmill.truncated_from", b"0"))


def decoder(dim: int, scheme: str, artefact: str) -> dict[bytes | str, bytes | str]:
    """Field metadata that says how a column is decoded: dimensions, scheme, artefact digest."""
    return {
        "corpusmill.dim": str(dim),
        "corpusmill.scheme": scheme,
        "corpusmill.artefact": artefact,
    }


def decoder_of(field: pa.Field) -> tuple[str, str]:
    """The scheme and artefact digest that decode a column; both empty for plain float vectors."""
    metadata = field.metadata or {}
    scheme, artefact = (metadata.get(b"corpusmill." + key, b"") for key in (b"scheme", b"artefact"))
    return scheme.decode(), artefact.decode()
