"""What later phases would be refused for, found before an earlier one has done any work."""

import re
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from operators.beside import besides, pinned
from operators.storage.table import Table
from operators.storage.uri import absolute
from pipelines.canaries import check_canaries
from pipelines.fingerprint import check_backend
from pipelines.forecast import bound
from pipelines.plan import PhasePlan
from pipelines.spec import Phase

_GLOB = re.compile(r"[^/]*[*?[].*")


def check_later(
    plan: PhasePlan, later: Sequence[Phase], committed: Mapping[str, pa.Schema]
) -> None:
    """Bind the phases behind a plan that has something to do; CorpusmillError as their plans raise.

    `committed` are the columns of the phases up to it. What lies in a table that is yet to be
    made, by whatever name it is read, stays for the phase's own turn.
    """
    known = dict(committed)
    coming = [plan.phase.write.table]
    for phase in later:
        for step in phase.steps:
            check_backend(step.operator)
            for table in besides(step.operator):
                if table.uri and not _meets(table.uri, coming):
                    pinned(table, {})
        source = known.get(phase.read.phase)
        if source is not None or (phase.read.uri and not _meets(phase.read.uri, coming)):
            schemas = bound(phase, source)
            check_canaries(phase, schemas)
            known[phase.name] = schemas[-1]
        coming.append(phase.write.table)


def sure_to_run(plan: PhasePlan, later: Sequence[Phase]) -> Iterator[Phase]:
    """The phases behind a plan with something to do that will have something to do, too."""
    changed = set[str]() if plan.asked.refit else {plan.phase.name}  # it may learn the same again
    for phase in later:
        named = (found.phase for step in phase.steps for found in besides(step.operator))
        reads = {phase.read.phase, *named} & changed
        if reads or plan.asked.nonce or Table(phase.write.table).version() < 0:
            changed.add(phase.name)
            yield phase


def _meets(uri: str, tables: Sequence[str]) -> bool:
    """Whether a source or table is one of those, or may lie in or around one."""
    place = _GLOB.sub("", absolute(uri)).rstrip("/") + "/"
    names = [f"{absolute(table)}/" for table in tables]
    return any(place.startswith(name) or name.startswith(place) for name in names)
