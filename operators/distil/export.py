"""Write a version of a negatives or triples table as the training files of another library."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from operators.arrays import to_ragged
from operators.beside import Beside
from operators.distil.examples import Rows, located, logarithms
from operators.distil.formats import FORMATS, Format
from operators.distil.targets import DISTRIBUTIONS
from operators.errors import ConfigError, TableError
from operators.storage.parquet import opened
from operators.storage.table import Table
from operators.text.origin import field_of
from operators.text.source import Source

_ROWS = 1024
_DOCUMENTS = 8192
"""Texts in memory at a time, about."""
_STEPS = ("distil", "mine")
_GRADED = DISTRIBUTIONS | {"labels", "scores", "udr"}


@dataclass(frozen=True)
class Exported:
    """What an export came to."""

    examples: int
    """(query, positive) rows of the table."""
    written: int
    """Rows of the files."""
    skipped: int
    """Examples left out: too few negatives, or no finite label."""
    negatives: int
    """Negatives a row has where all have equally many, else 0."""
    labels: str


@dataclass(frozen=True)
class Wanted:
    """What to write: a name of FORMATS, labels of LABELS or "", negatives a row (0: all)."""

    format: str
    labels: str = ""
    negatives: int = 0


def export(table: Beside, wanted: Wanted, out: str) -> Exported:
    """Write the table's rows with their texts to the folder `out`, whole or not at all.

    Memory holds some thousand texts at a time. ConfigError for what cannot be wanted, TableError
    for a table without such rows, SourceError where a text is not what was embedded.
    """
    layout = FORMATS[wanted.format]
    names = Table(table.uri).schema(table.version).names
    if not {"negative_rows", "positive_ids"} <= {*names} and "targets" not in names:
        problem = f"it holds neither negatives nor triples, only {', '.join(names)}"
        raise TableError(table.uri, problem)
    labels = _labels_of(table, wanted, layout)
    distribution = labels.endswith("targets") and _target(table) in DISTRIBUTIONS
    queries, documents = (_source(table, name) for name in ("queries", "documents"))
    width = _width(table, wanted.negatives) if layout.even else 0
    folder = _fresh(out)
    examples = written = kept = 0
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    part.mkdir(parents=True)
    try:
        with layout.open(part) as write:
            for batch in _batches(table):
                rows = located(batch, labels)
                examples += len(rows.lists)
                rows = _usable(rows, width, wanted.negatives, lonely=layout.lonely)
                rows = _scaled(rows, labels) if distribution else rows
                kept += len(rows.lists)
                written += write(rows.with_texts(queries, documents)) if len(rows.lists) else 0
        if not written:
            problem = f"none of its {examples} examples can be written as {wanted.format}"
            raise TableError(table.uri, f"{problem}: too few negatives, or no finite label")
        part.replace(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return Exported(examples, written, examples - kept, width, labels)


def _fresh(out: str) -> Path:
    """The folder, if it is not there or empty."""
    if "://" in out:
        raise ConfigError((f"--out {out}: an export is written to a folder of this machine",))
    folder = Path(out).absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        found = "is not empty" if folder.is_dir() else "is a file"
        raise ConfigError((f"--out {out}: it {found}; name a new folder",))
    return folder


def _source(table: Beside, name: str) -> Source:
    """Where the texts of the table's queries or documents lie."""
    for step in _STEPS:
        try:
            return field_of(table, step, name)
        except (TableError, KeyError, TypeError):
            continue
    problem = f"its commit does not say where the texts of its {name} are"
    hint = "only tables of mine and distil that know their texts can be exported"
    raise TableError(table.uri, f"{problem}; {hint}")


def _labels_of(table: Beside, wanted: Wanted, layout: Format) -> str:
    """The labels to write; ConfigError or TableError where there are none of that kind."""
    triples = "targets" in Table(table.uri).schema(table.version).names
    kind = _target(table)
    scored = kind != "judged"
    labels = wanted.labels or _default(layout.labels, kind, scored=triples and scored)
    if labels == "none" and layout.needs_labels:
        raise ConfigError((f"--labels none: format {wanted.format} has labels",))
    if labels == "scores" and not scored:
        hint = "distil with a scores table, or use --labels binary"
        raise TableError(table.uri, f"its triples have no teacher's scores; {hint}")
    if labels.endswith("targets"):
        _check_targets(table, labels, kind)
    return labels


