import pickle
import tracemalloc
from collections.abc import Sequence

import bm25s
import numpy as np
import pyarrow as pa
import pytest

from operators.errors import ContractError, SourceError
from operators.mine.bm25 import Bm25Index, count, open_part
from operators.mine.index import Parts
from operators.mine.pool import DOCUMENTS, Asked
from operators.mine.words import joined
from operators.text.source import Source
from tests import corpora

WORDS = [f"w{number}x" for number in range(60)] + ["the", "of", "Über", "ß2", "日本語"]


def sentences(seed: int, count: int, longest: int = 30) -> list[str]:
    random = np.random.default_rng(seed)
    weight = 1 / np.arange(1, len(WORDS) + 1)
    return [
        " ".join(random.choice(WORDS, random.integers(1, longest), p=weight / weight.sum()))
        for _ in range(count)
    ]


def described(
    folder: str, texts: Sequence[str], form: str = "jsonl", unit_bytes: int = 4000
) -> Bm25Index:
    rows = [(f"d{(row * 37) % 1009}", text) for row, text in enumerate(texts)]
    name = "docs__" + form.replace(".", "__")
    corpora.put(folder, **{name: corpora.encode(form, rows)})
    listing, units = corpora.planned(Source(uri=folder, unit_bytes=unit_bytes))
    return Bm25Index(listing.source, units)


def opened(index: Bm25Index, of: int = 1) -> Parts:
    index = pickle.loads(pickle.dumps(index))
    known = joined([count(index, part, of) for part in range(of)])
    parts = [open_part(index, known, part, of) for part in range(of)]
    return Parts(lambda method, *args: [getattr(part, method)(*args) for part in parts])


def asked(texts: Sequence[str] | None) -> Asked:
    some = len(texts or ())
    return Asked(pa.array(["q"] * some), pa.array([b""] * some), texts=texts)


def whole(texts: Sequence[str], queries: Sequence[str]) -> np.ndarray:
    """Scores of every document by one bm25s index."""
    index = bm25s.BM25()
    index.index(bm25s.tokenize(list(texts), show_progress=False), show_progress=False)
    split = bm25s.tokenize(list(queries), return_ids=False, show_progress=False)
    return np.stack([index.get_scores(words) if words else np.zeros(len(texts)) for words in split])


@pytest.mark.parametrize("form", ["jsonl", "parquet", "jsonl.gz"])
def test_scores_are_those_of_one_bm25s_index(form, tmp_path) -> None:
    texts, queries = sentences(1, 400), sentences(2, 25, 6)
    index = opened(described(str(tmp_path), texts, form), 3)
    found = index.search(asked(queries), 20)
    exact = whole(texts, queries)
    best = -np.sort(-exact, axis=1)[:, :20]
    some = found.rows >= 0
    assert np.array_equal(some, best > 0)
    assert np.allclose(found.scores[some], best[some], atol=1e-5)
    taken = np.take_along_axis(exact, np.maximum(found.rows, 0), axis=1)
    assert np.allclose(found.scores[some], taken[some], atol=1e-5)


def test_parts_change_no_bit(tmp_path) -> None:
    described_once = described(str(tmp_path), sentences(3, 300))
    assert len(described_once.units) >= 7
    queries = asked(sentences(4, 20, 5))
    one = opened(described_once).search(queries, 30)
    for of in (1, 3, 7, 50):
        found = opened(described_once, of).search(queries, 30)
        assert np.array_equal(found.scores, one.scores)
        assert np.array_equal(found.rows, one.rows)


def test_documents_alike_come_by_id(tmp_path) -> None:
    index = opened(described(str(tmp_path), ["same words here"] * 200), 3)
    found = index.search(asked(["words"]), 5)
    ids = sorted(f"d{(row * 37) % 1009}" for row in range(200))[:5]
    names = index.documents(np.sort(found.rows[0]))["id"].to_pylist()
    assert sorted(names) == ids
    assert [names[place] for place in np.argsort(np.argsort(found.rows[0]))] == ids


def test_a_document_without_a_word_of_the_query_is_no_hit(tmp_path) -> None:
    index = opened(described(str(tmp_path), ["red apple", "green pear", "the of"]), 2)
    found = index.search(asked(["apple", "nothing known", ""]), 3)
    assert found.rows.tolist() == [[0, -1, -1], [-1, -1, -1], [-1, -1, -1]]
    assert np.isneginf(found.scores[1:]).all()


def test_scores_of_pairs_are_those_of_the_search(tmp_path) -> None:
    index = opened(described(str(tmp_path), sentences(5, 200)), 3)
    queries = asked(sentences(6, 10, 5))
    found = index.search(queries, 15)
    query, place = np.nonzero(found.rows >= 0)
    order = np.random.default_rng(0).permutation(len(query))
    query, place = query[order], place[order]
    scores = index.score(queries, query, found.rows[query, place])
    assert np.array_equal(scores, found.scores[query, place])


def test_documents_and_ids_find_each_other(tmp_path) -> None:
    index = opened(described(str(tmp_path), sentences(7, 90)), 3)
    rows = np.array([0, 1, 40, 89])
    known = index.documents(rows)
    assert len(index) == 90
    assert known.schema == DOCUMENTS
    ids = pa.array([*known["id"].to_pylist(), "nowhere"])
    assert index.locate(ids).tolist() == [*rows, -1]


def test_what_is_held_while_texts_are_inverted_is_little_more_than_what_stays(tmp_path) -> None:
    random = np.random.default_rng(0)
    texts = [" ".join(f"w{n}x" for n in random.integers(0, 3000, 80)) for _ in range(5000)]
    index = described(str(tmp_path), texts, unit_bytes=40_000)
    known = joined([count(index)])
    tracemalloc.start()
    part = open_part(index, known)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(index.units) > 50
    assert most < 3.5 * (part.inverted.document.nbytes + part.inverted.weight.nbytes)


@pytest.mark.parametrize("of", [1, 3, 7])
def test_an_id_that_comes_twice_is_found_at_its_first_row_however_it_is_cut(tmp_path, of) -> None:
    rows = [(f"d{row}", text) for row, text in enumerate(sentences(8, 300))]
    rows += [("d7", "the same, edited")]
    corpora.put(str(tmp_path), docs__jsonl=corpora.encode("jsonl", rows))
    listing, units = corpora.planned(Source(uri=str(tmp_path), unit_bytes=4000))
    index = opened(Bm25Index(listing.source, units), of)
    assert index.locate(pa.array(["d7", "d299", "nowhere"])).tolist() == [7, 299, -1]


def test_bad_rows_are_not_searched(tmp_path) -> None:
    rows = [("a", "red apple"), ("b", None), ("c", "green apple")]
    corpora.put(str(tmp_path), docs__jsonl=corpora.encode("jsonl", rows))
    listing, units = corpora.planned(Source(uri=str(tmp_path)))
    index = opened(Bm25Index(listing.source, units))
    assert len(index) == 2
    assert index.search(asked(["green"]), 1).rows.tolist() == [[1]]


def test_a_collection_without_a_good_row_is_refused(tmp_path) -> None:
    corpora.put(str(tmp_path), docs__jsonl=corpora.encode("jsonl", [("a", None)]))
    listing, units = corpora.planned(Source(uri=str(tmp_path)))
    with pytest.raises(SourceError, match="has no good row; there is nothing to search"):
        opened(Bm25Index(listing.source, units))


def test_queries_without_texts_are_refused(tmp_path) -> None:
    index = opened(described(str(tmp_path), ["red apple"]))
    with pytest.raises(ContractError, match="the queries' texts"):
        index.search(asked(None), 3)
