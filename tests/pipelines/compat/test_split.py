"""Maps are fitted on one part of the sample and measured on another."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from operators.mine.qrels import SCHEMA
from pipelines.compat.split import Asked, Split, split

PAIRS = st.lists(st.tuples(st.integers(0, 19), st.integers(0, 59)), min_size=1, max_size=80)


def parted(pairs: list[tuple[int, int]], seed: int = 0) -> tuple[pa.Array, Asked, Split]:
    documents = pa.array([f"d{n:02d}" for n in range(60)])
    pairs = sorted(set(pairs))
    queries = pa.array([f"q{n:02d}" for n in sorted({query for query, _ in pairs})])
    names = [(f"q{query:02d}", f"d{document:02d}", 1.0) for query, document in pairs]
    qrels = pa.Table.from_arrays(
        [pa.array(each) for each in zip(*names, strict=True)], SCHEMA.names
    )
    vectors = np.zeros((len(queries), 2), np.float32)
    asked = Asked(queries, vectors, vectors, qrels.cast(SCHEMA))
    return documents, asked, split(documents, asked, seed)


@given(pairs=PAIRS, seed=st.integers(0, 99))
def test_nothing_that_is_fitted_is_measured_and_every_answer_can_be_found(pairs, seed):
    documents, asked, parts = parted(pairs, seed)
    assert sorted([*parts.fit_documents, *parts.documents]) == list(range(60))
    assert not set(parts.pairs[0]) & set(parts.queries)
    assert set(parts.pairs[1]) <= set(parts.fit_documents)
    assert (parts.judged.rows >= 0).all(), "no answer of a measured query is in the fitted part"
    judged = {
        (asked.ids[int(parts.queries[q])].as_py(), documents[int(parts.documents[d])].as_py())
        for q, d in zip(parts.judged.queries, parts.judged.rows, strict=True)
    }
    measured = {asked.ids[int(q)].as_py() for q in parts.queries}
    named = zip(*(asked.qrels[name].to_pylist() for name in ("query_id", "doc_id")), strict=True)
    assert judged == {(query, document) for query, document in named if query in measured}


def test_the_split_is_drawn_by_id_so_that_neither_order_nor_others_matter():
    pairs = [(n % 20, n) for n in range(60)]
    documents, asked, parts = parted(pairs)
    again = split(documents, asked)
    assert np.array_equal(parts.queries, again.queries)
    backwards = documents.take(pa.array(np.arange(60)[::-1]))
    turned = split(backwards, asked)
    assert np.array_equal(np.sort(59 - turned.fit_documents), parts.fit_documents)
    assert not np.array_equal(parted(pairs, seed=1)[2].queries, parts.queries)


def test_about_a_third_of_the_queries_teach():
    _, asked, parts = parted([(n % 20, n) for n in range(60)])
    assert 0 < len(set(parts.pairs[0])) < 14
    assert len(parts.queries) + len(set(parts.pairs[0])) == len(asked.ids)
