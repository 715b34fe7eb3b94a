import pytest

from operators.errors import ContractError, SourceError
from operators.text.source import Source
from tests import corpora

HEAD = b"text,extra,id\r\n"
BAD = {
    b"x,1": "wrong number of fields: 2 where the header has 3; if values hold line breaks, set",
    b"x,1,a,b": "wrong number of fields: 4 where the header has 3",
    b'"x,1,a': "not valid CSV: unexpected end of data; if values hold line breaks, set",
    b"\xff,1,a": "not UTF-8: column 'text'",
    b",1,a": "text is empty",
    b"x,1,": "id is empty",
    b"x" * 2_000_000: "line is too long: 2000000 bytes",
}


@pytest.mark.parametrize(("line", "reason"), BAD.items(), ids=BAD.values())
@pytest.mark.parametrize("unit_bytes", [5, 1 << 20])
def test_a_bad_line_is_named_once_and_costs_no_other(tmp_path, line, reason, unit_bytes) -> None:
    unit_bytes = max(unit_bytes, len(line) // 10)
    corpora.put(str(tmp_path), a__csv=HEAD + b"fine,1,a\r\n\r\n" + line + b"\nfine,1,b\n")
    read = corpora.read(Source(uri=str(tmp_path), max_text_bytes=1000, unit_bytes=unit_bytes))
    before, error, after = read["error"].to_pylist()
    assert error.startswith(reason)
    assert before is None
    assert after is None
    assert read["text"].to_pylist() == ["fine", None, "fine"]


def test_files_may_order_their_columns_as_they_like(tmp_path) -> None:
    corpora.put(str(tmp_path), a__csv=HEAD + b"x,1,a\n", b__csv=b"id,text\nb,y\n")
    read = corpora.read(Source(uri=str(tmp_path)))
    assert read["id"].to_pylist() == ["a", "b"]
    assert read["text"].to_pylist() == ["x", "y"]


def test_a_file_without_the_column_is_named(tmp_path) -> None:
    corpora.put(str(tmp_path), a__csv=HEAD + b"x,1,a\n", b__csv=b"id,body\nb,y\n")
    with pytest.raises(ContractError, match=r"'text' as string.*only id, body in .*b\.csv"):
        corpora.read(Source(uri=str(tmp_path)))


def test_a_header_that_names_a_column_twice_is_refused(tmp_path) -> None:
    corpora.put(str(tmp_path), a__csv=b"id,text,id\na,b,c\n")
    with pytest.raises(SourceError, match="names a column twice"):
        corpora.read(Source(uri=str(tmp_path)))


def test_an_open_quote_does_not_swallow_what_a_line_can_hold(tmp_path) -> None:
    rows = b"".join(b"r%d,fine\n" % number for number in range(150_000))
    corpora.put(str(tmp_path), a__csv=b'id,text\nbad,"open\n' + rows)
    source = Source(uri=str(tmp_path), newlines_in_values=True, max_text_bytes=1000)
    read = corpora.read(source)
    errors = read["error"].drop_null().to_pylist()
    assert [error.partition(":")[0] for error in errors] == ["not valid CSV"] * len(errors)
    assert len(read) > 40_000
    assert read["id"].to_pylist()[-1] == "r149999"
