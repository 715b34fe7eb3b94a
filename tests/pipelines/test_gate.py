"""What a candidate version must satisfy before it is published."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.storage.receipts import Receipt
from pipelines.gate import Counts, counted, refusals
from pipelines.spec import Gate

EMPTY = Receipt("u", (), "", 0, 0, 0, 0, {}, 0.0, 0.0, 0, {})
GOOD = replace(counted([EMPTY], {}), rows_in=100, rows_out=100, min_norm=0.999, max_norm=1.001)


def bad(rows: int) -> Counts:
    return replace(GOOD, rows_out=100 - rows, quarantined=rows, bad={"text is null": rows})


@pytest.mark.parametrize(
    ("gate", "counts", "reasons"),
    [
        (Gate(), GOOD, ()),
        (Gate(), bad(1), ()),
        (Gate(), bad(2), ("2 of 100 rows quarantined (2 × text is null)",)),
        (Gate(max_bad_rows=0), bad(1), ("more than max_bad_rows 0",)),
        (Gate(max_bad_rows=0), GOOD, ()),
        (Gate(max_bad_rows=1), bad(1), ()),
        (Gate(max_bad_rows=1), bad(2), ("more than max_bad_rows 1",)),
        (Gate(max_bad_rows=0.5), bad(50), ()),
        (Gate(max_bad_rows=100), bad(100), ("no row is left",)),
        (Gate(min_rows=0.99), bad(1), ()),
        (Gate(min_rows=1.0), bad(1), ("99 rows, fewer than min_rows 1",)),
        (Gate(min_rows=101), GOOD, ("100 rows, fewer than min_rows 101",)),
        (Gate(min_rows=100), GOOD, ()),
        (Gate(norm=(0.99, 1.01)), GOOD, ()),
        (Gate(norm=(0.9999, 1.01)), GOOD, ("vector lengths 0.999 to 1.001 leave norm",)),
        (Gate(norm=(0.99, 1.0)), GOOD, ("vector lengths 0.999 to 1.001 leave norm",)),
        (Gate(norm=(0.99, 1.0)), replace(GOOD, min_norm=0.0, max_norm=0.0), ()),
        (Gate(), replace(GOOD, not_finite=3), ("3 vectors are not finite",)),
        (
            Gate(),
            replace(GOOD, bad_units={"u1": "a.gz: cut short"}),
            ("1 unit failed, more than max_bad_units 0 (the first: a.gz: cut short)",),
        ),
        (Gate(max_bad_units=1), replace(GOOD, bad_units={"u1": "a.gz: cut short"}), ()),
    ],
)
def test_a_gate_refuses_for_the_reasons_it_names(gate, counts, reasons):
    found = refusals(gate, counts)
    assert len(found) == len(reasons)
    assert all(reason in sentence for reason, sentence in zip(reasons, found, strict=True))


def test_every_reason_is_told_at_once():
    counts = replace(bad(100), not_finite=1, bad_units={"u1": "gone"})
    assert len(refusals(Gate(min_rows=1.0, norm=(2.0, 3.0)), counts)) == 6


RECEIPTS = st.builds(
    Receipt,
    unit=st.just("u"),
    shards=st.just(()),
    quarantine=st.just(""),
    rows_in=st.integers(0, 99),
    rows_out=st.integers(0, 99),
    tokens=st.integers(0, 99),
    truncated=st.integers(0, 99),
    bad=st.dictionaries(st.sampled_from(["text is null", "id is null"]), st.integers(1, 9)),
    min_norm=st.sampled_from([0.5, 1.0]),
    max_norm=st.sampled_from([1.0, 2.0]),
    not_finite=st.integers(0, 3),
    seconds=st.just({"encode": 0.5}),
)


@given(st.lists(RECEIPTS, max_size=8))
def test_counts_add_up_over_receipts_however_they_are_grouped(receipts):
    counts = counted(receipts, {})
    for name in ("rows_in", "rows_out", "tokens", "truncated", "not_finite"):
        assert getattr(counts, name) == sum(getattr(receipt, name) for receipt in receipts)
    assert counts.quarantined == sum(sum(receipt.bad.values()) for receipt in receipts)
    assert counts.quarantined == sum(counts.bad.values())
    assert counts.min_norm == min((receipt.min_norm for receipt in receipts), default=0.0)
    assert counts.max_norm == max((receipt.max_norm for receipt in receipts), default=0.0)
    assert counted(receipts[::-1], {}) == counts


def test_a_unit_without_vectors_says_nothing_about_lengths():
    with_vectors = replace(EMPTY, min_norm=0.9, max_norm=1.0)
    counts = counted([EMPTY, with_vectors], {})
    assert (counts.min_norm, counts.max_norm) == (0.9, 1.0)
