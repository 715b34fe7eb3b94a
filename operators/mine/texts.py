"""Where the documents' texts lie: with the first table's rows, or by id in a table of texts."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from operators import columns
from operators.arrays import whole
from operators.beside import Beside
from operators.contract import assign
from operators.errors import ConfigError
from operators.mine.pool import found_among
from operators.storage.table import Table
from operators.text.origin import cuts, texts_of
from operators.text.places import relative, root_of
from operators.text.source import Source

pc: Any = pyarrow.compute  # the stubs do not know every function


def texts_behind(vectors: Beside, reader: str) -> Source | None:
    """The texts of a vectors table's rows; None where its passages have none of their own.

    ConfigError where `reader`, if it is named, would read them then.
    """
    if not cuts(vectors):
        return texts_of(vectors)
    if reader:
        problem = f"{reader} reads texts, and {vectors.uri} was cut in passages as it was encoded"
        hint = "name a table with the text of each under 'documents', made by a phase of 'passages'"
        raise ConfigError((f"mine: {problem}; {hint}",))
    return None


def check_by_id(documents: Source) -> None:
    """ConfigError for a listed source in which texts cannot be found by their ids."""
    if documents.format != "delta" or not documents.text:
        found = "has no text" if documents.format == "delta" else f"is {documents.format}"
        wanted = "beside a vectors table 'documents' is a Delta table with the text of each id"
        raise ConfigError((f"mine: {wanted}, and {documents.uri} {found}",))


def placed(documents: pa.Table, texts: Source) -> pa.Table:
    """DOCUMENTS with the file and row in which a pinned table has the text of each id.

    A pass over the table's ids. ConfigError names the first document that it has not.
    """
    ids = whole(documents["id"])
    file, row = np.full(len(ids), -1, np.int64), np.full(len(ids), -1, np.int64)
    table, root = Table(texts.uri), root_of(texts)
    for number, shard in enumerate(table.read([texts.id], texts.version)):
        places, which = found_among(pc.cast(shard[texts.id], pa.string()), ids)
        file[which], row[which] = number, places
    lost = np.flatnonzero(file < 0)
    if len(lost):
        problem = f"{texts.uri} has no text of {ids[int(lost[0])]}, which was searched"
        raise ConfigError((f"mine: {problem}; name a table of all under 'documents'",))
    names = [relative(root, each.uri) for each in table.files(texts.version)]
    files: Any = pa.array(file)
    out = assign(documents, columns.SOURCE_FILE, pa.array(names, pa.string()).take(files))
    return assign(out, columns.SOURCE_ROW, pa.array(row))
