"""One phase, run as a user runs it, against the table that an undisturbed run made."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from operators.storage.table import Table
from tests.chaos.nodes import PROJECT
from tests.lake import Lake

PHASES = ("documents", "queries", "negatives", "scores", "triples")
_KEYS = ("id", "query_id", "doc_id", "teacher")
_UNIT_BYTES = {"documents": 300, "queries": 200, "negatives": 600, "scores": 600, "triples": 600}
"""Small enough that a phase of few rows has several units."""
_ON = {"workers": 2, "cpus": 0.5}
PATIENCE = 240.0
"""Seconds after which a run that does not end is called hung."""


@dataclass(frozen=True)
class Compared:
    """What a table lacks, holds twice, or holds otherwise than the undisturbed one."""

    lost: int
    doubled: int
    other: int

    @property
    def same(self) -> bool:
        return not (self.lost or self.doubled or self.other)


@dataclass
class Trial:
    """A phase of the lake whose table goes to a place of its own; the phases before are done."""

    lake: Lake
    phase: str
    place: str
    """Folder or S3 prefix of the trial's table."""
    folder: Path
    """Where the config and the output lie."""
    root: str = ""
    """Where the lake's own tables lie, when not on disk."""
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def table(self) -> str:
        return f"{self.place}/{self.phase}"

    @property
    def output(self) -> Path:
        return self.folder / "output.log"

    def config(self) -> Path:
        """Write the config and tell where."""
        raw = in_small_units(self.lake.config(last=self.phase, parts=2, **self.changes))
        text = yaml.safe_dump(raw, sort_keys=False)
        if self.root:
            text = text.replace(f"{self.lake.root}/", f"{self.root}/")
        raw = yaml.safe_load(text)
        raw["phases"][self.phase]["write"]["table"] = self.table
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump(raw, sort_keys=False))
        return path

    def started(self, environment: Mapping[str, str], *options: str) -> subprocess.Popen[bytes]:
        """The command `run`, begun."""
        command = [sys.executable, "-m", "cluster.cli", "run", str(self.config()), *options]
        with self.output.open("ab") as output:
            return subprocess.Popen(
                command,
                cwd=PROJECT,
                stdout=output,
                stderr=output,
                env={**os.environ, **environment},
            )

    def run(self, environment: Mapping[str, str], *options: str) -> int:
        """The command's exit code."""
        return ended(self.started(environment, *options))

    def compared(self) -> Compared:
        """The trial's table against the lake's own."""
        return compared(self.table, self.lake.table(self.phase))

    def said(self) -> str:
        """The end of what the runs said."""
        return self.output.read_text(errors="replace")[-1500:]


def ended(process: subprocess.Popen[bytes], patience: float = PATIENCE) -> int:
    """Wait for an exit code; a process that does not end is killed, and TimeoutExpired raised."""
    try:
        return process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def in_small_units(config: dict[str, Any]) -> dict[str, Any]:
    """The config with several units in each phase, and two workers for each model."""
    for name, phase in config["phases"].items():
        phase["read"] = {**phase["read"], "unit_bytes": _UNIT_BYTES[name]}
        phase["steps"] = [_with_workers(step) for step in phase["steps"]]
    return config


def compared(table: str, calm: str) -> Compared:
    """Rows of `table` that are missing, there twice, or unlike those of `calm`."""
    if Table(table).version() < 0:
        return Compared(sum(file.rows for file in Table(calm).files()), 0, 0)
    found, wanted = _sorted(table), _sorted(calm)
    keys = [name for name in _KEYS if name in wanted.schema.names]
    ours, theirs = (_keys(each, keys) for each in (found, wanted))
    lost = len(set(theirs) - set(ours))
    doubled = len(ours) - len(set(ours))
    if lost or doubled or ours != theirs:
        return Compared(lost, doubled, len(set(ours) - set(theirs)))
    unlike = np.zeros(len(ours), dtype=bool)
    for name in wanted.schema.names:
        unlike |= _unlike(found[name], wanted[name])
    return Compared(0, 0, int(unlike.sum()))


def _with_workers(step: Mapping[str, Any]) -> dict[str, Any]:
    return {**step, "resources": _ON} if {"encode", "teach"} & set(step) else dict(step)


def _sorted(table: str) -> pa.Table:
    rows = pa.concat_tables(Table(table).read()).combine_chunks()
    return rows.sort_by([(name, "ascending") for name in _KEYS if name in rows.schema.names])


def _keys(rows: pa.Table, keys: list[str]) -> list[tuple[Any, ...]]:
    return list(zip(*(rows[name].to_pylist() for name in keys), strict=True))


def _unlike(one: pa.ChunkedArray, other: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Which rows differ; floats by more than another packing of a batch may move them."""
    if pa.types.is_list(one.type) or pa.types.is_fixed_size_list(one.type):
        return _unlike_lists(one.combine_chunks(), other.combine_chunks())
    if pa.types.is_floating(one.type):
        return ~np.isclose(one.to_numpy(), other.to_numpy(), rtol=1e-4, atol=1e-5, equal_nan=True)
    same: Any = pc.equal(one, other)
    both: Any = pc.and_(pc.is_null(one), pc.is_null(other))
    return ~pc.or_(pc.fill_null(same, False), both).to_numpy(zero_copy_only=False)


def _unlike_lists(one: pa.Array, other: pa.Array) -> npt.NDArray[np.bool_]:
    pairs = zip(one.to_pylist(), other.to_pylist(), strict=True)
    if pa.types.is_floating(one.type.value_type):
        return np.array(
            [len(a) != len(b) or not np.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in pairs]
        )
    return np.array([a != b for a, b in pairs])
