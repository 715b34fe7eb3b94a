"""Two runs of one table at once: one wins, and the other says so or finds its own version."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from cluster.execute import Result, run_pipeline
from cluster.local import LocalRunner
from cluster.progress import Progress
from operators.errors import ConflictError, SourceError, TableError
from operators.storage import log
from operators.storage.table import Table
from operators.text.source import Source
from pipelines.spec import Asked, Gate, Phase, Pipeline, Step, Write
from tests.absent import Without
from tests.pipeline_builders import UNIT_BYTES, good_rows, ids_of, lineage_of, lines, write_files
from tests.poison import Raise

NAMES = [f"d{n:04d}" for n in range(40)]


@dataclass(frozen=True)
class Overtaken(LocalRunner):
    """A local runner during whose start another run of the table begins and ends."""

    name: ClassVar[str] = "overtaken"
    meanwhile: Callable[[], object] = print

    @contextmanager
    def started(self) -> Iterator[None]:
        self.meanwhile()
        yield


def texts(base: str, word: str, gate: Gate | None = None) -> Pipeline:
    """The texts of `docs`; another word is another recipe."""
    source = Source(uri=f"{base}/docs", unit_bytes=UNIT_BYTES)
    write = Write(f"{base}/texts", gate or Gate())
    return Pipeline((Phase("texts", source, (Step(Raise(word)),), write),))


def run(pipeline: Pipeline, runner: LocalRunner | None = None, nonce: str = "") -> Result:
    return run_pipeline(pipeline, runner or LocalRunner(), Progress(quiet=True), Asked(nonce))[-1]


@pytest.fixture
def base(store):
    write_files(f"{store}/docs", {"a.jsonl": lines(good_rows(0, 40))})
    return store


@pytest.mark.parametrize("before", [[], ["first"]], ids=["new table", "old table"])
def test_a_run_that_was_overtaken_by_another_recipe_stops_with_a_conflict(
    base, before: Sequence[str]
):
    for word in before:
        run(texts(base, word))
    other = Overtaken(meanwhile=lambda: run(texts(base, "lime")))
    with pytest.raises(ConflictError) as refused:
        run(texts(base, "lemon"), other)
    assert refused.value.exit_code == 5
    recipe = lineage_of(f"{base}/texts")["recipe"]
    assert run(texts(base, "lime")).counts is None
    assert lineage_of(f"{base}/texts")["recipe"] == recipe
    assert ids_of(f"{base}/texts") == NAMES

    again = run(texts(base, "lemon"))
    assert again.version == len(before) + 1
    assert lineage_of(f"{base}/texts")["parent"] == len(before)


def test_a_run_that_was_overtaken_by_its_own_twin_finds_the_version_there(base):
    twin = Overtaken(meanwhile=lambda: run(texts(base, "lemon")))
    result = run(texts(base, "lemon"), twin)
    assert (result.version, Table(f"{base}/texts").version()) == (0, 0)
    assert result.counts is not None
    assert result.counts.rows_out == 40
    assert ids_of(f"{base}/texts") == NAMES


def test_a_run_overtaken_by_a_rollback_stops_with_a_conflict(base):
    run(texts(base, "first"))
    run(texts(base, "second"))
    other = Overtaken(meanwhile=lambda: Table(f"{base}/texts").rollback(0))
    with pytest.raises(ConflictError):
        run(texts(base, "lemon"), other)
    assert Table(f"{base}/texts").version() == 2


def test_a_finished_run_is_repeated_only_when_it_is_asked_for(base):
    assert run(texts(base, "lemon")).version == 0
    assert run(texts(base, "lemon")).counts is None
    again = run(texts(base, "lemon"), nonce="once more")
    assert again.version == 1
    assert again.counts is not None
    assert (again.reused_units, ids_of(f"{base}/texts")) == (0, NAMES)


def test_a_source_that_changes_during_the_run_fails_its_units_and_nothing_is_published(base):
    changed = [{"id": "new", "text": "other text"}, *good_rows(1, 40)]
    other = Overtaken(meanwhile=lambda: write_files(f"{base}/docs", {"a.jsonl": lines(changed)}))
    with pytest.raises(TableError, match="changed after it was listed") as refused:
        run(texts(base, "lemon"), other)
    assert refused.value.exit_code == 1
    assert Table(f"{base}/texts").version() == -1
    assert run(texts(base, "lemon")).version == 0
    assert ids_of(f"{base}/texts") == sorted([*NAMES[1:], "new"])


def two_files(folder: Path) -> Path:
    parts = {"a.jsonl": lines(good_rows(0, 20)), "b.jsonl": lines(good_rows(20, 40))}
    return Path(write_files(f"{folder}/docs", parts)) / "b.jsonl"


def test_units_that_a_store_failed_are_tried_once_more_after_the_others(tmp_path):
    absent = Without(file=two_files(tmp_path), times=1)
    result = run(texts(str(tmp_path), "lemon"), absent)
    assert (result.version, ids_of(result.table)) == (0, NAMES)
    assert absent.worked[0] > absent.worked[1] > 0
    assert len(absent.worked) == 2


def test_a_store_that_fails_to_the_end_is_a_failure_to_repeat_and_no_refusal(tmp_path):
    absent = Without(file=two_files(tmp_path))
    with pytest.raises(
        TableError, match=r"could not be read or written \(the first: .*b\.jsonl"
    ) as failed:
        run(texts(str(tmp_path), "lemon"), absent)
    assert failed.value.exit_code == 1
    assert Table(f"{tmp_path}/texts").version() == -1
    again = run(texts(str(tmp_path), "lemon"))
    assert again.reused_units > 0
    assert ids_of(again.table) == NAMES


@pytest.mark.parametrize("how", ["allowed", "forced"])
def test_what_a_store_fails_is_left_out_where_somebody_said_so(tmp_path, how):
    absent = Without(file=two_files(tmp_path))
    lenient = Gate(max_bad_units=9 if how == "allowed" else 0)
    asked = Asked(forced_by="me" if how == "forced" else "", forced_because="now")
    pipeline = texts(str(tmp_path), "lemon", lenient)
    (result,) = run_pipeline(pipeline, absent, Progress(quiet=True), asked)
    assert ids_of(result.table) == NAMES[:20]


def test_rows_that_another_writer_deleted_are_made_again(base):
    table = run(texts(base, "lemon")).table
    log.handle(table).delete("id = 'd0003'")
    assert sum(file.rows for file in Table(table).files()) == 39
    assert run(texts(base, "lemon")).version == 2
    assert ids_of(table) == NAMES


def test_without_a_source_nothing_is_written(tmp_path):
    with pytest.raises(SourceError):
        run(texts(str(tmp_path), "lemon"))
    assert list(Path(tmp_path).iterdir()) == []
