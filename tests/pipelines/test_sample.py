"""Rows from all over a source, however its files are cut."""

import pytest

from operators.errors import DamageError
from operators.text.source import Source
from pipelines.listing import list_source
from pipelines.sample import rows_from_all_over
from pipelines.units import cut_units
from tests.pipeline_builders import good_rows, lines, packed_lines, write_files


def ids_of(folder, rows: int) -> list[str]:
    listing = list_source(Source(uri=str(folder)))
    found = rows_from_all_over(listing.source, cut_units(listing.source, listing), rows)
    return found["id"].to_pylist()


def small(count: int, rows: int) -> dict[str, bytes]:
    return {f"f{n:03d}.jsonl": lines(good_rows(n * rows, n * rows + rows)) for n in range(count)}


@pytest.mark.parametrize(("files", "each"), [(200, 1), (100, 3), (20, 50), (3, 200)])
def test_as_many_rows_as_are_wanted_are_read_of_files_of_any_size(tmp_path, files, each):
    write_files(str(tmp_path), small(files, each))
    found = ids_of(tmp_path, 150)
    assert len(found) == len(set(found)) == 150
    assert len({int(name[1:]) // (each * files // 3) for name in found}) >= 3


def test_a_large_file_beside_small_ones_gives_what_they_lack(tmp_path):
    write_files(str(tmp_path), {"big.jsonl.gz": packed_lines(good_rows(1000, 1500))})
    write_files(str(tmp_path), small(9, 2))
    assert len(ids_of(tmp_path, 400)) == 400


def test_a_source_of_fewer_rows_gives_each_of_them_once(tmp_path):
    write_files(str(tmp_path), small(40, 2))
    assert sorted(ids_of(tmp_path, 500)) == [f"d{n:04d}" for n in range(80)]


def test_damaged_files_are_passed_over_unless_there_are_no_others(tmp_path):
    broken = packed_lines(good_rows(0, 50))[:-20]
    write_files(str(tmp_path), {f"b{n}.jsonl.gz": broken for n in range(20)})
    with pytest.raises(DamageError):
        ids_of(tmp_path, 30)
    write_files(str(tmp_path), {"whole.jsonl": lines(good_rows(100, 140))})
    assert len(ids_of(tmp_path, 30)) == 30
