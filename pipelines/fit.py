"""Artefacts that an operator learns from a bounded sample: fitted once, pinned to the table."""

import math
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from operators import columns
from operators.base import Fitted, NamesItsFit, Transform
from operators.quantize.artefact import digest_of
from operators.storage import uri as store
from operators.text.source import Source, Unit
from pipelines.fingerprint import digest, fingerprints, step_identity
from pipelines.makers import makers
from pipelines.plan import PhasePlan
from pipelines.rows import accepted, through
from pipelines.sample import rows_from_all_over, thinned
from pipelines.spec import Phase
from pipelines.work import Job, open_steps

SAMPLE_ROWS = 10_000
TOKEN_VECTORS = 1 << 18
"""Vectors of tokens that are a whole sample, however few rows they are."""
FEW_ROWS = 256
"""A byte names as many words: from fewer rows a codec learns nothing that should last."""
_FIRST = 64
"""Rows by which it is found how many vectors a row becomes: a document may hold thousands."""

Versions = Mapping[str, tuple[str, int]]
"""Table and version that each earlier phase committed."""


@dataclass(frozen=True)
class Learned:
    """What a step learned."""

    artefact: bytes
    rows: int
    """Of its input, from which it did."""


def unfitted(phase: Phase) -> list[int]:
    """The steps that learn something and have not yet."""
    return [
        number
        for number, step in enumerate(phase.steps)
        if isinstance(step.operator, Fitted) and step.operator.learns and not step.operator.artefact
    ]


def pinned(phase: Phase, versions: Versions | None = None) -> Phase:
    """The phase with every artefact that its table already holds for the same recipe.

    Of a table of vectors that is read, what made them is part of the recipe.
    """
    for number in unfitted(phase):
        uri = _pin(phase, number, phase.read, versions or {})
        if store.size_of(uri) is not None:
            phase = _with(phase, number, store.read_bytes(uri).decode())
    return phase


def learned(plan: PhasePlan, number: int) -> Learned:
    """What one step learns from a sample of the plan's source; nothing is written."""
    operator = plan.phase.steps[number].operator
    assert isinstance(operator, Fitted)
    sample = sample_for(plan.job, plan.units, number)
    return Learned(operator.fit(sample), len(sample))


def pin(plan: PhasePlan, number: int, found: bytes, *, anew: bool = False) -> Phase:
    """The phase with what a step learned, stored; where another run was first, with that one's.

    `anew`: it takes the place of what is pinned.
    """
    name, uri = digest_of(found), _pin(plan.phase, number, plan.source, {})
    store.create_bytes(_artefact(plan.phase, name), found)
    if anew:
        store.write_bytes(uri, name.encode())
    elif not store.create_bytes(uri, name.encode()):
        name = store.read_bytes(uri).decode()
    return _with(plan.phase, number, name)


def sample_for(
    job: Job,
    units: tuple[Unit, ...],
    number: int,
    rows: int = SAMPLE_ROWS,
    most: int = SAMPLE_ROWS,
) -> pa.Table:
    """The input of a step for up to `rows` rows from all over the source, `sample` set aside.

    A model is given no more than `most` rows, and no more of them than `most` come of.
    """
    read = rows_from_all_over(replace(job.source, sample=1.0), units, rows)
    table = accepted(read, job.schemas[0])
    with ExitStack() as stack:
        for step, transform in open_steps(job, range(number), stack):
            schema = job.schemas[step + 1]
            if any(each.operator.loads_model for each in job.steps[step : number + 1]):
                table = thinned(_enough(transform, table, schema, most), most)
            else:
                table = accepted(through(transform, table, schema), schema)
    return table


def _enough(transform: Transform, table: pa.Table, schema: pa.Schema, most: int) -> pa.Table:
    """What a step makes of as many rows, drawn from all of them, as give a whole sample."""
    drawn = table.take(np.random.default_rng(0).permutation(len(table)))
    made = [schema.empty_table()]
    done, share = 0, 0.0
    while done < len(drawn) and share < 1:
        wanted = math.ceil(done / share) - done if share else done
        size = min(max(wanted, 1), done) or _FIRST
        made.append(accepted(through(transform, drawn.slice(done, size), schema), schema))
        done += size
        share += _share(made[-1], most)
    return pa.concat_tables(made)


def _share(table: pa.Table, most: int) -> float:
    """How much of a whole sample a table is."""
    share = len(table) / most
    if columns.TOKEN_VECTORS in table.column_names:
        held = table[columns.TOKEN_VECTORS]
        values: int = pc.sum(pc.list_value_length(held)).as_py() or 0
        dim = columns.dim_of(table.schema.field(columns.TOKEN_VECTORS))
        share = max(share, values / dim / TOKEN_VECTORS)
    return share


def _pin(phase: Phase, number: int, read: Source, versions: Versions) -> str:
    """`read` may name the version that the phase's own leaves open."""
    operator, before = phase.steps[number].operator, phase.steps[:number]
    if isinstance(operator, NamesItsFit):
        key = digest([operator.name, operator.fitted_as])
    else:
        told = [fingerprints(phase.read, before)["recipe"], step_identity(operator)]
        if not any(step.operator.loads_model for step in before):
            told += makers(read, versions)
        key = digest(told)
    return store.join(phase.write.table, "_corpusmill", "artefacts", f"pin-{key}")


def _artefact(phase: Phase, name: str) -> str:
    return store.join(phase.write.table, "_corpusmill", "artefacts", f"{name}.safetensors")


def _with(phase: Phase, number: int, name: str) -> Phase:
    steps, operator = list(phase.steps), phase.steps[number].operator
    fitted: Any = operator
    steps[number] = replace(
        steps[number], operator=replace(fitted, artefact=_artefact(phase, name))
    )
    return replace(phase, steps=tuple(steps))
