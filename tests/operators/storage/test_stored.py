import numpy as np
import pyarrow as pa
import pytest

from operators.errors import ContractError
from operators.storage.stored import leaf_columns, stored, stored_table


def test_vectors_halves_and_dictionaries_become_what_every_reader_knows() -> None:
    half = pa.array(np.array([0.5, 1.0], np.float16))
    table = pa.table(
        {
            "fixed": pa.FixedSizeListArray.from_arrays(half, 1),
            "word": pa.array(["x", None]).dictionary_encode(),
            "key": pa.array([b"ab", None], pa.binary(2)),
            "large": pa.array([["a"], None], pa.large_list(pa.large_string())),
            "tensor": pa.ExtensionArray.from_storage(
                pa.fixed_shape_tensor(pa.float32(), [1]),
                pa.FixedSizeListArray.from_arrays(pa.array([1.0, 2.0], pa.float32()), 1),
            ),
        }
    )
    plain = stored_table(table)
    assert [str(kind) for kind in plain.schema.types] == [
        "list<item: float>",
        "string",
        "binary",
        "list<item: string>",
        "list<item: float>",
    ]
    assert plain.to_pydict() == {
        "fixed": [[0.5], [1.0]],
        "word": ["x", None],
        "key": [b"ab", None],
        "large": [["a"], None],
        "tensor": [[1.0], [2.0]],
    }


def test_storing_what_is_stored_changes_nothing_and_copies_nothing() -> None:
    table = pa.table({"v": pa.array([[1.0]], pa.list_(pa.float32())), "id": ["a"]})
    again = stored_table(table)
    assert again.schema.equals(table.schema, check_metadata=True)
    assert (
        again["v"].chunk(0).values.buffers()[1].address
        == table["v"].chunk(0).values.buffers()[1].address
    )


@pytest.mark.parametrize(
    "kind", [pa.uint8(), pa.list_(pa.uint16()), pa.time32("s"), pa.duration("s")]
)
def test_a_type_that_delta_has_not_is_refused_by_name(kind: pa.DataType) -> None:
    with pytest.raises(ContractError, match="column 'odd'"):
        stored(pa.schema([("odd", kind)]))


def test_leaves_are_named_by_their_parquet_path() -> None:
    schema = pa.schema(
        {
            "id": pa.string(),
            "v": pa.list_(pa.float32()),
            "codes": pa.list_(pa.int8()),
            "s": pa.struct({"t": pa.string(), "f": pa.float64()}),
        }
    )
    assert leaf_columns(schema) == (["id", "codes.list.element", "s.t"], ["v.list.element", "s.f"])
