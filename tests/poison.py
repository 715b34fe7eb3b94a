"""Operators that a single row makes fail or die, and a pipeline of them that needs no model."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc
from pydantic.dataclasses import dataclass

from operators import columns
from operators.base import STRICT, Resources, Transform
from operators.contract import require
from operators.errors import DeviceError, ModelError
from operators.text.source import Source
from pipelines.spec import Gate, Phase, Pipeline, Step, Write

ON = Resources()
DEADLY, ENDLESS = "arsenic", "molasses"
_UNIT_BYTES = 500
"""Some six rows: halved three times, and each half that dies costs a process."""


@dataclass(frozen=True, config=STRICT)
class _OnWord:
    """What these operators share: a word that sets them off, and rows that stay as they are."""

    word: str
    version: ClassVar[int] = 1

    def bind(self, schema: pa.Schema) -> pa.Schema:
        require("poison", schema, columns.TEXT)
        return schema


@dataclass(frozen=True, config=STRICT)
class KillTask(_OnWord):
    """Kill the process of a step without a model on a text that holds `word`."""

    name: ClassVar[str] = "kill-task"
    loads_model: ClassVar[bool] = False

    @contextmanager
    def open(self, on: Resources = ON) -> Iterator[Transform]:
        yield partial(_kill, self.word)


@dataclass(frozen=True, config=STRICT)
class KillModel(_OnWord):
    """Kill the process that would hold a model on a text that holds `word`."""

    name: ClassVar[str] = "kill-model"
    loads_model: ClassVar[bool] = True

    @contextmanager
    def open(self, on: Resources = ON) -> Iterator[Transform]:
        yield partial(_kill, self.word)


@dataclass(frozen=True, config=STRICT)
class Raise(_OnWord):
    """Raise on a text that holds `word`."""

    name: ClassVar[str] = "raise"
    loads_model: ClassVar[bool] = False

    @contextmanager
    def open(self, on: Resources = ON) -> Iterator[Transform]:
        yield partial(_raise, self.word)


@dataclass(frozen=True, config=STRICT)
class LoseDevice(_OnWord):
    """Lose the device of the process on a text that holds `word`."""

    name: ClassVar[str] = "lose-device"
    loads_model: ClassVar[bool] = False

    @contextmanager
    def open(self, on: Resources = ON) -> Iterator[Transform]:
        yield partial(_lose, self.word)


@dataclass(frozen=True, config=STRICT)
class Hang(_OnWord):
    """Find no end for a text that holds `word`."""

    name: ClassVar[str] = "hang"
    loads_model: ClassVar[bool] = True

    @contextmanager
    def open(self, on: Resources = ON) -> Iterator[Transform]:
        yield partial(_hang, self.word)


@dataclass(frozen=True, config=STRICT)
class Shut(_OnWord):
    """Do not open while there is a file named `word`; rows stay as they are."""

    name: ClassVar[str] = "shut"
    loads_model: ClassVar[bool] = True

    @contextmanager
    def open(self, on: Resources = ON) -> Iterator[Transform]:
        if Path(self.word).exists():
            raise ModelError("m", "it is shut")
        yield lambda table: table


def poisoned(docs: str, table: str) -> Pipeline:
    """`mercury` in a text kills a task, `arsenic` an actor, `radium` its GPU; `lemon` raises."""
    before, model = Step(KillTask("mercury")), Step(KillModel(DEADLY))
    steps = (before, model, Step(LoseDevice("radium")), Step(Raise("lemon")))
    return _pipeline(Source(uri=docs, unit_bytes=_UNIT_BYTES), table, steps)


def on_ray(docs: str, table: str, address: str, unit_bytes: str) -> None:
    """Rows that hold `arsenic` kill an actor, `molasses` never ends; any other field is kept."""
    from cluster.execute import run_pipeline
    from cluster.progress import Progress
    from cluster.ray_runner import RayRunner
    from cluster.settings import RaySettings

    steps = (Step(KillModel(DEADLY)), Step(Hang(ENDLESS)))
    large = int(unit_bytes) > 1 << 20
    source = Source(uri=docs, keep=("blob",) if large else (), unit_bytes=int(unit_bytes))
    runner = RayRunner(address, RaySettings(no_progress_seconds=120 if large else 12))
    run_pipeline(_pipeline(source, table, steps), runner, Progress())


def main() -> None:
    """Run the pipeline of the arguments DOCS TABLE in this process."""
    from cluster.execute import run_pipeline
    from cluster.local import LocalRunner
    from cluster.progress import Progress

    run_pipeline(poisoned(*sys.argv[1:]), LocalRunner(), Progress(quiet=True))


def _pipeline(source: Source, table: str, steps: tuple[Step, ...]) -> Pipeline:
    return Pipeline((Phase("texts", source, steps, Write(table, Gate(max_bad_rows=5))),))


def _holds(word: str, table: pa.Table) -> bool:
    return bool(pc.any(pc.match_substring(table["text"], word)).as_py())


def _kill(word: str, table: pa.Table) -> pa.Table:
    if _holds(word, table):
        os.kill(os.getpid(), signal.SIGKILL)
    return table


def _hang(word: str, table: pa.Table) -> pa.Table:
    if _holds(word, table):
        time.sleep(1e6)
    return table


def _lose(word: str, table: pa.Table) -> pa.Table:
    if _holds(word, table):
        raise DeviceError("cuda:0", f"lost to this process (no kernel stands {word})")
    return table


def _raise(word: str, table: pa.Table) -> pa.Table:
    if _holds(word, table):
        raise ArithmeticError(f"no step digests a {word}")
    return table


if __name__ == "__main__":
    from tests import poison  # by its own name, for the workers to find its operators

    poison.on_ray(*sys.argv[1:])
