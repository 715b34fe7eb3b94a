"""Good rows go through a step; bad rows, and rows that break the step, go beside them."""

from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators import columns
from operators.contract import assign, reject
from operators.errors import RowError, TableError
from operators.text.source import Source
from pipelines.rows import accepted, rejected, through
from pipelines.spec import Step
from pipelines.work import Job, Parcel, advance
from tests.poison import Raise

READ = pa.schema([columns.ID, columns.TEXT, columns.SOURCE_FILE, columns.SOURCE_ROW])
LENGTH = pa.field("length", pa.int32())
MADE = pa.schema([columns.ID, columns.SOURCE_FILE, columns.SOURCE_ROW, LENGTH])
CANNOT = ZeroDivisionError("cannot measure that")


def read(texts, errors=None):
    """Rows as a reader gives them."""
    rows = len(texts)
    made = [[str(n) for n in range(rows)], texts, ["a"] * rows, list(range(rows))]
    table = pa.table([pa.array(c, f.type) for c, f in zip(made, READ, strict=True)], schema=READ)
    return assign(table, columns.ERROR, pa.array(errors or [None] * rows, columns.ERROR.type))


def measure(table, *, breaks_on="?", calls=None, error=CANNOT):
    """A step: text lengths instead of texts; empty texts are rejected, some texts break it."""
    if calls is not None:
        calls.append(len(table))
    if pc.any(pc.match_substring(table["text"], breaks_on)).as_py():
        raise error
    length = pc.utf8_length(table["text"])
    out = assign(table.drop_columns(["text"]), LENGTH, length)
    return reject(out, np.equal(length.to_numpy(), 0), "nothing to measure")


def test_a_step_sees_the_good_rows_and_bad_rows_follow_with_their_reason():
    seen: list[int] = []
    table = read(["abc", "de", "f"], [None, "text is odd", None])
    out = through(partial(measure, calls=seen), table, MADE)
    assert seen == [2]
    assert out.schema.names == [*MADE.names, "error"]
    assert accepted(out, MADE)["length"].to_pylist() == [3, 1]
    assert rejected(out)["id"].to_pylist() == ["1"]
    assert rejected(out)["error"].to_pylist() == ["text is odd"]


def test_a_row_that_a_step_rejects_leaves_with_the_reason_of_that_step():
    out = through(measure, read(["abc", ""]), MADE)
    assert accepted(out, MADE)["id"].to_pylist() == ["0"]
    assert rejected(out)["error"].to_pylist() == ["nothing to measure"]


@given(st.lists(st.sampled_from(["good", "better", "?"]), max_size=40))
def test_rows_that_break_a_step_leave_alone_and_the_others_keep_their_order(texts):
    broken = [n for n, text in enumerate(texts) if text == "?"]
    if len(broken) > 16:
        with pytest.raises(ZeroDivisionError):
            through(measure, read(texts), MADE)
        return
    out = through(measure, read(texts), MADE)
    kept = [n for n in range(len(texts)) if n not in broken]
    assert accepted(out, MADE)["source_row"].to_pylist() == kept
    assert accepted(out, MADE)["length"].to_pylist() == [len(texts[n]) for n in kept]
    assert sorted(rejected(out)["source_row"].to_pylist()) == broken
    reasons = set(rejected(out)["error"].to_pylist())
    assert reasons <= {"the step failed: ZeroDivisionError: cannot measure that"}


def test_one_breaking_row_costs_a_step_few_calls():
    calls: list[int] = []
    texts = ["good"] * 1000
    texts[700] = "?"
    through(partial(measure, calls=calls), read(texts), MADE)
    assert len(calls) < 2 * 11


def test_an_error_that_names_what_is_wrong_is_no_fault_of_a_row():
    def lost(table: pa.Table) -> pa.Table:
        raise TableError("lake", "its artefact is gone")

    with pytest.raises(TableError):
        through(lost, read(["abc", "de"]), MADE)


def test_a_row_that_the_memory_does_not_hold_leaves_alone():
    error = RowError("m", "a row of 9 tokens does not fit the memory of cpu")
    out = through(partial(measure, error=error), read(["good", "?", "better"]), MADE)
    assert accepted(out, MADE)["source_row"].to_pylist() == [0, 2]
    reason = "the step failed: RowError: model m: a row of 9 tokens does not fit the memory of cpu"
    assert rejected(out)["error"].to_pylist() == [reason]


def test_no_rows_give_the_schema_without_asking_the_step():
    calls: list[int] = []
    out = through(partial(measure, calls=calls), read([]), MADE)
    assert (len(out), out.schema.names, calls) == (0, [*MADE.names, "error"], [])
    assert rejected(out).schema.names == ["id", "source_file", "source_row", "error"]


def test_a_step_may_make_several_rows_of_one():
    def twice(table: pa.Table) -> pa.Table:
        return measure(pa.concat_tables([table, table]))

    out = through(twice, read(["abc", "de"], [None, "bad"]), MADE)
    assert accepted(out, MADE)["id"].to_pylist() == ["0", "0"]
    assert len(rejected(out)) == 1


class Lists(Raise):
    """Makes something else of a row where others are missing, as a teacher of whole lists does."""

    reads_texts, fingerprint, whole = True, "", True


def test_rows_that_count_together_are_not_tried_in_halves():
    step = Lists("lemon")
    job = Job("table", "run", Source(uri="docs"), (Step(step),), (READ, READ), "", 1)
    parcel = Parcel("unit", 0, read(["good", "lemon", "better"]))
    with step.open() as transform, pytest.raises(ArithmeticError, match="no step digests"):
        advance(job, parcel, [(0, transform)])
