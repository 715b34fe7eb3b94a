import shutil

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.errors import DamageError
from operators.storage import uri as storage
from operators.text.rows import read_unit
from operators.text.source import Source
from tests import corpora

ROWS: list[corpora.Row] = [(str(number), f"text number {number}") for number in range(100)]


def test_small_files_share_a_unit_and_large_ones_are_cut(tmp_path) -> None:
    for number in range(10):
        data = corpora.encode("jsonl", ROWS[number * 10 : number * 10 + 10])
        corpora.put(str(tmp_path), **{f"{number}__jsonl": data})
    listing, units = corpora.planned(Source(uri=str(tmp_path), unit_bytes=len(data) * 3))
    assert [len(unit.pieces) for unit in units] == [3, 3, 3, 1]
    _, cut = corpora.planned(Source(uri=str(tmp_path), unit_bytes=len(data) // 3))
    assert len(cut) == 30
    assert all(unit.size <= len(data) // 3 for unit in cut)
    assert sum(unit.size for unit in cut) == listing.size
    assert [unit.ordinal for unit in cut] == list(range(30))
    assert len({unit.id for unit in cut}) == 30


@settings(deadline=None)
@given(
    group=st.integers(1, 60), unit_bytes=st.integers(1, 4000), keep=st.sampled_from([(), ("long",)])
)
def test_row_ranges_follow_the_bytes_of_the_columns_read(
    tmp_path_factory, group, unit_bytes, keep
) -> None:
    columns = {"id": [name for name, _ in ROWS], "text": [text for _, text in ROWS]}
    table = pa.table({**columns, "long": ["y" * 500 + name for name, _ in ROWS]})
    folder = tmp_path_factory.mktemp("ranges")
    corpora.put(str(folder), a__parquet=corpora.parquet(table, group))
    listing, units = corpora.planned(Source(uri=str(folder), keep=keep, unit_bytes=unit_bytes))
    pieces = [piece for unit in units for piece in unit.pieces]
    assert [piece.start for piece in pieces] == [0, *(piece.stop for piece in pieces[:-1])]
    assert pieces[-1].stop == sum(unit.rows for unit in units) == 100
    total = sum(listing.footers[0].sizes)
    assert len(units) >= min(total / unit_bytes, 100) / 2
    assert len(units) <= max(2 * total / unit_bytes + 1, 1) + len(listing.footers[0].rows)


def test_units_keep_their_ids_when_files_come_and_when_the_folder_moves(tmp_path) -> None:
    one = tmp_path / "one"
    for name in ("a", "c"):
        corpora.put(str(one), **{f"{name}__parquet": corpora.encode("parquet", ROWS)})
    source = Source(uri=str(one), unit_bytes=100)
    before = {unit.id for unit in corpora.planned(source)[1]}
    shutil.copytree(one, tmp_path / "two")
    corpora.put(str(one), b__parquet=corpora.encode("parquet", ROWS))
    after = {unit.id for unit in corpora.planned(source)[1]}
    assert before < after
    moved = {
        unit.id for unit in corpora.planned(Source(uri=str(tmp_path / "two"), unit_bytes=100))[1]
    }
    assert moved == before


def test_a_rewritten_file_gets_new_ids(store) -> None:
    for text in ("x", "y"):
        data = corpora.encode("jsonl", [("a", text)])
        storage.write_bytes(f"{store}/{text}/a.jsonl", data)
    x, y = (corpora.planned(Source(uri=f"{store}/{text}"))[1] for text in ("x", "y"))
    assert x[0].id != y[0].id


def test_the_parts_of_a_packed_file_belong_to_one_bound(tmp_path) -> None:
    corpora.put(str(tmp_path), a__jsonl__gz=corpora.encode("jsonl.gz", ROWS))
    (small,), (large,) = (
        corpora.planned(Source(uri=str(tmp_path), unit_bytes=bound))[1] for bound in (500, 5000)
    )
    assert small.splits
    assert small.id != large.id


@pytest.mark.parametrize("form", corpora.FORMATS)
@pytest.mark.parametrize("unit_bytes", [150, 1 << 20])
@pytest.mark.parametrize("limit", [1, 33, 34, 100, 1000])
def test_a_limit_is_the_first_rows_however_they_are_cut(tmp_path, form, unit_bytes, limit) -> None:
    for number in range(3):
        data = corpora.encode(form, ROWS[number * 33 : number * 33 + 33 + number // 2])
        storage.write_bytes(f"{tmp_path}/{number}.{form}", data)
    source = Source(uri=str(tmp_path), unit_bytes=unit_bytes, limit=limit)
    ids = corpora.read(source)["id"].to_pylist()
    assert ids == [name for name, _ in ROWS][:limit]


def test_a_damaged_parquet_file_is_a_unit_of_its_own_that_fails_by_name(tmp_path) -> None:
    data = corpora.encode("parquet", ROWS)
    files = {"a__parquet": data, "b__parquet": data[:-9], "c__parquet": data}
    corpora.put(str(tmp_path), **files)
    listing, units = corpora.planned(Source(uri=str(tmp_path)))
    assert [[piece.uri[-9:] for piece in unit.pieces] for unit in units] == [
        ["a.parquet"],
        ["b.parquet"],
        ["c.parquet"],
    ]
    with pytest.raises(DamageError, match=r"b\.parquet"):
        list(read_unit(listing.source, units[1]))
    assert [unit.rows for unit in units] == [len(ROWS), 0, len(ROWS)]
