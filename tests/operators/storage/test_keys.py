import tempfile

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.errors import TableError
from operators.storage.keys import duplicates_in_bucket, write_keys
from operators.storage.receipts import RunFolder

IDS = st.lists(st.text("abé", max_size=2), max_size=8)


def rows(ids: pa.Array | pa.ChunkedArray) -> pa.Table:
    return pa.table({"id": ids})


@given(st.lists(IDS, max_size=4), st.integers(1, 5))
def test_the_losers_are_all_but_the_first_of_each_id_as_a_dict_finds_them(units, buckets) -> None:
    names = [f"u{9 - n}" for n in range(len(units))]  # the order given is not that of the names
    first: dict[str, tuple[str, int]] = {}
    every = [
        (name, row, i) for name, ids in zip(names, units, strict=True) for row, i in enumerate(ids)
    ]
    expected = [
        (name, row) for name, row, i in every if first.setdefault(i, (name, row)) != (name, row)
    ]
    with tempfile.TemporaryDirectory() as place:
        folder = RunFolder(place, "r1")
        for name, ids in zip(names, units, strict=True):
            write_keys(
                folder, name, rows(pa.chunked_array([ids[:3], ids[3:]], pa.string())), buckets
            )
        tables = [duplicates_in_bucket(folder, names, bucket) for bucket in range(buckets)]
    found = [(row["unit"], row["row"]) for table in tables for row in table.to_pylist()]
    assert sorted(found) == sorted(expected)


def test_duplicates_across_units_are_found_in_the_order_of_the_units(store: str) -> None:
    folder = RunFolder(store, "r1")
    write_keys(folder, "b", rows(pa.array(["x", "y", "x"])), 1)
    write_keys(folder, "a", rows(pa.array(["skipped", "y", "z"])).slice(1), 1)
    losers = duplicates_in_bucket(folder, ["b", "a"], 0)
    found = {"unit": ["b", "a"], "row": [2, 0], "to_unit": ["b", "b"], "to_row": [0, 1]}
    assert losers.to_pydict() == found
    assert duplicates_in_bucket(folder, ["a"], 0).num_rows == 0


def test_a_unit_without_its_keys_is_reported(store: str) -> None:
    with pytest.raises(TableError, match=r"keys/lost\.parquet: not found"):
        duplicates_in_bucket(RunFolder(store, "r1"), ["lost"], 0)


def test_a_null_id_is_refused(store: str) -> None:
    with pytest.raises(ValueError, match="an id is null"):
        write_keys(RunFolder(store, "r1"), "u", rows(pa.array(["a", None])), 1)
