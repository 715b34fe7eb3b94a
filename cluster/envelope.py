"""Units, parcels and outcomes as rows that Ray Data carries."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import pyarrow as pa

from operators.storage.receipts import Receipt
from operators.text.source import Piece, Unit
from pipelines.shards import Tally
from pipelines.work import Failure, Outcome, Parcel

ITEMS = pa.schema(
    (
        pa.field("kind", pa.string()),
        pa.field("facts", pa.large_binary()),
        pa.field("table", pa.large_binary()),
    )
)


def packed_units(units: Sequence[Unit]) -> list[pa.Table]:
    """One table of one row for each unit."""
    return [_row("unit", json.dumps(asdict(unit)).encode()) for unit in units]


def unpacked_units(batch: pa.Table) -> Iterator[Unit]:
    """The units of a batch."""
    for facts in batch["facts"]:
        fields = json.loads(facts.as_py())
        pieces = tuple(Piece(**piece) for piece in fields.pop("pieces"))
        yield Unit(**fields, pieces=pieces)


def packed(item: Parcel | Outcome) -> pa.Table:
    """One row that holds a parcel, a receipt or a failure."""
    if isinstance(item, Receipt):
        return _row("receipt", item.to_json())
    if isinstance(item, Failure):
        return _row("failure", json.dumps(asdict(item)).encode())
    facts = {"unit": item.unit, "part": item.part, "tally": asdict(item.tally)}
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, item.table.schema) as stream:
        stream.write_table(item.table)
    return _row("parcel", json.dumps(facts).encode(), sink.getvalue())


def unpacked(batch: pa.Table) -> Iterator[Parcel | Outcome]:
    """The items of a batch; tables are views on the batch's memory."""
    for kind, facts, data in zip(*(batch[name] for name in ITEMS.names), strict=True):
        yield _item(kind.as_py(), facts.as_py(), data)


def _item(kind: str, facts: bytes, data: pa.LargeBinaryScalar) -> Parcel | Outcome:
    if kind == "receipt":
        return Receipt.from_json(facts)
    fields = json.loads(facts)
    if kind == "failure":
        return Failure(**fields)
    table = pa.ipc.open_stream(data.as_buffer()).read_all()
    return Parcel(fields["unit"], fields["part"], table, Tally(**fields["tally"]))


def _row(kind: str, facts: bytes, data: pa.Buffer | None = None) -> pa.Table:
    held = pa.array([None], pa.large_binary()) if data is None else _one_binary(data)
    return pa.table([pa.array([kind]), pa.array([facts], pa.large_binary()), held], schema=ITEMS)


def _one_binary(data: pa.Buffer) -> pa.Array:
    """A column of one value, without a copy of it."""
    offsets = pa.py_buffer(_int64s(0, data.size))
    return pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, data])


def _int64s(*values: int) -> bytes:
    return b"".join(value.to_bytes(8, "little", signed=True) for value in values)
