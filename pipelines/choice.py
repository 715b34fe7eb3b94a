"""Choices that are measured, not made: once, by the plan, and pinned to the table."""

from collections.abc import Callable
from dataclasses import replace

from operators.base import Accumulates, Chooses
from operators.storage import uri as store
from pipelines.fingerprint import digest, fingerprints, step_identity
from pipelines.fit import sample_for
from pipelines.plan import PhasePlan
from pipelines.spec import Phase

SAMPLE_ROWS = 64
_ROWS_OF_PAIRS = 16
"""Mined rows, each of which becomes a pair for every candidate and teacher."""
_PAIRS = 10_000
"""Of those rows, at most: the step itself times some of its own."""


def undecided(phase: Phase) -> list[int]:
    """The steps that leave a choice open."""
    return [
        number
        for number, step in enumerate(phase.steps)
        if isinstance(step.operator, Chooses) and step.operator.undecided
    ]


def decided(phase: Phase) -> Phase:
    """The phase with every choice that its table already holds for the same recipe."""
    for number in undecided(phase):
        uri = _pin(phase, number)
        if store.size_of(uri) is not None:
            phase = chosen(phase, number, store.read_bytes(uri).decode())
    return phase


def choose(plan: PhasePlan, number: int) -> str:
    """What measures best for one step, on a sample of the plan's source; nothing is written."""
    step = plan.phase.steps[number]
    assert isinstance(step.operator, Chooses)
    rows, most = (_ROWS_OF_PAIRS, _PAIRS) if plan.accumulates else (SAMPLE_ROWS, SAMPLE_ROWS)
    sample = sample_for(plan.job, plan.units, number, rows, most)
    return step.operator.choose(sample, step.resources)


def pin_choice(phase: Phase, number: int, choice: str) -> tuple[Phase, str]:
    """Pin a step's choice to the table; of two runs at once the first one's holds."""
    uri = _pin(phase, number)
    if not store.create_bytes(uri, choice.encode()):
        choice = store.read_bytes(uri).decode()
    return chosen(phase, number, choice), choice


def chosen(phase: Phase, number: int, choice: str) -> Phase:
    """The phase with that choice for one step."""
    steps = list(phase.steps)
    operator = steps[number].operator
    assert isinstance(operator, Chooses)
    steps[number] = replace(steps[number], operator=operator.decided(choice))
    return replace(phase, steps=tuple(steps))


def settled(plan: PhasePlan, again: Callable[[Phase], PhasePlan]) -> PhasePlan:
    """The plan with every choice made for now, in memory; `again` plans a phase anew."""
    for number in undecided(plan.phase):
        plan = again(chosen(plan.phase, number, choose(plan, number)))
    return plan


def _pin(phase: Phase, number: int) -> str:
    """By all that comes before; by the step alone where rows are added to those of other runs."""
    own = step_identity(phase.steps[number].operator)
    if any(isinstance(step.operator, Accumulates) for step in phase.steps):
        key = digest([own])
    else:
        key = digest([fingerprints(phase.read, phase.steps[:number])["recipe"], own])
    return store.join(phase.write.table, "_corpusmill", "choices", key)
