"""Which ways there are to go on without embedding again."""

import numpy as np
import pyarrow as pa
import pytest

from operators.adapt.lengths import unit_length
from operators.mine.qrels import SCHEMA
from pipelines.compat.candidates import FEWEST, Task, candidates
from pipelines.compat.split import Asked, split
from pipelines.compat.tables import PLACES, Shared


def judged(queries: int, answers: int) -> Task:
    """Queries with so many documents each that nothing else answers, by two models."""
    random = np.random.default_rng(0)
    rows = queries * answers
    old = unit_length(random.standard_normal((rows, 8)).astype(np.float32))
    turn = np.linalg.qr(random.standard_normal((8, 8)))[0].astype(np.float32)
    ids = [f"d{row:03d}" for row in range(rows)]
    told = [ids, [b"h"] * rows, ["f"] * rows, range(rows)]
    places = pa.table([pa.array(each) for each in told], PLACES.names).cast(PLACES)
    names = [f"q{row // answers:02d}" for row in range(rows)]
    qrels = pa.table([names, ids, [1.0] * rows], SCHEMA.names).cast(SCHEMA)
    asked = unit_length(old.reshape(queries, answers, 8).mean(axis=1))
    there = Asked(pa.array(sorted(set(names))), asked, asked @ turn, qrels)
    documents = Shared(places, old, old @ turn, 0)
    return Task(documents, there, split(documents.ids, there))


@pytest.mark.parametrize(("queries", "answers", "adders"), [(18, 8, 0), (90, 2, 2)])
def test_few_queries_with_many_answers_are_measured_without_an_adder(queries, answers, adders):
    task = judged(queries, answers)
    teaching = task.split.pairs[0]
    assert len(teaching) >= FEWEST
    assert (len(set(teaching)) < 10) == (adders == 0)
    names = [one.name for one in candidates(task)]
    assert sum("adder" in name for name in names) == adders
    assert {"new queries as they are", "old documents linear", "new queries linear"} <= {*names}
