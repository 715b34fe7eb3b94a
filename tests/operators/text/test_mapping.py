import pyarrow as pa
import pytest

from operators import columns
from operators.errors import ConfigError, ContractError
from operators.text.mapping import source_schema
from operators.text.source import Source, with_defaults

FILE = pa.schema([("id", pa.int64()), ("text", pa.large_string()), ("score", pa.float16())])


def source(**fields: object) -> Source:
    return with_defaults(Source(uri="x", **fields), "parquet")  # type: ignore[arg-type]  # as a config does


def test_a_missing_column_names_those_that_are_there() -> None:
    with pytest.raises(ContractError, match=r"needs column 'body'.*only id, text, score"):
        source_schema(source(text="body"), FILE)


def test_ids_are_strings_or_integers_and_texts_strings() -> None:
    assert source_schema(source(), FILE).names[:3] == ["id", "text", "content_hash"]
    with pytest.raises(ContractError, match=r"'score' as string or integer.*score as halffloat"):
        source_schema(source(id="score"), FILE)
    with pytest.raises(ContractError, match=r"'id' as string,.*id as int64"):
        source_schema(source(text="id"), FILE)


def test_a_type_that_delta_lacks_cannot_be_kept() -> None:
    with pytest.raises(ContractError, match="a type that a Delta table can hold"):
        source_schema(source(keep=("score",)), FILE)


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        (pa.timestamp("ns", "Europe/Berlin"), pa.timestamp("us", "UTC")),
        (pa.dictionary(pa.int8(), pa.large_string()), pa.string()),
        (pa.large_list(pa.date64()), pa.list_(pa.date32())),
        (pa.large_binary(), pa.binary()),
        (pa.decimal128(9, 2), pa.decimal128(9, 2)),
    ],
)
def test_kept_types_are_those_that_delta_has(found, kept) -> None:
    file = pa.schema([("id", pa.string()), ("text", pa.string()), ("k", found)])
    assert source_schema(source(keep="k"), file).field("k").type == kept


@pytest.mark.parametrize("keep", [["text"], ["score", "score"], ["source_row"]])
def test_a_kept_column_must_have_a_name_of_its_own(keep) -> None:
    with pytest.raises(ConfigError, match="keep: column"):
        source_schema(source(keep=keep), FILE.append(pa.field("source_row", pa.int64())))


def test_what_decodes_a_vector_stays_with_it() -> None:
    file = pa.schema([("id", pa.string()), ("text", pa.string()), columns.embedding(8)])
    kept = source_schema(source(keep="embedding"), file).field("embedding")
    assert columns.dim_of(kept) == 8