def _target(table: Beside) -> str:
    """The target of a table of triples; empty for one of negatives."""
    schema = Table(table.uri).schema(table.version)
    notes = (schema.field("targets").metadata or {}) if "targets" in schema.names else {}
    return notes.get(b"corpusmill.target", b"").decode()


def _default(labels: str, kind: str, *, scored: bool) -> str:
    if labels == "graded":
        return "targets" if kind in _GRADED else "binary"
    if labels == "known":
        return "scores" if scored else "none"
    return labels


def _check_targets(table: Beside, labels: str, kind: str) -> None:
    if not kind:
        raise TableError(table.uri, "it is a table of negatives, which has no targets; distil it")
    if kind == "margin-mse":
        problem = "its targets are margins, which MarginMSE takes from the scores itself"
        raise TableError(table.uri, f"{problem}; use --labels scores")
    if labels == "log-targets" and kind not in DISTRIBUTIONS:
        problem = f"its targets ({kind}) are no distribution, so they have no logarithm"
        raise TableError(table.uri, f"{problem}; use --labels targets")


def _width(table: Beside, negatives: int) -> int:
    """How many negatives each row gets: as asked, or the number that keeps the most of them."""
    if negatives:
        return negatives
    counts = np.zeros(1, np.int64)
    for part in Table(table.uri).read(["negative_rows"], table.version):
        found = np.bincount(np.diff(to_ragged(part["negative_rows"])[1]))
        longer = np.zeros(max(len(found), len(counts)), np.int64)
        longer[: len(counts)] += counts
        longer[: len(found)] += found
        counts = longer
    at_least = np.cumsum(counts[::-1])[::-1]
    return max(1, int(np.argmax(at_least * np.arange(len(counts)))))


def _batches(table: Beside) -> Iterator[pa.Table]:
    """The rows in order, so many at a time that their documents fit."""
    for file in Table(table.uri).files(table.version):
        with opened(file.uri) as parquet:
            for batch in parquet.iter_batches(_ROWS):
                yield from _cut(pa.table(batch))


def _cut(batch: pa.Table) -> Iterator[pa.Table]:
    sizes = 1 + np.diff(to_ragged(batch["negative_rows"])[1]).astype(np.int64)
    if "positive_rows" in batch.column_names:
        sizes *= np.maximum(1, np.diff(to_ragged(batch["positive_rows"])[1]))
    group = np.cumsum(sizes) // _DOCUMENTS
    for part in np.split(np.arange(len(batch)), np.flatnonzero(np.diff(group)) + 1):
        if len(part):
            yield batch.slice(int(part[0]), len(part))


def _usable(rows: Rows, width: int, negatives: int, *, lonely: bool) -> Rows:
    """The examples with enough negatives whose labels, if any, are finite; no more than asked."""
    lists = rows.lists
    finite = np.isfinite(rows.labels) if len(rows.labels) else np.ones(len(rows.document), np.bool_)
    rows = rows.only(finite[lists.firsts], finite)
    most = width or negatives
    if most:
        rows = rows.only(np.ones(len(rows.lists), np.bool_), rows.lists.positions() <= most)
    counts = np.diff(rows.lists.offsets) - 1
    least = width or int(not lonely)
    return rows.only(counts >= least, np.ones(len(rows.document), np.bool_))


def _scaled(rows: Rows, labels: str) -> Rows:
    """Distributions that sum to one again, whatever was left out of their lists."""
    shares = np.exp(rows.labels) if labels == "log-targets" else rows.labels
    total = rows.lists.spread(rows.lists.total(shares))
    shares = np.divide(shares, total, out=np.zeros_like(shares), where=total > 0)
    return replace(rows, labels=logarithms(shares) if labels == "log-targets" else shares)
