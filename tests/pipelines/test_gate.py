"""What a candidate version must satisfy before it is published."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.storage.receipts import Receipt
from pipelines.canaries import Recall
from pipelines.gate import (
    Counts,
    check_of_canaries,
    check_of_sample,
    checks_of_counts,
    counted,
    refusals,
)
from pipelines.resample import Resampled
from pipelines.spec import Canaries, Gate
from pipelines.update import Update

EMPTY = Receipt("u", (), "", 0, 0, 0, 0, {}, 0.0, 0.0, 0, {})
GOOD = replace(counted([EMPTY], {}), rows_in=100, rows_out=100, min_norm=0.999, max_norm=1.001)


def bad(rows: int) -> Counts:
    return replace(GOOD, rows_out=100 - rows, quarantined=rows, bad={"text is null": rows})


def reasons_of(gate: Gate, counts: Counts, kept: int = 0, **update: int) -> tuple[str, ...]:
    return refusals(checks_of_counts(gate, counts, kept, Update(**update)))


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
        (Gate(min_rows=0.07, max_bad_rows=93), bad(93), ()),
        (Gate(min_rows=1.0), replace(bad(0), rows_out=70, left_out={"left out": 30}), ()),
        (Gate(norm=(0.99, 1.01)), GOOD, ()),
        (Gate(norm=(0.9999, 1.01)), GOOD, ("the shortest vector is 0.999 long, outside norm",)),
        (Gate(norm=(0.99, 1.0)), GOOD, ("the longest vector is 1.001 long, outside norm",)),
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
    found = reasons_of(gate, counts)
    assert len(found) == len(reasons)
    assert all(reason in sentence for reason, sentence in zip(reasons, found, strict=True))


def test_every_reason_is_told_at_once():
    counts = replace(bad(100), not_finite=1, bad_units={"u1": "gone"})
    gate = Gate(min_rows=1.0, norm=(2.0, 3.0))
    assert len(reasons_of(gate, counts, parent_rows=100, deleted=100)) == 7


@pytest.mark.parametrize(
    ("gate", "deleted", "refused"),
    [
        (Gate(), 50, False),
        (Gate(), 51, True),
        (Gate(max_deleted=0), 0, False),
        (Gate(max_deleted=0), 1, True),
        (Gate(max_deleted=0.005), 1, True),
        (Gate(max_deleted=1), 1, False),
        (Gate(max_deleted=1), 2, True),
        (Gate(max_deleted=100), 100, False),
    ],
)
def test_more_ids_than_max_deleted_may_not_vanish(gate, deleted, refused):
    found = reasons_of(gate, GOOD, parent_rows=100, deleted=deleted)
    wanted = f"{deleted} of the last version's 100 rows are gone, more than max_deleted"
    assert [wanted in reason for reason in found] == [True] * refused


def test_a_first_version_has_nothing_to_delete():
    names = [check.name for check in checks_of_counts(Gate(max_deleted=0), GOOD)]
    assert "max_deleted" not in names


def test_a_source_that_shrank_to_nothing_is_refused_by_what_it_deletes():
    nothing = replace(GOOD, rows_in=0, rows_out=0, min_norm=0.0, max_norm=0.0)
    assert len(reasons_of(Gate(), nothing, parent_rows=100, deleted=100)) == 2
    one = replace(nothing, rows_in=1, rows_out=1)
    (reason,) = reasons_of(Gate(), one, parent_rows=100, deleted=99)
    assert "99 of the last version's 100 rows are gone" in reason


def test_rows_that_stay_count_as_read_and_as_there():
    few = replace(bad(2), rows_in=10, rows_out=8)
    assert len(reasons_of(Gate(min_rows=0.99), few)) == 2
    assert reasons_of(Gate(min_rows=0.99), few, kept=190) == ()
    assert reasons_of(Gate(min_rows=198), few, kept=190) == ()
    assert reasons_of(Gate(min_rows=199), few, kept=190) == ("198 rows, fewer than min_rows 199",)
    none = replace(GOOD, rows_in=0, rows_out=0)
    assert reasons_of(Gate(), none, kept=1) == ()
    assert reasons_of(Gate(), none) == ("no row is left",)


GATES = st.builds(
    Gate,
    min_rows=st.sampled_from([0.0, 0.07, 0.29, 0.5, 0.99, 1.0, 2.0, 57.0, 150.0]),
    max_bad_rows=st.sampled_from([0.0, 0.01, 0.07, 0.29, 0.5, 1.0, 7.0, 50.0]),
    max_bad_units=st.integers(0, 2),
    max_deleted=st.sampled_from([0.0, 0.01, 0.07, 0.29, 0.5, 1.0, 7.0, 50.0]),
    norm=st.sampled_from([None, (0.9, 1.1), (0.0, 0.5)]),
)
SMALL = st.integers(0, 100)


@given(
    GATES,
    st.builds(
        replace,
        st.just(GOOD),
        rows_out=SMALL,
        quarantined=SMALL,
        not_finite=st.integers(0, 1),
        bad_units=st.dictionaries(st.sampled_from("abc"), st.just("gone")),
        min_norm=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
        max_norm=st.sampled_from([0.0, 0.5, 1.0, 1.2]),
    ),
    SMALL,
    st.builds(Update, parent_rows=SMALL, deleted=SMALL),
)
def test_counts_pass_exactly_where_they_break_no_stated_bound(gate, counts, kept, update):
    counts = replace(counts, rows_in=counts.rows_out + counts.quarantined)
    rows, read = kept + counts.rows_out, kept + counts.rows_in

    def of(bound: float, whole: int, *, share: bool) -> Fraction:
        return Fraction(str(bound)) * (whole if share else 1)

    norms = gate.norm is None or not counts.max_norm
    within = [
        rows > 0,
        rows >= of(gate.min_rows, read, share=gate.min_rows <= 1),
        counts.quarantined <= of(gate.max_bad_rows, read, share=gate.max_bad_rows < 1),
        len(counts.bad_units) <= gate.max_bad_units,
        counts.not_finite == 0,
        norms or gate.norm[0] <= counts.min_norm,
        norms or counts.max_norm <= gate.norm[1],
        not update.parent_rows
        or update.deleted <= of(gate.max_deleted, update.parent_rows, share=gate.max_deleted < 1),
    ]
    checks = checks_of_counts(gate, counts, kept, update)
    assert len(refusals(checks)) == within.count(False)
    for check in checks:
        low = check.least is not None and check.found < check.least
        high = check.most is not None and check.found > check.most
        assert bool(check.reason) == (low or high)


@given(GATES, st.integers(0, 100), st.integers(0, 5), st.integers(0, 100))
def test_how_much_of_a_version_was_written_anew_changes_no_verdict(gate, out, quarantined, kept):
    """What a small run publishes is what a full run would publish."""
    counts = replace(GOOD, rows_in=out + quarantined, rows_out=out, quarantined=quarantined)
    full = replace(counts, rows_in=counts.rows_in + kept, rows_out=out + kept)
    assert reasons_of(gate, counts, kept) == reasons_of(gate, full)


LEFT = Resampled(rows=16, lowest=0.9995, least=0.999)


@pytest.mark.parametrize(
    ("found", "phrase"),
    [
        (LEFT, ""),
        (replace(LEFT, lowest=0.2, differing=3), "3 of 16 unchanged rows"),
        (replace(LEFT, lowest=0.0, differing=16, problem="its text is gone"), "its text is gone"),
    ],
)
def test_a_sample_that_differs_or_cannot_be_made_is_refused(found, phrase):
    check = check_of_sample(found)
    assert bool(check.reason) == bool(phrase)
    assert phrase in check.reason


@pytest.mark.parametrize(
    ("recall", "last", "phrase"),
    [
        (0.5, None, ""),
        (0.88, {"recall": 0.9, "k": 10, "queries": "q"}, ""),
        (0.87, {"recall": 0.9, "k": 10, "queries": "q"}, "last version's 0.9 less tolerance 0.02"),
        (0.5, {"recall": 0.9, "k": 5, "queries": "q"}, ""),
        (0.5, {"recall": 0.9, "k": 10, "queries": "others"}, ""),
        (0.39, None, "recall@10 0.39, less than min_recall 0.4"),
        (0.39, {"recall": 0.4, "k": 10, "queries": "q"}, "less than min_recall 0.4"),
    ],
)
def test_canaries_may_fall_by_the_tolerance_and_not_below_min_recall(recall, last, phrase):
    canaries = Canaries("canaries.jsonl", min_recall=0.4)
    check = check_of_canaries(canaries, Recall(recall, 10, "q", 4), last)
    assert bool(check.reason) == bool(phrase)
    assert phrase in check.reason


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
