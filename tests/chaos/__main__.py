"""Faults of every kind, one trial after another: `make chaos`, or `python -m tests.chaos --help`.

Each trial runs a phase under faults, repeats it until it is done, and compares its table with an
undisturbed one. The last line counts what was injected, and the rows that were lost or doubled.
"""

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.chaos import scenarios, shortages
from tests.chaos.scenarios import Report
from tests.chaos.trial import PHASES
from tests.chaos.world import World, world

Trials = Iterator[tuple[str, Callable[[World], Report]]]
_STORMS = ("500", "503", "reset", "lost", "truncated")
_MODELS = ("documents", "queries", "scores")


def main() -> int:
    """Run the trials; 0 when nothing was lost, doubled or otherwise wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", nargs="*", default=[], help="kinds, such as worker or 503")
    parser.add_argument("--short", action="store_true", help="one trial of each kind")
    arguments = parser.parse_args()
    trials = list(chosen(arguments.seed, arguments.only, short=arguments.short))
    last = max((PHASES.index(_phase(name)) for name, _ in trials), default=0)
    with (
        tempfile.TemporaryDirectory(prefix="chaos-") as folder,
        world(Path(folder), PHASES[last]) as there,
    ):
        reports = [told(name, trial, there) for name, trial in trials]
    wrong = [report for report in reports if not report.fine]
    lost = sum(report.compared.lost + report.compared.other for report in reports)
    doubled = sum(report.compared.doubled for report in reports)
    for kind in dict.fromkeys(report.kind for report in reports):
        count = sum(report.faults for report in reports if report.kind == kind)
        say(f"{kind}: {count} faults in {sum(r.kind == kind for r in reports)} trials")
    faults = sum(report.faults for report in reports)
    say(f"{len(reports)} trials, {len(wrong)} wrong")
    say(f"faults {faults} lost {lost} doubled {doubled}")
    return int(bool(wrong or lost or doubled))


def _phase(name: str) -> str:
    """The phase of a trial; those that name none need no more than the first."""
    return next((phase for phase in PHASES if name.endswith(f" {phase}")), PHASES[0])


def chosen(seed: int, only: list[str], *, short: bool) -> Trials:
    """The trials asked for."""
    seen: set[str] = set()
    for name, trial in every(seed):
        kind = name.split()[0]
        if (only and kind not in only) or (short and kind in seen):
            continue
        seen.add(kind)
        yield name, trial


def every(seed: int) -> Trials:
    """All trials: a kind of fault, then the phase it happens in."""
    for number, phase in enumerate(PHASES):
        for kind in _STORMS:
            yield f"{kind} {phase}", partial(_storm, kind, phase, seed + number)
        yield f"expired {phase}", partial(_in, scenarios.expire, phase, seed + number)
        yield f"disk {phase}", partial(_in, shortages.fill_disk, phase, seed + number)
    for number, phase in enumerate(PHASES):
        for kind in ("worker", "driver", *(["encoder"] if phase in _MODELS else [])):
            yield f"{kind} {phase}", partial(_kill, kind, phase, seed + number)
    yield "index negatives", partial(_kill, "index", "negatives", seed)
    yield "lying documents", partial(_in, scenarios.lie, "documents", seed)
    yield "forgetting documents", partial(_in, scenarios.forget, "documents", seed)
    yield "stall documents", partial(_storm, "stall", "documents", seed)
    yield "poison", partial(_alone, shortages.poison, seed)
    yield "hang", partial(_alone, shortages.hang, seed)
    yield "store", partial(_alone, shortages.fill_object_store, seed)
    for number, phase in enumerate(("documents", "negatives", "scores")):
        yield f"raylet {phase}", partial(_in, scenarios.lose_node, phase, seed + number)
        yield f"head {phase}", partial(_in, scenarios.lose_head, phase, seed + number)


def told(name: str, trial: Callable[[World], Report], there: World) -> Report:
    """Run a trial and say what came of it; one that does not come to an end is wrong."""
    began = time.monotonic()
    try:
        report = trial(there)
    except Exception as error:  # noqa: BLE001 - the other trials go on, and this one counts as wrong
        traceback.print_exc()
        report = Report(name, "", 0, scenarios.Compared(0, 0, 0), [], complaint=repr(error))
        there.proxy.change()
    took = time.monotonic() - began
    found = report.compared
    state = "fine" if report.fine else f"WRONG: {report.complaint or found}"
    say(f"{name}: {report.faults} faults, exit codes {report.codes}, {took:.0f} s, {state}")
    return report


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _storm(kind: str, phase: str, seed: int, there: World) -> Report:
    share = {"stall": 0.01, "truncated": 0.08, "lost": 0.08}.get(kind, 0.04)
    return scenarios.storm(there, kind, phase, seed, share)


def _kill(kind: str, phase: str, seed: int, there: World) -> Report:
    return scenarios.kill(there, kind, phase, seed)


def _in(trial: Callable[[World, str, int], Report], phase: str, seed: int, there: World) -> Report:
    return trial(there, phase, seed)


def _alone(trial: Callable[[World, int], Report], seed: int, there: World) -> Report:
    return trial(there, seed)


if __name__ == "__main__":
    sys.exit(main())
