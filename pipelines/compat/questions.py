"""Queries with known answers: judged ones of files, or the titles of the corpus' own documents."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from operators import columns
from operators.arrays import to_matrix, whole
from operators.base import Resources
from operators.errors import ConfigError, ContractError, SourceError, TableError
from operators.mine.qrels import SCHEMA, Qrels
from operators.quantize.kernels import Matrix
from operators.quantize.prefix import asked_of
from operators.text.fetch import fetch
from operators.text.origin import texts_of
from operators.text.rows import read_unit
from operators.text.source import Source
from pipelines.compat.tables import Shared, Version
from pipelines.listing import Listing, list_source
from pipelines.units import cut_units

pc: Any = pyarrow.compute  # the stubs know no plain values as operands

TITLES = 2000
"""Titles that are asked at most."""
_TEXTS = pa.schema([columns.ID, columns.TEXT])


@dataclass(frozen=True, eq=False)
class Questions:
    """Texts to be asked, and which documents answer them."""

    texts: pa.Table
    """id and text."""
    qrels: pa.Table
    """query_id, doc_id, relevance."""
    told: str
    """Where they come from."""


def judged(queries: str, qrels: str) -> Questions:
    """The judged queries of a file, or of a BEIR folder; SourceError where there are none."""
    grades = Qrels(uri=qrels).read()
    grades = grades.filter(pc.greater(grades["relevance"], 0))
    listing = _listed(queries)
    parts = [
        table.filter(pc.is_null(table["error"])).select(_TEXTS.names)
        for unit in cut_units(listing.source, listing)
        for _, table in read_unit(listing.source, unit)
    ]
    texts = pa.concat_tables([_TEXTS.empty_table(), *parts])
    texts = texts.filter(pc.is_in(texts["id"], whole(grades["query_id"])))
    if not len(texts):
        raise SourceError(queries, f"none of its queries is judged in {qrels}")
    grades = grades.filter(pc.is_in(grades["query_id"], whole(texts["id"])))
    return Questions(texts, grades, f"{len(texts):,} judged queries of {queries}")


def titles(version: Version, documents: Shared, column: str = "", most: int = TITLES) -> Questions:
    """Titles of the first documents that have one of their own, each answered by its document.

    The title is `column`, else the first of several text columns of the table's source, else
    `title`. ConfigError where there are no titles.
    """
    source = texts_of(version.table)
    first = source.text[0] if len(source.text) > 1 else "title"
    name = column or first
    files, rows = (whole(documents.places[field]) for field in ("source_file", "source_row"))
    hint = "name a column by --title, or give --queries and --qrels"
    try:
        found = fetch(replace(source, text=(name,)), files, rows, None)
    except (SourceError, ContractError) as error:
        raise ConfigError(
            (f"{version.uri}: its texts have no titles ({error}); {hint}",)
        ) from error
    said = pc.utf8_trim_whitespace(pc.fill_null(found, ""))
    table = pa.table([documents.ids, said], schema=_TEXTS)
    table = table.filter(pc.not_equal(said, ""))
    coded = whole(table["text"]).dictionary_encode()
    _, once = np.unique(np.asarray(coded.indices), return_index=True)
    chosen: Any = pa.array(np.sort(once)[:most])
    table = table.take(chosen)
    if not len(table):
        raise ConfigError((f"{version.uri}: column {name!r} of its source is empty; {hint}",))
    ones = pa.array(np.ones(len(table), np.float32))
    qrels = pa.table([table["id"], table["id"], ones], schema=SCHEMA)
    within = ", which their documents' vectors hold" if name in source.text else ""
    return Questions(table, qrels, f"{len(table):,} titles (column {name}{within})")


def asked(version: Version, texts: pa.Table, on: Resources) -> tuple[pa.Array, Matrix]:
    """Ids and vectors of the texts as queries of a version's model, by its recorded steps.

    What the model has no token for is left out. TableError where its rows have other dimensions.
    """
    table = version.recipe.encoded(texts, on)
    dim = columns.dim_of(table.schema.field("embedding"))
    try:
        queries = asked_of(version.column.field, to_matrix(table["embedding"], dim))
    except ValueError as error:
        raise TableError(version.uri, f"{error} of the model that its commit names") from error
    return whole(table["id"]), queries


def _listed(uri: str) -> Listing:
    """A file with `id` or BEIR's `_id`, and `text`."""
    source = Source(uri=uri, part="queries")
    try:
        return list_source(source)
    except ContractError as error:
        if error.column != columns.ID.name:
            raise
        return list_source(replace(source, id="_id"))
