"""nDCG@10 of a table of vectors, asked as `corpusmill search` asks it."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute

from operators.arrays import whole
from operators.beside import Beside, pinned
from operators.mine.groups import atoms_of
from operators.mine.quality import judgments, ndcg
from operators.mine.ways import asked_by, chosen, open_part
from operators.storage.table import Table
from pipelines.asking import recipe_of
from pipelines.compat.questions import judged

pc: Any = pyarrow.compute  # the stubs know no plain values as operands
_K = 10


def scored(uri: str, source: Path) -> tuple[float, int, int]:
    """Mean nDCG@10, a document being as near as the nearest of its rows; queries; documents."""
    table = pinned(Beside(uri), {})
    schema = Table(table.uri).schema(table.version)
    way = chosen(table.uri, schema)
    part = open_part(table.uri, schema, atoms_of(table.uri, table.version), way)
    known = part.documents(np.arange(part.size()))
    named = whole(pc.coalesce(known["parent_id"], known["id"])).dictionary_encode()
    document = named.indices.to_numpy()
    questions = judged(str(source / "queries.jsonl"), str(source / "qrels" / "test.tsv"))
    queries = recipe_of(table).encoded(questions.texts)
    most = int(np.bincount(document).max())
    found = part.search(asked_by(way, queries), _K * most).rows
    ranking = np.array([_first(row, document) for row in found])
    grades = judgments(questions.qrels, whole(queries["id"]), named.dictionary)
    return float(np.nanmean(ndcg(ranking, grades, _K))), len(queries), len(named.dictionary)


def _first(rows: npt.NDArray[np.int64], document: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """The first different documents of ranked rows, -1 where there are fewer."""
    held = document[rows[rows >= 0]]
    firsts = np.sort(np.unique(held, return_index=True)[1])[:_K]
    ranked: npt.NDArray[np.int64] = np.full(_K, -1, np.int64)
    ranked[: len(firsts)] = held[firsts]
    return ranked
