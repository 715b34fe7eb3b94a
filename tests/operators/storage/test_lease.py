"""A lease: one holder at a time, given back, lapsed or taken from the dead; no clock is trusted."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.errors import ConflictError, SourceError
from operators.storage import uri as store
from operators.storage.lease import LEASES, Holder, Lease, held, lapses_in, take
from operators.storage.table import Table
from operators.storage.vacuum import vacuum
from tests.pipeline_builders import good_rows, ids_of, lines

ELSEWHERE = "another machine"
PROJECT = Path(__file__).parents[3]


def elsewhere(**changes: object) -> Holder:
    """A holder whose process this machine knows nothing of."""
    return replace(Holder.this_process(), machine=ELSEWHERE, **changes)


def names(table: str) -> list[str]:
    return [name for name, _ in store.list_ages(store.join(table, LEASES)) if name]


def times(table: str) -> list[float]:
    """When the store says that each lease was written."""
    return [at for name, at in store.list_ages(store.join(table, LEASES)) if name]


def age(table: str, seconds: float) -> None:
    """Let a lease on disk be as old as if it had been renewed so long ago."""
    for path in Path(table, LEASES).glob("*.json"):
        then = path.stat().st_mtime - seconds
        os.utime(path, (then, then))


def test_a_second_taker_hears_who_works_for_which_date_since_when_and_until_when(store):
    first = elsewhere(host="mill-7", pid=123, date="2026-11-22T03:00:00Z")
    take(store, first)
    with pytest.raises(ConflictError) as refused:
        take(store, Holder.this_process())
    said = str(refused.value)
    assert refused.value.exit_code == 5
    assert f"table {store}: another run is at work: process 123 on mill-7" in said
    assert f"for 2026-11-22T03:00:00Z, since {first.since}; its lease lapses at 20" in said


def test_a_lease_tells_only_who_asks_for_its_date_when_it_lapses(store):
    date, other = "2026-11-22T03:00:00Z", "2026-11-23T03:00:00Z"
    assert lapses_in(store, date) is None
    take(store, elsewhere(date=date))
    assert lapses_in(store, other) is None
    left = lapses_in(store, date)
    assert left is not None
    assert 0 < left <= 601
    take(f"{store}/dead", elsewhere(date=date, ttl=0.0))
    assert lapses_in(f"{store}/dead", date) == 0


def test_a_lease_that_was_given_back_is_free_and_leaves_nothing(store):
    for _ in range(2):
        with held(store, elsewhere()):
            assert len(names(store)) == 1
        assert names(store) == []
    assert not Path(store).exists()


def test_a_lease_is_given_back_when_the_work_fails(store):
    with pytest.raises(SystemExit), held(store, elsewhere()):
        raise SystemExit(143)
    take(store, elsewhere())


def test_of_many_takers_at_once_one_wins(store):
    barrier = threading.Barrier(8)

    def race(number: int) -> bool:
        barrier.wait()
        try:
            take(store, elsewhere(pid=number))
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(race, range(8))) == 1


@pytest.mark.parametrize("hours", [-24, 24])
def test_a_holder_whose_clock_is_a_day_off_lapses_neither_sooner_nor_later(store, hours):
    day = time.gmtime(time.time() + hours * 3600)
    wrong = elsewhere(since=time.strftime("%Y-%m-%dT%H:%M:%SZ", day))
    living, dead = f"{store}/living", f"{store}/dead"
    take(living, wrong)
    with pytest.raises(ConflictError):
        take(living, elsewhere())
    take(dead, replace(wrong, ttl=1.0))
    time.sleep(2.1)  # an object store tells time in whole seconds
    take(dead, elsewhere())


@pytest.mark.parametrize("hours", [-24, 24])
def test_a_taker_whose_clock_is_a_day_off_judges_by_the_clock_of_the_store(
    tmp_path, monkeypatch, hours
):
    table, real = str(tmp_path / "table"), time.time
    take(table, elsewhere())
    monkeypatch.setattr(time, "time", lambda: real() + hours * 3600)
    with pytest.raises(ConflictError):
        take(table, elsewhere())
    age(table, 700)
    take(table, elsewhere())


def test_renewing_begins_the_time_anew(store):
    lease = take(store, elsewhere())
    (before,) = times(store)
    time.sleep(1.1)
    assert lease.renew()
    (after,) = times(store)
    assert after > before


def test_the_lease_of_a_run_that_lives_is_renewed_by_itself(tmp_path):
    table = str(tmp_path / "table")
    with held(table, elsewhere(ttl=0.3)):
        first, patience = times(table), time.monotonic() + 300
        while times(table) == first and time.monotonic() < patience:
            time.sleep(0.05)
        assert times(table) != first


def test_who_lost_the_lease_neither_renews_nor_gives_back_that_of_another(tmp_path):
    table = str(tmp_path / "table")
    slow = take(table, elsewhere())
    age(table, 700)
    quick = take(table, elsewhere())
    assert not slow.renew()
    slow.release()
    assert quick.renew()
    assert names(table) == [quick.uri.rpartition("/")[2]]


def test_the_lease_of_a_killed_process_of_this_machine_is_taken_over_at_once(store):
    script = (
        "import sys, time; from operators.storage.lease import Holder, take\n"
        "take(sys.argv[1], Holder.this_process()); print('held', flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", script, store]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ConflictError, match=f"process {holder.pid} on "):
            take(store, Holder.this_process())
        holder.kill()
        for _ in range(1000):  # killed, and not yet waited for: a process that only has a number
            if Path(f"/proc/{holder.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                break
            time.sleep(0.01)
        take(store, Holder.this_process())


def test_another_process_of_the_same_number_is_not_taken_for_the_holder(store):
    take(store, replace(Holder.this_process(), born="12"))
    take(store, Holder.this_process())


def test_what_is_no_lease_holds_nobody_up(tmp_path):
    table = str(tmp_path / "table")
    lease = Lease(table, 7, Holder())
    for content in (b"", b"[]", b'{"pid": '):
        store.write_bytes(lease.uri, content)
        assert take(table, elsewhere()).number == 8
        store.delete([store.join(table, LEASES, "000000000008.json")])


def test_a_lease_of_a_later_version_with_more_to_say_is_understood(tmp_path):
    table = str(tmp_path / "table")
    said = {**asdict(elsewhere(host="mill-8")), "colour": "red"}
    store.write_bytes(Lease(table, 1, Holder()).uri, json.dumps(said).encode())
    with pytest.raises(ConflictError, match="mill-8"):
        take(table, elsewhere())


def test_a_place_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "table").write_text("a file")
    with pytest.raises(SourceError, match="table"):
        take(str(tmp_path / "table"), elsewhere())


def test_a_lease_is_no_part_of_the_table_and_outlives_its_vacuum(tmp_path):
    from cluster.cli import status

    docs, table, config = tmp_path / "docs.jsonl", str(tmp_path / "table"), tmp_path / "c.yaml"
    docs.write_bytes(lines(good_rows(0, 3)))
    phase = {"read": {"uri": str(docs)}, "write": {"table": table}}
    config.write_text(json.dumps({"phases": {"rows": phase}}))
    lease = take(table, elsewhere())
    Table(table).check_writable()
    assert status(["run", str(config), "--no-lease"]) == 0
    assert ids_of(table) == ["d0000", "d0001", "d0002"]
    vacuum(table, retention_hours=0, dry_run=False)
    assert lease.renew()


STEPS = st.tuples(st.sampled_from(["take", "renew", "release", "stall"]), st.integers(0, 2))


@settings(max_examples=40)
@given(st.lists(STEPS, max_size=12))
def test_never_do_two_hold_a_lease_that_has_not_lapsed(steps):
    with tempfile.TemporaryDirectory() as folder:
        leases: dict[int, Lease] = {}
        holders: set[int] = set()
        for step, who in steps:
            if step == "stall":
                age(folder, 700)
                holders.clear()
            elif step == "take":
                with suppress(ConflictError):
                    leases[who] = take(folder, elsewhere())
                    assert not holders
                    holders.add(who)
                assert holders, "free, and yet refused"
            elif who in leases and step == "renew":
                if leases[who].renew():
                    assert holders <= {who}
                    holders.add(who)
            elif who in leases:
                leases.pop(who).release()
                holders.discard(who)
