import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from operators.text.checks import first_errors, kind_of, scrub

VALUES = st.lists(st.sampled_from([b"ok", b"", b"\xff", b"\xc3(", "é".encode(), None]), max_size=40)


def unchecked(values: list[bytes | None]) -> pa.Array:
    """A string column over bytes that nobody validated, as a careless writer leaves it."""
    array = pa.array(values, pa.binary())
    buffers = array.buffers()
    return pa.Array.from_buffers(pa.string(), len(array), buffers)


@given(values=VALUES, skip=st.integers(0, 5))
def test_just_the_rows_that_are_not_utf8_are_nulled_and_named(values, skip) -> None:
    array = unchecked(values).slice(skip)
    (clean,), errors = scrub(["x"], [array], pa.nulls(len(array), pa.string()))
    clean.validate(full=True)
    for value, kept, error in zip(
        values[skip:], clean.to_pylist(), errors.to_pylist(), strict=True
    ):
        bad = value in (b"\xff", b"\xc3(")
        assert kept == (None if bad or value is None else value.decode())
        assert error == ("not UTF-8: column 'x'" if bad else None)


def test_a_row_has_the_first_reason_only_and_the_readers_comes_first() -> None:
    ids = pa.array([None, " ", "a", "a", "a", None])
    text = pa.array([None, None, None, "\n", "12345", "x"])
    found = pa.array([None, None, None, None, None, "not valid JSON: x"])
    errors = first_errors(ids, text, found, 4).to_pylist()
    assert [kind_of(error) for error in errors] == [
        "id is null",
        "id is empty",
        "text is null",
        "text is empty",
        "text is too long",
        "not valid JSON",
    ]
