import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from operators.errors import ConfigError, SourceError
from operators.storage import uri


def fill(store: str, *names: str) -> None:
    for name in names:
        uri.write_bytes(uri.join(store, name), name.encode())


def test_a_folder_lists_its_data_files_sorted_and_leaves_bookkeeping_out(store: str) -> None:
    fill(store, "b/2.txt", "a.txt", "_log/x", "b/.hidden", "b/1.txt")
    files = uri.list_files(store)
    assert [file.uri for file in files] == [
        uri.join(store, n) for n in ("a.txt", "b/1.txt", "b/2.txt")
    ]
    assert [file.size for file in files] == [5, 7, 7]
    assert all(file.version for file in files)


def test_a_glob_and_a_single_file_list_what_they_name(store: str) -> None:
    fill(store, "a.txt", "b.csv", "_c.txt")
    assert [file.uri for file in uri.list_files(uri.join(store, "a*"))] == [
        uri.join(store, "a.txt")
    ]
    (only,) = uri.list_files(uri.join(store, "_c.txt"))
    assert only == uri.file_at(uri.join(store, "_c.txt"))


def test_the_version_of_a_file_changes_with_its_content(store: str) -> None:
    fill(store, "a.txt")
    before = uri.file_at(uri.join(store, "a.txt")).version
    uri.write_bytes(uri.join(store, "a.txt"), b"other")
    assert uri.file_at(uri.join(store, "a.txt")).version != before


@pytest.mark.parametrize("name", ["nothing", "nothing*", "nothing/"])
def test_an_empty_source_is_one_sentence(store: str, name: str) -> None:
    with pytest.raises(SourceError, match="no such file, folder or glob, or nothing in it"):
        uri.list_files(uri.join(store, name) if name[-1] != "/" else f"{store}/{name}")


def test_names_folders_and_ages_say_what_lies_where(store: str) -> None:
    assert uri.names_in(store) == []
    fill(store, "a.txt", "f/b.txt", "f/g/c.txt")
    assert uri.names_in(store) == ["a.txt", "f"]
    assert uri.names_in(uri.join(store, "a.txt")) is None
    assert uri.list_folders(store) == ["f"]
    assert uri.list_names(uri.join(store, "f")) == ["b.txt"]
    assert [name for name, _ in uri.list_ages(store, deep=True)] == [
        "a.txt",
        "f/b.txt",
        "f/g/c.txt",
    ]
    assert uri.list_names(uri.join(store, "none")) == []


def test_bytes_and_ranges_come_back(store: str) -> None:
    place = uri.join(store, "f/x")
    uri.write_bytes(place, b"0123456789")
    assert uri.read_bytes(place) == b"0123456789"
    assert uri.read_bytes(place, 2, 5) == b"234"
    with uri.open_input(place) as stream:
        stream.seek(8)
        assert stream.read() == b"89"
    assert uri.size_of(place) == 10
    assert uri.size_of(uri.join(store, "none")) is None
    with pytest.raises(SourceError, match="not found"):
        uri.read_bytes(uri.join(store, "none"))


def test_one_of_sixteen_creators_wins_and_its_bytes_stay(store: str) -> None:
    place = uri.join(store, "f/x")
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda n: uri.create_bytes(place, b"%d" % n), range(16)))
    assert won.count(True) == 1
    assert uri.read_bytes(place) == b"%d" % won.index(True)
    assert uri.names_in(uri.join(store, "f")) == ["x"]


def test_deleting_what_is_gone_is_no_mistake(store: str) -> None:
    fill(store, "a", "b")
    uri.delete([uri.join(store, name) for name in ("a", "gone", "b")])
    assert uri.names_in(store) == []


def test_empty_folders_are_pruned_and_full_ones_kept(tmp_path: Path) -> None:
    (tmp_path / "t/empty/er").mkdir(parents=True)
    (tmp_path / "t/full").mkdir()
    (tmp_path / "t/full/x").touch()
    uri.prune(str(tmp_path / "t"))
    assert sorted(p.name for p in (tmp_path / "t").rglob("*")) == ["full", "x"]


def test_a_folder_that_may_not_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SourceError, match="file/x"):
        uri.write_bytes(str(tmp_path / "file/x"), b"")


def test_relative_paths_become_absolute_and_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert uri.absolute("a/*.txt") == os.path.join(tmp_path, "a/*.txt")  # noqa: PTH118 - a glob
    assert uri.absolute("file:///x/y") == "/x/y"
    assert uri.absolute("s3://b/k/") == "s3://b/k"
    assert uri.join("s3://b/", "/k/", "x") == "s3://b/k/x"


@pytest.mark.s3
def test_on_s3_a_writer_whose_answer_was_lost_learns_that_it_was_first(s3):
    place = s3() + "/claim"
    assert uri.create_bytes(place, b"mine")
    assert uri.create_bytes(place, b"mine")
    assert not uri.create_bytes(place, b"another's")
    assert uri.read_bytes(place) == b"mine"


@pytest.mark.parametrize("asked", [uri.list_files, uri.list_names, uri.names_in, uri.size_of])
@pytest.mark.parametrize(
    ("place", "phrase"),
    [("s33://lake/docs", "Protocol not known: s33"), ("oci://lake/docs", "ocifs")],
)
def test_a_store_that_is_unknown_or_not_installed_is_a_mistake_of_the_config(asked, place, phrase):
    with pytest.raises(ConfigError, match=f"^{place}: .*{phrase}"):
        asked(place)
