import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.errors import SourceError
from operators.storage import uri as storage
from operators.text.read_parquet import read_footer, read_rows
from operators.text.source import Piece
from tests import corpora


@settings(deadline=None)
@given(group=st.integers(1, 12), bounds=st.tuples(st.integers(0, 10), st.integers(0, 10)))
def test_a_row_range_is_that_slice_of_the_file(tmp_path_factory, group, bounds) -> None:
    table = pa.table({"a": range(10), "b": list("abcdefghij")})
    folder = corpora.put(
        str(tmp_path_factory.mktemp("p")), a__parquet=corpora.parquet(table, group)
    )
    file = storage.file_at(f"{folder}/a.parquet")
    start, stop = min(bounds), max(bounds)
    piece = Piece(file.uri, "parquet", file.version, file.size, start, stop)
    assert read_rows(piece, ["b"]).equals(table.select(["b"]).slice(start, stop - start))
    footer = read_footer(file, ["b"])
    assert sum(footer.rows) == 10
    assert sum(footer.sizes) < sum(read_footer(file, ["a", "b"]).sizes)


def test_a_footer_longer_than_the_first_read_is_read_whole(store) -> None:
    table = pa.table({"id": [str(number) for number in range(3000)]})
    storage.write_bytes(f"{store}/a.parquet", corpora.parquet(table, 1))
    footer = read_footer(storage.file_at(f"{store}/a.parquet"), ["id"])
    assert footer.rows == (1,) * 3000


@pytest.mark.parametrize("data", [b"", b"PAR1", b"no parquet at all", b"\0" * 20 + b"PAR1"])
def test_what_is_no_parquet_file_is_one_sentence(tmp_path, data) -> None:
    corpora.put(str(tmp_path), a__parquet=data)
    with pytest.raises(SourceError, match=r"damaged|not a Parquet file"):
        read_footer(storage.file_at(str(tmp_path / "a.parquet")), ["id"])
