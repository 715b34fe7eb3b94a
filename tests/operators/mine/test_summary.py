import json

import numpy as np
import pyarrow as pa
import pytest

from operators.arrays import ragged_column
from operators.mine.audit import Masking, Mined, columns
from operators.mine.fuse import proposers
from operators.mine.rules import apply, rule
from operators.mine.selection import Selection, select
from operators.mine.summary import SAMPLES, Audit, summary
from tests.mined import world

RULES = (rule("duplicate-text", {}), rule("siblings", {}), rule("max-score", {"limit": 0.6}))
SELECTION = Selection(negatives=4, shortage="random")


def negatives(seed: int, queries: int) -> tuple[pa.Table, Mined]:
    """The columns of a negatives table that an audit reads."""
    case = world(seed, queries, 40).case(range(queries))
    verdict = apply(RULES, case)
    left = case.pool.only(verdict.kept)
    selected = select(left, case.asked.ids, SELECTION, case.positives)
    pool = left.only(selected.kept)
    mined = Mined(case, RULES, SELECTION, verdict, selected)
    counts = verdict.counts(case.pool)
    own = np.append(0, np.cumsum(np.bincount(pool.query, minlength=queries))).astype(np.int32)
    found = pool.documents.take(pool.document)
    rules = np.arange(queries + 1, dtype=np.int32) * len(verdict.rules)
    names = pa.array(list(verdict.rules) * queries)
    audit = columns(mined, Masking(share=0.5))
    made = {
        "query_id": case.asked.ids,
        "content_hash": case.asked.hashes,
        "source_file": pa.array(["queries"] * queries),
        "source_row": pa.array(range(queries)),
        "negative_ids": _lists(own, found["id"]),
        "negative_scores": ragged_column(pool.score, own),
        "negative_hashes": _lists(own, found["content_hash"]),
        "negative_files": _lists(own, found["source_file"]),
        "negative_rows": _lists(own, found["source_row"]),
        "negative_ranks": ragged_column(pool.rank.astype(np.int32), own),
        "sources": _lists(own, pa.chunked_array([proposers(pool.sources, ["dense", "bm25"])])),
        "dropped_rules": _lists(rules, pa.chunked_array([names])),
        "dropped_counts": ragged_column(counts.ravel(), rules),
    }
    return pa.table(made | dict(zip(audit.column_names, audit.columns, strict=True))), mined


def _lists(offsets, column) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(offsets), column.combine_chunks())


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return negatives(3, 120)[0]


def test_candidates_are_dropped_or_left_and_negatives_have_a_source_and_a_rank(table) -> None:
    made, mined = negatives(3, 120)
    audit = summary([made])
    proposed = mined.case.pool.sources != 0
    assert audit.queries == 120
    assert audit.candidates == np.count_nonzero(proposed)
    left = np.count_nonzero(mined.verdict.kept & proposed)
    assert audit.candidates == left + sum(audit.dropped.values())
    assert audit.negatives == sum(audit.sources.values())
    assert audit.negatives == sum(audit.ranks.values()) + audit.sources["random"]
    assert audit.short == np.count_nonzero(mined.selected.short)
    assert list(audit.dropped) == list(mined.verdict.rules)
    assert audit.masked_found >= audit.masked_left["max-score"] >= audit.masked_mined


def test_neither_cutting_the_table_nor_its_order_changes_the_audit(table) -> None:
    whole = summary([table])
    turned = table.take(np.random.default_rng(0).permutation(len(table)))
    cut = summary([turned.slice(0, 1), turned.slice(1, 70), turned.slice(71, 0), turned.slice(71)])
    assert cut == whole
    assert cut.lines() == whole.lines()


def test_fifty_of_each_are_shown_and_each_query_once_where_there_are_enough(table) -> None:
    audit = summary([table])
    assert len(audit.kept_examples) == len(audit.dropped_examples) == SAMPLES
    assert len({example.query_id for example in audit.kept_examples}) == SAMPLES
    assert summary([table], seed=1).kept_examples != audit.kept_examples
    few = table.slice(0, 20)
    with_negatives = [row["query_id"] for row in few.to_pylist() if row["negative_ids"]]
    shown = [example.query_id for example in summary([few]).kept_examples]
    assert len(shown) == SAMPLES
    assert set(shown) == set(with_negatives)


def test_an_example_names_a_pair_of_the_table_and_why(table) -> None:
    rows = {row["query_id"]: row for row in table.to_pylist()}
    for example in summary([table]).dropped_examples:
        row = rows[example.query_id]
        place = row["dropped_ids"].index(example.document_id)
        assert example.why == row["dropped_by"][place]
        assert example.document_row == row["dropped_rows"][place]
        assert example.document_hash == row["dropped_hashes"][place].hex()
        assert example.query_row == row["source_row"]


def test_the_audit_is_json_and_can_be_read(table) -> None:
    audit = summary([table])
    told = json.loads(json.dumps(audit.to_json()))
    assert told["dropped"] == dict(audit.dropped)
    assert told["kept_examples"][0]["document_id"] == audit.kept_examples[0].document_id
    lines = "\n".join(audit.lines())
    assert "dropped by max-score: " in lines
    assert "masked positives left after max-score: " in lines
    assert "rank 1-10: " in lines


def test_no_table_at_all_is_an_audit_of_nothing() -> None:
    assert summary([]) == Audit()
    assert "nothing could be masked" in summary([]).lines()[-1]
