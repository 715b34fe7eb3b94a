"""Artefacts that an operator learns from a bounded sample: fitted once, pinned to the table."""

from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pyarrow as pa

from operators.base import Fitted, NamesItsFit
from operators.quantize.artefact import digest_of
from operators.storage import uri as store
from operators.text.source import Unit
from pipelines.fingerprint import digest, fingerprints, step_identity
from pipelines.plan import PhasePlan
from pipelines.rows import accepted, through
from pipelines.sample import sampled_rows
from pipelines.spec import Phase, Step
from pipelines.work import Job, open_steps

SAMPLE_ROWS = 10_000
_PLACES = 16


def unfitted(phase: Phase) -> list[int]:
    """The steps that learn something and have not yet."""
    return [
        number
        for number, step in enumerate(phase.steps)
        if isinstance(step.operator, Fitted) and step.operator.learns and not step.operator.artefact
    ]


def pinned(phase: Phase) -> Phase:
    """The phase with every artefact that its table already holds for the same recipe."""
    steps = list(phase.steps)
    for number in unfitted(phase):
        uri = _pin(phase, number)
        if store.size_of(uri) is not None:
            steps[number] = _with(steps[number], phase, store.read_bytes(uri).decode())
    return replace(phase, steps=tuple(steps))


def learned(plan: PhasePlan, number: int) -> bytes:
    """What one step learns from a sample of the plan's source; nothing is written."""
    operator = plan.phase.steps[number].operator
    assert isinstance(operator, Fitted)
    return operator.fit(sample_for(plan.job, plan.units, number))


def pin(phase: Phase, number: int, found: bytes) -> Phase:
    """The phase with what a step learned, stored; where another run was first, with that one's."""
    name = digest_of(found)
    store.create_bytes(_artefact(phase, name), found)
    if not store.create_bytes(_pin(phase, number), name.encode()):
        name = store.read_bytes(_pin(phase, number)).decode()
    steps = list(phase.steps)
    steps[number] = _with(steps[number], phase, name)
    return replace(phase, steps=tuple(steps))


def sample_for(job: Job, units: tuple[Unit, ...], number: int, rows: int = SAMPLE_ROWS) -> pa.Table:
    """Up to that many input rows of a step, from all over the source."""
    table = sampled_rows(job.source, units, rows, _PLACES)
    with ExitStack() as stack:
        for step, transform in open_steps(job, range(number), stack):
            table = through(transform, table, job.schemas[step + 1])
    return accepted(table, job.schemas[number])


def _pin(phase: Phase, number: int) -> str:
    operator = phase.steps[number].operator
    if isinstance(operator, NamesItsFit):
        key = digest([operator.name, operator.fitted_as])
    else:
        earlier = fingerprints(phase.read, phase.steps[:number])["recipe"]
        key = digest([earlier, step_identity(operator)])
    return store.join(phase.write.table, "_corpusmill", "artefacts", f"pin-{key}")


def _artefact(phase: Phase, name: str) -> str:
    return store.join(phase.write.table, "_corpusmill", "artefacts", f"{name}.safetensors")


def _with(step: Step, phase: Phase, name: str) -> Step:
    operator: Any = step.operator
    return replace(step, operator=replace(operator, artefact=_artefact(phase, name)))
