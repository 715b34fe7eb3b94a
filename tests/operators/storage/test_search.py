"""Ids are found where they stand, in any column, as a hash, in JSON, and nowhere else."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.storage.inventory import inventory
from operators.storage.keys import write_keys
from operators.storage.log_search import log_holds
from operators.storage.receipts import RunFolder
from operators.storage.search import KEYS, Wanted, has_rows, search_rows, without

HEX = "0123456789abcdef"
WORDS = st.sampled_from(["a", "b", "aa", f"a#{HEX}", f"b#{HEX}-12", f"c#{HEX}", "a#b", "", "é"])
KINDS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "id": (pa.string(), WORDS),
    "raw": (pa.binary(), st.sampled_from([b"a", b"\xff", b"xa"])),
    "tags": (pa.list_(pa.string()), st.lists(WORDS | st.none(), max_size=3)),
    "deep": (
        pa.list_(pa.struct([("n", pa.int32()), ("name", pa.string())])),
        st.lists(st.fixed_dictionaries({"n": st.just(1), "name": WORDS}) | st.none(), max_size=2),
    ),
    "pairs": (pa.map_(pa.string(), pa.string()), st.lists(st.tuples(WORDS, WORDS), max_size=2)),
}
SCHEMA = pa.schema([(name, kind) for name, (kind, _) in KINDS.items()])
ROWS = st.lists(
    st.fixed_dictionaries({name: values | st.none() for name, (_, values) in KINDS.items()}),
    max_size=5,
)


def holds(value: Any, ids: set[str]) -> bool:
    """By plain Python: whether a value is one of the ids or of its passages, at any depth."""
    if isinstance(value, list | tuple):
        return any(holds(each, ids) for each in value)
    if isinstance(value, dict):
        return any(holds(each, ids) for each in value.values())
    if isinstance(value, bytes):
        return value in {each.encode() for each in ids}
    if not isinstance(value, str):
        return False
    stem, _, rest = value.rpartition("#")
    digits, _, repeat = rest.partition("-")
    is_passage = digits == HEX and (not repeat or repeat.isdecimal())
    return value in ids or (is_passage and stem in ids)


@given(ROWS, st.sets(st.sampled_from(["a", "b", "é"]), min_size=1), st.integers(0, 4))
def test_rows_are_found_as_by_looking_at_every_value(rows, ids, start):
    table = pa.Table.from_pylist(rows, schema=SCHEMA).slice(start)
    found = has_rows(table, Wanted.of(ids))
    for name in SCHEMA.names:
        expected = [holds(value, ids) for value in table[name].to_pylist()]
        marks = found.get(name, np.zeros(len(table), np.bool_))
        assert marks.tolist() == expected


def test_a_file_is_searched_by_row_groups_and_says_which_values_it_found(tmp_path):
    place = tmp_path / "a.parquet"
    table = pa.table({"id": ["x", f"x#{HEX}", "y"], "n": [1, 2, 3], "skipped": ["x"] * 3})
    pq.write_table(table, place, row_group_size=2)
    first, second = search_rows(str(place), Wanted.of(["x"]), skip=["skipped"])
    assert {name: marks.tolist() for name, marks in first.hits.items()} == {"id": [True, True]}
    assert first.values == {"x", f"x#{HEX}"}
    assert not second.hits


def test_ids_that_are_numbers_are_found_and_other_numbers_are_not(tmp_path):
    place = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": [1, 12], "n": [12, 1]}), place)
    (found,) = search_rows(str(place), Wanted.of(["12"]))
    assert {name: marks.tolist() for name, marks in found.hits.items()} == {"id": [False, True]}


def test_a_sidecar_of_keys_is_searched_by_hash(tmp_path):
    folder = RunFolder(str(tmp_path), "r")
    write_keys(folder, "u", pa.table({"id": ["x", "y", "z"]}), 1)
    place = folder.path("keys", "u.parquet")
    (found,) = search_rows(place, Wanted.of(["y"]))
    assert found.hits[KEYS].sum() == 1
    assert not any(rows.hits for rows in search_rows(place, Wanted.of(["w"])))


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("x", True),
        (["y", {"deep": [{"name": "x"}]}], True),
        ({"stats": '{"minValues": {"id": "x"}}'}, True),
        ({"predicate": "id = 'x' AND day > 3"}, True),
        ({"broken": '{"id": "x"'}, True),
        ({"x": 1}, False),
        ({"text": "x y", "n": 1, "none": None}, False),
        ({"schemaString": '{"name": "x"}'}, False),
        ([], False),
    ],
)
def test_json_holds_an_id_as_a_value_or_in_quotes(value, found):
    assert Wanted.of(["x"]).in_json(value) is found


def test_what_holds_an_id_leaves_lists_and_objects_and_the_rest_stays():
    value = {"a": [{"q": "x"}, {"q": "y"}], "b": {"c": "x", "d": ["x", "z"]}, "e": 1}
    assert without(value, Wanted.of(["x"])) == {"a": [{"q": "y"}], "b": {"d": ["z"]}, "e": 1}


def test_statistics_that_a_checkpoint_keeps_are_found(tmp_path):
    from deltalake import DeltaTable, write_deltalake

    place = str(tmp_path)
    write_deltalake(place, pa.table({"id": ["m", "x"]}))
    DeltaTable(place).create_checkpoint()
    (tmp_path / "_delta_log" / f"{0:020d}.json").unlink()
    there = inventory(place)
    assert log_holds(place, Wanted.of(["x"]), there, ())
    assert not log_holds(place, Wanted.of(["n"]), there, ())
    (file,) = DeltaTable(place).get_add_actions()["path"].to_pylist()
    assert log_holds(place, Wanted.of(["n"]), there, {file})
