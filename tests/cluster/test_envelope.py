"""Units, parcels and outcomes as rows: what goes in comes out, however rows are joined or cut."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.envelope import ITEMS, packed, packed_units, unpacked, unpacked_units
from operators.storage.parquet import Shard
from operators.storage.receipts import Receipt
from operators.text.source import Piece, Unit
from pipelines.shards import Tally
from pipelines.work import Failure, Parcel

RECEIPT = Receipt(
    unit="u1",
    shards=(Shard("data/r/u1-00.parquet", 2, 100, "ab"),),
    quarantine="_quarantine/r/u1.parquet",
    rows_in=3,
    rows_out=2,
    tokens=9,
    truncated=1,
    bad={"text is null": 1},
    min_norm=1.0,
    max_norm=1.0,
    not_finite=0,
    seconds={"read": 0.5},
)
FAILURE = Failure("u2", "it is damaged", exit_code=1, suspect=True)


def parcel(rows: int) -> Parcel:
    table = pa.table({"id": [str(row) for row in range(rows)]})
    return Parcel("u3.p00001", 1, table, Tally(rows_in=rows, seconds={"read": 1.5}))


def test_units_survive_the_trip():
    pieces = (Piece("s3://lake/ä.jsonl", "jsonl", "v1", 10, 0, 10), Piece("b", "csv", "", 5, 1, 4))
    units = [Unit("u1", 0, pieces, -1, 15), Unit("u2", 1, pieces[:1], 3, 10, splits=True)]
    assert [unit for table in packed_units(units) for unit in unpacked_units(table)] == units


@pytest.mark.parametrize("item", [RECEIPT, FAILURE], ids=["receipt", "failure"])
def test_outcomes_survive_the_trip(item):
    assert list(unpacked(packed(item))) == [item]


@given(st.lists(st.integers(0, 50), min_size=1, max_size=6), st.integers(0, 6))
def test_rows_that_are_joined_and_cut_again_are_the_same_parcels(sizes, cut):
    sent = [parcel(rows) for rows in sizes]
    block = pa.concat_tables([packed(item) for item in sent]).combine_chunks()
    got = [item for part in (block.slice(0, cut), block.slice(cut)) for item in unpacked(part)]
    assert [item.table.to_pydict() for item in got] == [item.table.to_pydict() for item in sent]
    assert [(item.unit, item.part, item.tally) for item in got] == [
        (item.unit, item.part, item.tally) for item in sent
    ]


def test_a_parcel_without_rows_is_still_a_row_with_its_schema():
    (got,) = unpacked(packed(parcel(0)))
    assert got.table.schema == parcel(0).table.schema
    assert len(got.table) == 0


def test_a_batch_without_rows_holds_nothing():
    assert list(unpacked(ITEMS.empty_table())) == []
