import pytest

from operators.text.source import Source
from tests import corpora

BAD = {
    b"\xff{}": "not UTF-8: byte 0 of the line",
    b'{"id": "a", "text": ': "not valid JSON",
    b"[" * 100_000: "not valid JSON: nested too deeply",
    b"[1]": "not a JSON object: a list",
    b"null": "not a JSON object: null",
    b'{"id": "a", "text": 5}': "not a string: column 'text' is a number",
    b'{"id": "a", "text": {"b": 1}}': "not a string: column 'text' is an object",
    b'{"id": true, "text": "x"}': "not a string: column 'id' is a boolean",
    b'{"id": 1.5, "text": "x"}': "not a string: column 'id' is a number",
    b'{"id": "a", "text": "\\ud800"}': "invalid surrogate: column 'text'",
    b'{"id": "a\\udc00", "text": "x"}': "invalid surrogate: column 'id'",
    b'{"text": "x"}': "id is null",
    b'{"id": "a"}': "text is null",
    b'{"id": " ", "text": "x"}': "id is empty",
    b'{"id": "a", "text": "\\u2003\\n"}': "text is empty",
    b'{"id": "a", "text": "' + b"x" * 2_000_000 + b'"}': "line is too long: 2000023 bytes",
}
GOOD = b'{"id": "good", "text": "fine"}'


@pytest.mark.parametrize(("line", "reason"), BAD.items(), ids=BAD.values())
def test_a_bad_line_is_named_once_and_costs_no_other(tmp_path, line, reason) -> None:
    corpora.put(str(tmp_path), a__jsonl=b"\n".join([GOOD, line, b"", GOOD + b"\r", b"  ", GOOD]))
    read = corpora.read(Source(uri=str(tmp_path), max_text_bytes=1000))
    errors = read["error"].to_pylist()
    assert errors[1].startswith(reason)
    assert (errors[0], *errors[2:]) == (None, None, None)
    assert read["text"].to_pylist() == ["fine", None, "fine", "fine"]
    assert read["source_row"].to_pylist()[1] == len(GOOD) + 1


def test_a_bad_text_keeps_the_id_that_names_its_row(tmp_path) -> None:
    corpora.put(str(tmp_path), a__jsonl=b'{"id": 12, "text": 5, "k": 1}\n' + GOOD)
    read = corpora.read(Source(uri=str(tmp_path), keep=("k",)))
    assert read["id"].to_pylist() == ["12", "good"]
    assert read["k"].to_pylist() == [None, None]


def test_kept_values_that_are_no_strings_become_their_json(tmp_path) -> None:
    line = '{"id": "a", "text": "x", "k": [1, "é", null]}\n{"id": "b", "text": "x", "k": "s"}'
    corpora.put(str(tmp_path), a__jsonl=line.encode())
    read = corpora.read(Source(uri=str(tmp_path), keep=("k",)))
    assert read["k"].to_pylist() == ['[1, "é", null]', "s"]
