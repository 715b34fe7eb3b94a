"""A clean stop of a run on Ray is no death: no unit becomes a suspect by it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from cluster.runner import Fatal
from operators.errors import CorpusmillError
from operators.storage.receipts import RunFolder, begun_in

_CLEAN = (Fatal, GeneratorExit, KeyboardInterrupt, SystemExit)
"""Ends that say nothing of the units at work; a budget closes the outcomes, so GeneratorExit."""


@contextmanager
def blameless(folder: RunFolder) -> Iterator[set[str]]:
    """Take back the attempts that a clean stop ends; yields where to name the units that ended.

    They are the last in each stage of a unit: an earlier one died. A run that stands still is no
    clean stop. What cannot be taken back, or is begun while the workers end, counts.
    """
    before, ended = folder.marks(), set[str]()
    try:
        yield ended
    except _CLEAN:
        with suppress(CorpusmillError):
            last = {begun_in(mark): mark for mark in {*folder.marks()}.difference(before)}
            folder.take_back(mark for (unit, _), mark in last.items() if unit not in ended)
        raise
