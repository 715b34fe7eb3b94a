"""The formats of sentence-transformers, named and laid out as `mine_hard_negatives` has them."""

from typing import Any

import numpy as np
import pyarrow as pa

from operators.distil.examples import Examples
from operators.distil.lists import Lists, Values


def triplet(examples: Examples) -> pa.Table:
    """One row a negative: anchor, positive, negative; `scores` of both documents if labelled."""
    lists, negative = examples.lists, examples.negative
    owner = lists.owner[negative]
    columns: dict[str, Any] = {
        "anchor": _take(examples.queries, owner),
        "positive": _take(examples.documents, lists.firsts[owner]),
        "negative": _take(examples.documents, np.flatnonzero(negative)),
    }
    if examples.labelled:
        pairs = np.stack([examples.labels[lists.firsts[owner]], examples.labels[negative]], axis=1)
        columns["scores"] = _lists(Lists(np.arange(len(owner) + 1) * 2), pairs.reshape(-1))
    return pa.table(columns)


def n_tuple(examples: Examples) -> pa.Table:
    """One row a list: anchor, positive, negative_1, …; `scores` of all documents if labelled."""
    lists = examples.lists
    width = int(lists.offsets[1]) if len(lists) else 1
    columns: dict[str, Any] = {"anchor": examples.queries}
    for place in range(width):
        name = f"negative_{place}" if place else "positive"
        columns[name] = _take(examples.documents, lists.firsts + place)
    if examples.labelled:
        columns["scores"] = _lists(lists, examples.labels)
    return pa.table(columns)


def labeled_pair(examples: Examples) -> pa.Table:
    """One row a document: anchor, document, and its `label`."""
    columns: dict[str, Any] = {
        "anchor": _take(examples.queries, examples.lists.owner),
        "document": examples.documents,
        "label": pa.array(examples.labels.astype(np.float32)),
    }
    return pa.table(columns)


def labeled_list(examples: Examples) -> pa.Table:
    """One row a list: anchor, documents, and their `labels`."""
    columns: dict[str, Any] = {
        "anchor": examples.queries,
        "documents": _lists(examples.lists, examples.documents),
        "labels": _lists(examples.lists, examples.labels),
    }
    return pa.table(columns)


def _take(array: pa.Array, places: Any) -> pa.Array:
    rows: Any = pa.array(places, pa.int64())
    return array.take(rows)


def _lists(lists: Lists, values: pa.Array | Values) -> pa.Array:
    flat = values if isinstance(values, pa.Array) else pa.array(values.astype(np.float32))
    offsets: Any = pa.array(lists.offsets.astype(np.int32))
    return pa.ListArray.from_arrays(offsets, flat)
