import io
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.errors import SourceError
from operators.storage import uri as storage
from operators.text.lines import piece_lines, split_lines
from operators.text.source import Piece


@settings(deadline=None)
@given(
    data=st.lists(st.sampled_from([b"a", b"\n", b"\r", b"bc", b"\n\n"]), max_size=30),
    chunk=st.integers(1, 9),
    longest=st.integers(0, 4),
)
def test_lines_do_not_depend_on_how_the_stream_is_read(data, chunk, longest) -> None:
    whole = b"".join(data)
    wanted = whole.split(b"\n") if whole else []
    wanted = wanted[:-1] if wanted and not wanted[-1] else wanted
    lines = list(split_lines(io.BytesIO(whole), 0, longest, chunk))
    assert [line.size for line in lines] == [len(line) for line in wanted]
    assert [whole[line.offset : line.offset + line.size] for line in lines] == wanted
    assert [line.data for line in lines] == [
        line if len(line) <= longest else None for line in wanted
    ]


@settings(deadline=None)
@given(data=st.binary(max_size=60), cuts=st.lists(st.integers(0, 60), max_size=5))
def test_each_line_belongs_to_the_one_range_its_first_byte_lies_in(tmp_path_factory, data, cuts):
    path = tmp_path_factory.mktemp("lines") / "a.jsonl"
    path.write_bytes(data)
    uri, size = str(path), len(data)
    version = storage.file_at(uri).version
    marks = sorted({0, size, *(cut for cut in cuts if cut < size)})
    parts = [
        line
        for start, stop in pairwise(marks)
        for line in piece_lines(Piece(uri, "jsonl", version, size, start, stop), 100)
    ]
    assert parts == list(piece_lines(Piece(uri, "jsonl", version, size, 0, size), 100))


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbfid,text\n")
    (line,) = piece_lines(Piece(str(path), "csv", "", 11, 0, 11), 100)
    assert line.data == b"id,text"
    assert line.size == 10


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst"])
def test_what_is_not_compressed_as_its_name_says_is_one_sentence(tmp_path, name) -> None:
    (tmp_path / name).write_bytes(b'{"id": "a"}\n')
    with pytest.raises(SourceError, match="the file is damaged or cut short"):
        list(piece_lines(Piece(str(tmp_path / name), "jsonl", "", 12, 0, 12), 100))
