"""Which documents and queries maps are fitted on, and which measure them: never the same."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from operators.mine.draws import keys, uniforms
from operators.mine.quality import Judgments, judgments
from operators.quantize.kernels import Matrix, Rows

pc: Any = pyarrow.compute  # the stubs know no chunked values to look up

QUERIES, DOCUMENTS = 1 / 3, 1 / 2
"""Shares of the queries, and of the documents that answer none, that maps are fitted on."""

Marks = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Asked:
    """Queries of both models in step, and the documents that answer them, by row."""

    ids: pa.Array
    old: Matrix
    new: Matrix
    qrels: pa.Table
    """query_id, doc_id, relevance; only of documents in the sample."""


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of the sample's documents and queries on either side."""

    fit_documents: Rows
    documents: Rows
    """The gallery that is searched."""
    queries: Rows
    """What is asked in it."""
    pairs: tuple[Rows, Rows]
    """Query and document of each pair that a map may learn from."""
    judged: Judgments
    """Of `queries` and `documents`, by their places there."""


def split(ids: pa.Array, asked: Asked, seed: int = 0) -> Split:
    """Draw a third of the queries, what answers no other query, and half of the rest for fitting.

    A document that answers a measured query is measured, whatever else it answers.
    """
    query = np.asarray(_places(asked.qrels["query_id"], asked.ids))
    document = np.asarray(_places(asked.qrels["doc_id"], ids))
    fits = _drawn(asked.ids, seed, QUERIES)
    answered = np.unique(query)
    answers = np.zeros((2, len(ids)), np.bool_)
    for side, of in enumerate((~fits, fits)):
        answers[side, document[of[query]]] = True
    fit_documents = ~answers[0] & (answers[1] | _drawn(ids, seed, DOCUMENTS))
    learned = fits[query] & fit_documents[document]
    measured = np.setdiff1d(answered, np.flatnonzero(fits))
    gallery = np.flatnonzero(~fit_documents)
    return Split(
        np.flatnonzero(fit_documents),
        gallery,
        measured,
        (query[learned], document[learned]),
        judgments(asked.qrels, _taken(asked.ids, measured), _taken(ids, gallery)),
    )


def _drawn(ids: pa.Array, seed: int, share: float) -> Marks:
    marks: Marks = uniforms(keys(ids, seed, "fit")) < share
    return marks


def _places(column: pa.ChunkedArray, ids: pa.Array) -> Any:
    return pc.index_in(column, ids)


def _taken(ids: pa.Array, rows: Rows) -> pa.Array:
    places: Any = pa.array(rows, pa.int64())
    return ids.take(places)
