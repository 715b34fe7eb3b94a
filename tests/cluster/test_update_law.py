"""Whatever happens to a source between runs, the table is what a full run would make of it."""

import json
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cluster.execute import run_pipeline
from cluster.local import LocalRunner
from cluster.progress import Progress
from cluster.runner import I, R
from operators.storage.table import Table
from operators.text.source import Unit
from pipelines.work import Job, Outcome
from tests.pipeline_builders import built, equal_tables, lines, vectors_phase, write_files
from tests.tiny_models import build_bert

FILES = ("a.jsonl", "b.jsonl", "c.jsonl")
WORDS = ("basalt is volcanic", "a fugue has voices", "granite forms below", "the sea", "z")
ids = st.sampled_from([f"d{n}" for n in range(9)])
texts = st.one_of(st.sampled_from(WORDS), st.none())
names = st.sampled_from(FILES)
GATE = {"max_deleted": 10**9, "max_bad_rows": 10**9, "sample": 0}


class Died(Exception):
    """The runner was killed."""


@dataclass(frozen=True)
class Mortal(LocalRunner):
    """A local runner that dies at its n-th piece of work, whichever kind it is."""

    left: list[int] = field(default_factory=lambda: [10**9])

    def run_units(self, job: Job, units: Sequence[Unit]) -> Generator[Outcome, None, None]:
        for outcome in super().run_units(job, units):
            yield outcome
            self._age()

    def parallel(self, work: Callable[[I], R], items: Sequence[I]) -> Iterable[R]:
        for item in items:
            done = work(item)
            self._age()
            yield done

    def _age(self) -> None:
        self.left[0] -= 1
        if self.left[0] < 0:
            raise Died


class Life(RuleBasedStateMachine):
    """Edits, deletes, files that come and go, other models, kills and rollbacks, between runs."""

    models: tuple[Path, Path]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.source: dict[str, list[tuple[str, str | None]]] = {}
        self.model, self.ran = 0, False

    @initialize(rows=st.lists(st.tuples(ids, texts), min_size=4, max_size=8))
    def begin(self, rows: list[tuple[str, str | None]]) -> None:
        self.source = {"a.jsonl": [("always", "the row that is always there"), *rows]}
        self._write("a.jsonl")
        self.run()

    @rule(name=names, id_=ids, text=texts, first=st.booleans())
    def add(self, name: str, id_: str, text: str | None, first: bool) -> None:
        rows = self.source.setdefault(name, [])
        rows.insert(0 if first and name != "a.jsonl" else len(rows), (id_, text))
        self._write(name)

    @rule(name=names, place=st.integers(1, 9), text=texts)
    def edit(self, name: str, place: int, text: str | None) -> None:
        rows = self.source.get(name, [])
        if place < len(rows):
            rows[place] = (rows[place][0], text)
            self._write(name)

    @rule(name=names, place=st.integers(1, 9))
    def delete(self, name: str, place: int) -> None:
        rows = self.source.get(name, [])
        if place < len(rows):
            del rows[place]
            self._write(name)

    @rule(name=st.sampled_from(FILES[1:]))
    def drop_file(self, name: str) -> None:
        if self.source.pop(name, None) is not None:
            (self.folder / "docs" / name).unlink()
        self.ran = False

    @rule()
    def change_model(self) -> None:
        self.model, self.ran = 1 - self.model, False

    @rule(after=st.integers(0, 12))
    def killed_run(self, after: int) -> None:
        version = Table(self._table).version()
        try:
            self._run(Mortal(left=[after]))
            self.ran = True
        except Died:
            assert Table(self._table).version() == version

    @rule(back=st.integers(1, 3))
    def roll_back(self, back: int) -> None:
        table = Table(self._table)
        if table.version() >= back:
            table.rollback(table.version() - back)
            self.ran = False

    @rule()
    def run(self) -> None:
        self._run(LocalRunner())
        self.ran = True

    @invariant()
    def equals_a_full_run(self) -> None:
        if not self.ran:
            return
        afresh = str(self.folder / "afresh")
        run_pipeline(self._pipeline(afresh), LocalRunner(), Progress(quiet=True))
        assert equal_tables(self._table, afresh), json.dumps(self.source)
        shutil.rmtree(afresh)
        self.ran = False

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @property
    def _table(self) -> str:
        return str(self.folder / "vectors")

    def _run(self, runner: LocalRunner) -> None:
        run_pipeline(self._pipeline(self._table), runner, Progress(quiet=True))

    def _pipeline(self, table: str) -> Any:
        docs = f"{self.folder}/docs"
        phase = vectors_phase(docs, table, read={"unit_bytes": 200}, gate=GATE)
        return built(self.models[self.model], vectors=phase)

    def _write(self, name: str) -> None:
        rows = [{"id": id_, "text": text} for id_, text in self.source[name]]
        write_files(f"{self.folder}/docs", {name: lines(rows)})
        self.ran = False


@pytest.mark.slow
def test_after_every_run_the_table_equals_a_full_run_of_the_source(tmp_path):
    models = (build_bert(tmp_path / "one"), build_bert(tmp_path / "two", seed=1))
    machine = type("LifeOfATable", (Life,), {"models": models})
    machine.TestCase.settings = settings(
        max_examples=15,
        stateful_step_count=12,
        deadline=None,
        suppress_health_check=[*HealthCheck],
    )
    machine.TestCase().runTest()
