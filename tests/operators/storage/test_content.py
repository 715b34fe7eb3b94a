import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.storage.content import content_digest

ROW = st.fixed_dictionaries(
    {
        "id": st.none() | st.text(max_size=3),
        "flag": st.none() | st.booleans(),
        "n": st.none() | st.integers(-9, 9),
        "key": st.none() | st.binary(max_size=3),
        "v": st.none() | st.lists(st.none() | st.floats(width=32, allow_nan=False), max_size=3),
        "w": st.none() | st.lists(st.text(max_size=2), max_size=2),
        "s": st.none() | st.fixed_dictionaries({"a": st.none() | st.integers(-9, 9)}),
    }
)
SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "flag": pa.bool_(),
        "n": pa.int64(),
        "key": pa.binary(),
        "v": pa.list_(pa.float32()),
        "w": pa.large_list(pa.large_string()),
        "s": pa.struct({"a": pa.int16()}),
    }
)


@given(st.lists(ROW, max_size=12), st.integers(0, 12), st.integers(0, 12))
def test_chunks_slices_and_neighbours_do_not_change_the_digest(rows, cut, before) -> None:
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    cut, before = min(cut, len(rows)), min(before, len(rows))
    padded = pa.concat_tables([table.slice(0, before), table, table.slice(0, 1)]).combine_chunks()
    sliced = padded.slice(before, len(rows))
    chunked = pa.concat_tables([sliced.slice(0, cut), sliced.slice(cut)])
    digest = content_digest(table, {})
    assert content_digest(sliced, {}) == digest
    assert content_digest(chunked, {}) == digest


@given(st.lists(ROW, max_size=4), st.lists(ROW, max_size=4))
def test_tables_share_a_digest_only_when_their_bytes_are_equal(left, right) -> None:
    a, b = (pa.Table.from_pylist(rows, schema=SCHEMA) for rows in (left, right))
    assert (content_digest(a, {}) == content_digest(b, {})) == (repr(left) == repr(right))


def test_what_lies_under_a_null_is_no_value() -> None:
    mask = pa.array([False, True])
    hidden = pa.Array.from_buffers(
        pa.int64(), 2, [pa.py_buffer(b"\x01"), pa.py_buffer(bytes(8) + b"\x07" * 8)]
    )
    assert hidden.to_pylist() == [0, None]
    plain = pa.array([0, 0], mask=mask.to_numpy(zero_copy_only=False))
    tables = [pa.table({"n": column}) for column in (hidden, plain)]
    assert len({content_digest(table, {}) for table in tables}) == 1


def test_a_type_without_defined_bytes_is_refused() -> None:
    table = pa.table({"x": pa.array(["a"], pa.string_view())})
    with pytest.raises(TypeError, match="string_view has no content digest"):
        content_digest(table, {})
