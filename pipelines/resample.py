"""Rows encoded again: does what is stored still come out of its text."""

import random
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from operators import columns
from operators.arrays import whole
from operators.base import ParallelMap, Resources
from operators.contract import assign, conform
from operators.encode.encode import Encode
from operators.errors import SourceError
from operators.mine.groups import coded
from operators.mine.ways import finest
from operators.quantize.codes import FINEST_FIRST, decoded
from operators.quantize.registry import scheme_class
from operators.storage.parquet import Shard, group_rows, read_group
from operators.storage.stored import stored
from operators.text.fetch import fetch
from pipelines.rows import accepted, through
from pipelines.work import Job, open_steps

LEAST_COSINE = 0.999
"""Between a stored vector and its text encoded again, where a codec rounds values."""
LEAST_COSINE_OF_BITS = 0.95
"""The same of packed bits, where a value at the cut turns over with the last bit of a sum.

Of 300 texts in bf16 against fp32 the lowest was 0.979, of int8 codes 0.9998.
"""
_SHARDS = 8
_PLACE = (columns.SOURCE_FILE.name, columns.SOURCE_ROW.name, columns.CONTENT_HASH.name)


@dataclass(frozen=True)
class Resampled:
    """What some stored rows came to when their texts were encoded again."""

    rows: int
    lowest: float
    """Lowest cosine between a stored vector and the one made again."""
    least: float
    """What it has to be."""
    differing: int = 0
    """Rows below that."""
    problem: str = ""
    """Why the rows could not be made again; empty where they were. Names no id: it is recorded."""


def resample(
    job: Job, kept: Sequence[Shard], new: Sequence[Shard], rows: int, parallel: ParallelMap
) -> Resampled | None:
    """Encode again up to `rows` rows of at most 8 of the kept shards, of the new where none is.

    Which rows is decided by the run's key. The work is done where `parallel` does it. None for a
    phase whose rows have no text or no vector, or where there is no row.
    """
    shards = [shard for shard in kept or new if shard.rows]
    if not shards or not _encodes(job):
        return None
    found: Resampled = next(iter(parallel(_Again(job, _chosen(job.run, shards), rows), [0])))
    return found


def made_again(job: Job, table: pa.Table) -> pa.Table:
    """Rows as they are read, taken through every step of the phase; the good ones."""
    with ExitStack() as stack:
        for number, transform in open_steps(job, range(len(job.steps)), stack):
            table = through(transform, table, job.schemas[number + 1])
    return accepted(table, job.schemas[-1])


def cosines(uri: str, one: pa.Table, other: pa.Table) -> npt.NDArray[np.float32]:
    """Row by row, between the finest vectors of two tables with the columns of the table `uri`."""
    a, b = _floats(uri, one), _floats(uri, other)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    found: npt.NDArray[np.float32] = np.einsum("ij,ij->i", a, b) / np.maximum(lengths, 1e-12)
    return found


def least_cosine(schema: pa.Schema) -> float:
    """What the cosine must be between rows of that schema and the same rows made again."""
    name, _ = columns.decoder_of(finest(schema))
    return LEAST_COSINE_OF_BITS if name and scheme_class(name).coarse else LEAST_COSINE


def has_vectors(schema: pa.Schema) -> bool:
    """Whether a schema has a column of vectors or of their codes."""
    return bool(set(FINEST_FIRST) & set(schema.names))


@dataclass(frozen=True)
class _Again:
    """Picks rows of some shards, reads their texts and encodes them."""

    job: Job
    paths: tuple[str, ...]
    rows: int

    def __call__(self, _: int) -> Resampled:
        schema = stored(self.job.schemas[-1])
        least = least_cosine(schema)
        draw = random.Random(self.job.run)
        each = -(-self.rows // len(self.paths))
        picked = [_picked(self.job.table, path, schema, each, draw) for path in self.paths]
        there = pa.concat_tables(picked).slice(0, self.rows)
        try:
            read = _read(self.job, there)
        except SourceError as error:
            problem = f"a row that was not encoded again is not as it was embedded: {error}"
            return Resampled(len(there), 0.0, least, len(there), problem=problem)
        again = conform(made_again(_anywhere(self.job), read), schema)
        return _compared(self.job.table, again, there, least)


def _read(job: Job, there: pa.Table) -> pa.Table:
    """What the stored rows were made of, as it is read; SourceError where it is so no more."""
    of = _documents(there) if _cuts(job) else there
    texts = fetch(job.source, *(whole(of[name]) for name in _PLACE))
    return conform(of.append_column(columns.TEXT, texts), job.schemas[0])


def _cuts(job: Job) -> bool:
    """Whether the phase's rows are passages of those that it reads."""
    name = columns.PARENT_HASH.name
    return name in job.schemas[-1].names and name not in job.schemas[0].names


def _documents(passages: pa.Table) -> pa.Table:
    """The documents that some passages lie in, each once."""
    places = zip(*(passages[name].to_pylist() for name in _PLACE[:2]), strict=True)
    first = {place: number for number, place in enumerate(places)}
    found = passages.take(pa.array(first.values(), pa.int64()))
    found = assign(found, columns.ID, found[columns.PARENT_ID.name])
    return assign(found, columns.CONTENT_HASH, found[columns.PARENT_HASH.name])


def _compared(uri: str, again: pa.Table, there: pa.Table, least: float) -> Resampled:
    place = pc.index_in(there[columns.ID.name], whole(again[columns.ID.name]))
    if place.null_count:
        lost = place.null_count
        problem = f"{lost} of {len(there)} unchanged rows have a text that the steps refuse now"
        return Resampled(len(there), 0.0, least, lost, problem)
    found = cosines(uri, again.take(place), there)
    return Resampled(len(there), float(found.min()), least, int((found < least).sum()))


def _picked(uri: str, path: str, schema: pa.Schema, rows: int, draw: random.Random) -> pa.Table:
    """Some rows of one row group of a shard."""
    sizes = group_rows(uri, path)
    (group,) = draw.choices(range(len(sizes)), sizes)
    chosen = sorted(draw.sample(range(sizes[group]), min(rows, sizes[group])))
    found = read_group(uri, path, group, schema.names)
    return conform(found.take(pa.array(chosen, pa.int64())), schema)


def _chosen(key: str, shards: Sequence[Shard]) -> tuple[str, ...]:
    paths = sorted(shard.path for shard in shards)
    return tuple(random.Random(key).sample(paths, min(_SHARDS, len(paths))))


def _encodes(job: Job) -> bool:
    """Whether the phase makes vectors of texts that can be found again."""
    schema = job.schemas[-1]
    return (
        any(isinstance(step.operator, Encode) for step in job.steps)
        and bool(job.source.text)
        and has_vectors(schema)
        and set(_PLACE) <= set(schema.names)
    )


def _anywhere(job: Job) -> Job:
    """The job for a process that was promised no device."""
    return replace(job, steps=tuple(replace(step, resources=Resources()) for step in job.steps))


def _floats(uri: str, table: pa.Table) -> npt.NDArray[np.float32]:
    field = finest(table.schema)
    return decoded(table, field.name, coded(uri, field).artefact)
