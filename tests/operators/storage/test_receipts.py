import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from operators.errors import TableError
from operators.storage import uri
from operators.storage.parquet import Shard
from operators.storage.receipts import Receipt, RunFolder, begun_in, runs

SHARD = Shard("data/r1/u-00.parquet", 3, 100, "ab" * 16)


def a_receipt(unit: str = "u1", tokens: int = 7) -> Receipt:
    return Receipt(unit, (SHARD,), "", 4, 3, tokens, 1, {"empty": 1}, 1.0, 1.0, 0, {"encode": 0.25})


def test_a_receipt_survives_its_json() -> None:
    receipt = replace(a_receipt(), parts=2, shards=(SHARD, SHARD))
    assert Receipt.from_json(receipt.to_json()) == receipt


def test_a_receipt_of_an_earlier_release_is_read_and_has_nothing_to_tell_of_its_worker() -> None:
    fields = json.loads(a_receipt().to_json())
    for name in ("measured", "retries", "worker"):
        del fields[name]
    found = Receipt.from_json(json.dumps(fields).encode())
    assert found == a_receipt()
    assert (found.measured, found.retries, found.worker) == ({}, 0, "")


def test_a_norm_that_json_has_not_is_refused_when_written() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        replace(a_receipt(), max_norm=float("nan")).to_json()


def test_the_first_receipt_of_a_unit_wins_among_sixteen_writers(store: str) -> None:
    folder = RunFolder(store, "r1")
    with ThreadPoolExecutor(16) as pool:
        attempts = [a_receipt(tokens=n) for n in range(16)]
        winners = set(pool.map(lambda r: folder.write_receipt(r).to_json(), attempts))
    assert winners == {folder.receipts()["u1"].to_json()}


def test_receipts_come_back_by_unit_and_amended_ones_stand_in(store: str) -> None:
    folder = RunFolder(store, "r1")
    assert folder.receipts() == {}
    for unit in ("b.p00001", "a", "b"):
        folder.write_receipt(a_receipt(unit))
    folder.amend(a_receipt("a", tokens=99))
    found = folder.receipts()
    assert list(found) == ["a", "b", "b.p00001"]
    assert [receipt.tokens for receipt in found.values()] == [99, 7, 7]
    assert folder.has_receipt("b")
    assert not folder.has_receipt("c")


def test_attempts_are_counted_by_the_stage_begun_most_often(store: str) -> None:
    folder = RunFolder(store, "r1")
    assert folder.attempts() == {}
    assert [folder.mark_attempt("u-1", "read") for _ in range(3)] == [0, 1, 2]
    assert folder.mark_attempt("u-1", "encode-2") == 0
    assert folder.mark_attempt("u-2", "encode-2") == 0
    assert folder.attempts() == {"u-1": 3, "u-2": 1}
    stages = [("u-1", "encode-2"), ("u-1", "read"), ("u-2", "encode-2")]
    assert sorted({begun_in(mark) for mark in folder.marks()}) == stages
    folder.take_back(mark for mark in folder.marks() if begun_in(mark) != ("u-1", "read"))
    assert folder.attempts() == {"u-1": 3}


def test_what_a_killed_writer_left_half_written_is_no_receipt(store: str) -> None:
    folder = RunFolder(store, "run")
    folder.write_receipt(a_receipt("u1"))
    uri.write_bytes(folder.path("receipts", "u2.json.946.461ed980.part"), b"")
    uri.write_bytes(folder.path("amended", "u2.json.946.461ed980.part"), b'{"un')
    assert folder.receipts() == {"u1": a_receipt("u1")}


def test_a_broken_receipt_is_named(store: str) -> None:
    folder = RunFolder(store, "r1")
    uri.write_bytes(folder.path("receipts", "u1.json"), b'{"unit": "u1"}')
    with pytest.raises(TableError, match=r"receipts/u1\.json: not a receipt"):
        folder.receipts()


def test_the_registry_knows_a_run_and_how_it_ended(store: str) -> None:
    folder = RunFolder(store, "r1")
    assert folder.entry() is None
    assert runs(store) == []
    folder.register({"parent": 3})
    assert folder.entry() == {"status": "running", "parent": 3}
    folder.finish("committed")
    assert folder.entry() == {"status": "committed", "parent": 3}
    assert runs(store) == ["r1"]
