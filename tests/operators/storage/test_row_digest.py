"""Two rows have one digest exactly when they hold the same values."""

import math
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.storage.row_digest import row_digests

TYPES: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "text": (pa.string(), st.text("ab\x00", max_size=3)),
    "bytes": (pa.binary(), st.binary(max_size=3)),
    "small": (pa.int8(), st.integers(-1, 1)),
    "flag": (pa.bool_(), st.booleans()),
    "floats": (
        pa.list_(pa.float32()),
        st.lists(st.sampled_from([0.0, 1.0]) | st.none(), max_size=2),
    ),
    "names": (pa.list_(pa.string()), st.lists(st.text("ab", max_size=2) | st.none(), max_size=3)),
    "lists": (
        pa.list_(pa.list_(pa.int8())),
        st.lists(st.lists(st.integers(0, 1), max_size=2) | st.none(), max_size=2),
    ),
    "pair": (
        pa.struct([("a", pa.string()), ("b", pa.int32())]),
        st.fixed_dictionaries(
            {"a": st.text("a", max_size=1) | st.none(), "b": st.integers(0, 1) | st.none()}
        ),
    ),
}
SCHEMA = pa.schema([(name, kind) for name, (kind, _) in TYPES.items()])
ROWS = st.lists(
    st.fixed_dictionaries({name: values | st.none() for name, (_, values) in TYPES.items()}),
    max_size=6,
)


def digests(table: pa.Table) -> list[bytes]:
    return row_digests(table).to_pylist()


@given(ROWS, st.integers(0, 5), st.integers(1, 3))
def test_equal_rows_and_no_others_have_equal_digests(rows, start, chunk):
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    found = digests(table)
    told = list(map(repr, table.to_pylist()))
    for one, one_digest in zip(told, found, strict=True):
        for other, other_digest in zip(told, found, strict=True):
            assert (one == other) == (one_digest == other_digest)
    assert digests(table.slice(start)) == found[start:]
    pieces = [table.slice(n, chunk) for n in range(0, len(table), chunk)]
    assert digests(pa.concat_tables([SCHEMA.empty_table(), *pieces])) == found
    assert [digest for piece in pieces for digest in digests(piece)] == found


@given(st.data())
def test_two_columns_do_not_flow_into_each_other(data):
    kinds = data.draw(st.tuples(st.sampled_from(sorted(TYPES)), st.sampled_from(sorted(TYPES))))
    schema = pa.schema([(f"c{n}", TYPES[kind][0]) for n, kind in enumerate(kinds)])
    row = st.tuples(*(TYPES[kind][1] | st.none() for kind in kinds))
    rows = data.draw(st.lists(row, min_size=2, max_size=8))
    table = pa.Table.from_pylist([dict(zip(schema.names, r, strict=True)) for r in rows], schema)
    assert len(set(digests(table))) == len({repr(r) for r in table.to_pylist()})


def test_floats_are_compared_by_their_bits():
    table = pa.table({"x": pa.array([0.0, -0.0, math.nan, math.nan, None], pa.float32())})
    one, other, first, second, null = digests(table)
    assert one != other
    assert first == second
    assert len({one, first, null}) == 3


def test_what_lies_under_a_null_is_no_value():
    hidden = pa.array([1, 2], pa.int32(), mask=pa.array([True, False]).to_numpy(False))
    lists = pa.ListArray.from_arrays(
        pa.array([0, 2, 3], pa.int32()), pa.array([1, 2, 3]), mask=pa.array([True, False])
    )
    plain = pa.table({"a": pa.array([None, 2], pa.int32()), "b": pa.array([None, [3]])})
    assert digests(pa.table({"a": hidden, "b": lists})) == digests(plain)


@pytest.mark.parametrize("rows", [0, 1])
def test_no_rows_and_one(rows):
    assert len(digests(pa.table({"a": pa.array(["x"] * rows, pa.string())}))) == rows
