"""What goes wrong, one function a kind; each ends with a table that must be the undisturbed one."""

import random
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from operators.storage.receipts import runs as runs_of
from operators.storage.table import Table
from tests.chaos import processes
from tests.chaos.killing import Killing
from tests.chaos.nodes import NODES
from tests.chaos.trial import Compared, Trial, ended
from tests.chaos.world import World

MOST_RUNS = 6
"""Runs in which a table must have come about; those after the first few are undisturbed."""
Environment = Mapping[str, str]


@dataclass
class Report:
    """What was done to a trial and what came of it."""

    kind: str
    phase: str
    faults: int
    compared: Compared
    codes: list[int]
    seconds: float = 0.0
    complaint: str = ""
    """What else is not as it must be."""

    @property
    def fine(self) -> bool:
        return self.compared.same and not self.complaint


@dataclass
class Runs:
    """The runs of a trial, one after the other, until one ends well."""

    trial: Trial
    environment: Environment
    options: tuple[str, ...] = ()
    codes: list[int] = field(default_factory=list)

    def once(self, around: Callable[[subprocess.Popen[bytes]], None] = lambda _: None) -> int:
        """Start a run, do something while it goes, and wait for its end."""
        process = self.trial.started(self.environment, *self.options)
        around(process)
        self.codes.append(ended(process))
        return self.codes[-1]

    def until_done(self) -> None:
        """Run, undisturbed, until a run ends well."""
        while self.codes[-1:] != [0] and len(self.codes) < MOST_RUNS:
            self.once()

    def report(self, kind: str, faults: int, complaint: str = "") -> Report:
        """What came of it."""
        return Report(
            kind, self.trial.phase, faults, self.trial.compared(), self.codes, complaint=complaint
        )


def kill(world: World, kind: str, phase: str, seed: int, *, times: int = 3) -> Report:
    """Processes of a kind die while a run goes on three nodes, and again while it is repeated."""
    cluster, trial = world.cluster, world.trial(phase)
    runs = Runs(trial, {**world.environment, **cluster.environment}, _ray(cluster.address))
    killed = 0
    for turn in range(2):
        process = trial.started(runs.environment, *runs.options)
        moments = (1.0, 9.0) if kind == "driver" else (0.0, 1.5)
        again = 1 if kind == "driver" else times
        with Killing(world.mark, kind, again, moments, seed + turn, process.pid) as killing:
            runs.codes.append(ended(process))
        killed += len(killing.killed)
        if runs.codes[-1] == 0:
            break
    runs.until_done()
    return runs.report(kind, killed)


def lose_node(world: World, phase: str, seed: int) -> Report:
    """A worker node dies in the middle of a run, and another takes its place."""
    trial, chance = world.trial(phase), random.Random(seed)
    with world.own_cluster() as cluster:
        runs = Runs(trial, {**world.environment, **cluster.environment}, _ray(cluster.address))
        gone: list[int] = []

        def lose(process: subprocess.Popen[bytes]) -> None:
            time.sleep(chance.uniform(3.0, 12.0))
            of_cluster = _of_cluster(world, "raylet", cluster.address)
            victim = chance.choice(of_cluster[1:])
            if process.poll() is None and processes.kill(victim):
                gone.append(victim)
                cluster.add(NODES[1])

        runs.once(lose)
        runs.until_done()
        return runs.report("raylet", len(gone))


def lose_head(world: World, phase: str, seed: int) -> Report:
    """The head dies; a new cluster is started and the run submitted again."""
    trial, chance = world.trial(phase), random.Random(seed)
    gone: list[int] = []
    codes: list[int] = []
    with world.own_cluster() as cluster:
        first = Runs(trial, {**world.environment, **cluster.environment}, _ray(cluster.address))

        def lose(process: subprocess.Popen[bytes]) -> None:
            time.sleep(chance.uniform(3.0, 12.0))
            if process.poll() is None:
                head = _of_cluster(world, "head", cluster.address)
                raylet = _of_cluster(world, "raylet", cluster.address)
                gone.extend(pid for pid in (*head[:1], *raylet[:1]) if processes.kill(pid))

        first.once(lose)
        codes = first.codes
    with world.own_cluster() as cluster:
        again = Runs(trial, {**world.environment, **cluster.environment}, _ray(cluster.address))
        again.codes = codes
        again.until_done()
        return again.report("head", 1 if gone else 0)


def storm(world: World, kind: str, phase: str, seed: int, share: float = 0.04) -> Report:
    """A share of the requests to S3 meets a fault, from the first look at the source on."""
    trial = world.trial(phase, on_s3=True)
    runs = Runs(trial, world.environment)
    faults = 0
    for turn in range(2):
        world.proxy.change({kind: share}, seed + turn)
        runs.once()
        faults += world.proxy.change()
        if runs.codes[-1] == 0:
            break
    runs.until_done()
    return runs.report(kind, faults)


def expire(world: World, phase: str, seed: int) -> Report:
    """Credentials expire in the middle: the run ends with a sentence, and goes on with new ones."""
    return _turned(world, "expired", phase, seed, "check the credentials")


def forget(world: World, phase: str, seed: int) -> Report:
    """A store that begins to lie in the middle and keeps no commit is found out by reading back."""
    return _turned(world, "forgetting", phase, seed, "does not have it")


def lie(world: World, phase: str, seed: int) -> Report:
    """A store that lets two creators win is refused before anything is written."""
    trial = world.trial(phase, on_s3=True)
    runs = Runs(trial, world.environment)
    world.proxy.change({"lying": 1.0}, seed)
    code = runs.once()
    met = world.proxy.change()
    complaint = "" if code == 3 else f"the run was not refused but ended with {code}"
    if Table(trial.table).version() >= 0:
        complaint = "a table was committed to a store that lies"
    runs.until_done()
    return runs.report("lying", min(1, met), complaint)


def _turned(world: World, kind: str, phase: str, seed: int, says: str) -> Report:
    """Every request meets a fault once the run has begun; it must fail and say so."""
    trial = world.trial(phase, on_s3=True)
    runs = Runs(trial, world.environment)

    def turn(process: subprocess.Popen[bytes]) -> None:
        while not runs_of(trial.table) and process.poll() is None:
            time.sleep(0.05)
        world.proxy.change({kind: 1.0}, seed)

    code = runs.once(turn)
    met = world.proxy.change()
    complaint = ""
    if met and (code == 0 or says not in trial.said()):
        complaint = f"the run ended with {code} and did not say {says!r}"
    runs.until_done()
    return runs.report(kind, min(1, met), complaint)


def _ray(address: str) -> tuple[str, ...]:
    return ("--runner", "ray", "--address", address)


def _of_cluster(world: World, kind: str, address: str) -> list[int]:
    """Processes of a kind that belong to the cluster at an address, the head's first."""
    port = address.rpartition(":")[2]
    titles = dict(processes.marked(world.mark))
    found = [pid for pid in processes.of_kind(world.mark, kind) if port in titles.get(pid, "")]
    return sorted(found)
