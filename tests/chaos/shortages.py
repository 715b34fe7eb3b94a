"""What runs out or stands still: the disk, the object store, rows that kill or never end."""

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from operators.storage.table import Table
from tests.chaos import nodes
from tests.chaos.scenarios import MOST_RUNS, Report, Runs
from tests.chaos.trial import PATIENCE, Compared, ended
from tests.chaos.world import World
from tests.pipeline_builders import good_rows, ids_of, lines, quarantined, write_files
from tests.poison import DEADLY, ENDLESS

_ROWS = 60
_SCRIPT = """
mount -t tmpfs -o size={small}k none {place} || exit 77
{run}; echo $? > {codes}
mount -o remount,size=64m {place}
{run}; echo $? >> {codes}
cp -a {place}/. {kept}
"""
"""In a mount name space of its own, so that nothing is left mounted."""
_BLOB = 3 << 20
_SMALL = {"queries": (30, 60)}
"""Kilobytes of a disk that a phase fills; others need 80 and more."""
_HOARD = 7
"""Objects of 10 MiB in a store of 80."""
_SMALL_STORE: tuple[nodes.Node, ...] = ({"num_cpus": 4, "object_store_memory": 80 << 20},)


def fill_disk(world: World, phase: str, seed: int) -> Report:
    """The disk is full in the middle: the run fails, and goes on when there is room."""
    trial, chance = world.trial(phase), random.Random(seed)
    runs, codes, kept = (
        Runs(trial, world.environment),
        trial.folder / "codes",
        trial.folder / "kept",
    )
    Path(trial.place).mkdir()
    kept.mkdir()
    command = f"{sys.executable} -m cluster.cli run {trial.config()} >> {trial.output} 2>&1"
    script = _SCRIPT.format(
        small=chance.randint(*_SMALL.get(phase, (80, 160))),
        place=trial.place,
        run=command,
        codes=codes,
        kept=kept,
    )
    subprocess.run(
        ["unshare", "-m", "sh", "-c", script], cwd=nodes.PROJECT, check=False, timeout=PATIENCE
    )
    if not codes.exists():
        return Report(
            "disk full", phase, 0, Compared(0, 0, 0), [], complaint="no mount name spaces here"
        )
    runs.codes = [int(line) for line in codes.read_text().split()]
    trial.place = str(kept)
    full = runs.codes[0] != 0
    told = not full or "No space left" in trial.output.read_text(errors="replace")
    complaint = "" if told else "the full disk was not told"
    return runs.report("disk full", int(full), complaint)


def fill_object_store(world: World, seed: int) -> Report:
    """Another driver has filled the object store: units that pass through it must make room."""
    trial = world.trial("documents")
    chance = random.Random(seed)
    rows = [{**row, "blob": chance.randbytes(_BLOB // 2).hex()} for row in good_rows(0, _ROWS)]
    docs = write_files(f"{trial.folder}/docs", {"a.jsonl": lines(rows)})
    table = f"{trial.place}/poison"
    with nodes.started(trial.folder, world.environment, _SMALL_STORE) as cluster:
        environment = {**world.environment, **cluster.environment}
        with _hoarded(cluster):
            codes = _until_done(trial.output, environment, docs, table, cluster.address, 4 * _BLOB)
            spilled = _spilled(cluster)
    return Report("object store full", "texts", int(spilled), _against(table, set()), codes)


def poison(world: World, seed: int) -> Report:
    """Rows that kill their process are put aside alone, and every other row is saved."""
    return _bad_row(world, seed, DEADLY, "poison row")


def hang(world: World, seed: int) -> Report:
    """A row whose step never ends is put aside alone, and every other row is saved."""
    return _bad_row(world, seed, ENDLESS, "hung step")


def _bad_row(world: World, seed: int, word: str, kind: str) -> Report:
    cluster, trial = world.cluster, world.trial("documents")
    bad = random.Random(seed).randrange(_ROWS)
    rows = [dict(row) for row in good_rows(0, _ROWS)]
    rows[bad]["text"] = f"{rows[bad]['text']} {word}"
    docs = write_files(f"{trial.folder}/docs", {"a.jsonl": lines(rows)})
    table, environment = f"{trial.place}/poison", {**world.environment, **cluster.environment}
    codes = _until_done(trial.output, environment, docs, table, cluster.address, 1000)
    name = str(rows[bad]["id"])
    complaint = "" if {each for each, _ in quarantined(table)} == {name} else "not put aside alone"
    return Report(kind, "texts", 1, _against(table, {name}), codes, complaint=complaint)


def _until_done(
    output: Path, environment: dict[str, str], docs: str, table: str, address: str, unit_bytes: int
) -> list[int]:
    """Exit codes of the command, repeated until it ends well."""
    command = [sys.executable, "-m", "tests.poison", docs, table, address, str(unit_bytes)]
    codes: list[int] = []
    while codes[-1:] != [0] and len(codes) < MOST_RUNS:
        with output.open("ab") as log:
            process = subprocess.Popen(
                command, cwd=nodes.PROJECT, stdout=log, stderr=log, env=environment
            )
            codes.append(ended(process))
    return codes


def _against(table: str, aside: set[str]) -> Compared:
    wanted = {str(row["id"]) for row in good_rows(0, _ROWS)} - aside
    found = ids_of(table) if Table(table).version() >= 0 else []
    return Compared(
        len(wanted - set(found)), len(found) - len(set(found)), len(set(found) - wanted)
    )


@contextmanager
def _hoarded(cluster: nodes.Nodes) -> Iterator[None]:
    """A driver of its own that holds nearly all of the object store."""
    code = (
        "import ray, sys, numpy as np\n"
        f"ray.init('{cluster.address}', logging_level='ERROR', log_to_driver=False)\n"
        f"held = [ray.put(np.ones(10 << 20, np.uint8)) for _ in range({_HOARD})]\n"
        "print('full', flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=cluster.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as hoarder:
        assert hoarder.stdout
        assert hoarder.stdout.readline() == b"full\n"
        yield
        hoarder.communicate(timeout=PATIENCE)


def _spilled(cluster: nodes.Nodes) -> bool:
    """Whether the object store wrote to disk what it could not hold, by its own metrics."""
    code = (
        "import ray; from ray._private.internal_api import memory_summary; "
        f"ray.init('{cluster.address}', logging_level='ERROR'); "
        "print(memory_summary(stats_only=True))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=cluster.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return "Spilled" in done.stdout
