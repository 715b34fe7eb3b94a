"""A small lake: a BEIR folder, two models, and the pipeline from judgments to triples."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cluster.commands import runner_named
from cluster.execute import Result, run_pipeline
from cluster.progress import Progress
from pipelines.config import parse
from tests.pipeline_builders import lines, write_files

WORDS = ("amber", "basalt", "cobalt", "delta", "ember", "fjord", "granite", "heron", "iris", "jade")
DOCUMENTS = [
    {"_id": f"d{n:03d}", "title": f"{WORDS[n % 10]} {WORDS[n // 10]}", "text": f"text number {n}"}
    for n in range(100)
]
TWIN = {"_id": "twin", "title": "amber amber", "text": "text number 0"}
"""The very text of d000, the positive of q00."""
QUERIES = [{"_id": f"q{n:02d}", "text": f"{WORDS[n % 10]} {WORDS[n // 10]} ?"} for n in range(30)]
UNJUDGED, LOST, ABSENT = "q27", "q28", "q29"
QRELS = "query-id\tcorpus-id\tscore\n" + "".join(
    [
        *(f"q{n:02d}\td{n:03d}\t1\n" for n in range(27)),
        *(f"q{n:02d}\td{n + 40:03d}\t1\n" for n in range(10)),
        f"{LOST}\tnowhere\t1\n",
        f"{ABSENT}\td001\t0\n",
        "q03\talso-nowhere\t1\n",
    ]
)


@dataclass(frozen=True)
class Lake:
    """A BEIR folder, two models, and where the tables of its pipeline lie."""

    root: Path
    encoder: Path
    teacher: Path
    name: str = ""
    """Keeps the tables of another run apart, but for the vectors."""

    def table(self, phase: str) -> str:
        return str(self.root / (phase if phase in {"documents", "queries"} else self.name + phase))

    def config(self, **changes: Any) -> dict[str, Any]:
        """The whole pipeline; `mine`, `teach` and `distil` change the fields of those steps."""
        source, parts = str(self.root / "beir"), changes.get("parts", 1)
        mine = {
            "qrels": {"uri": f"{source}/qrels/train.tsv"},
            "dense": [{"vectors": {"phase": "documents"}}],
            "bm25": {},
            "rules": ["duplicate-text"],
            "selection": {"negatives": 5, "range_max": 20},
            **changes.get("mine", {}),
        }
        teach = {"teacher": "cross-encoder", "model": "teacher"}
        encode = [{"tokenize": {"model": "tiny"}}, {"encode": {"model": "tiny"}}]
        distil = {"scores": {"phase": "scores"}, **changes.get("distil", {})}
        phases = {
            "documents": {"read": {"uri": source}, "steps": encode},
            "queries": {"read": {"uri": source, "part": "queries"}, "steps": encode},
            "negatives": {
                "read": {"phase": "queries", "unit_bytes": 2000},
                "steps": [{"mine": mine, "resources": {"workers": parts, "cpus": 0.5}}],
            },
            "scores": {
                "read": {"phase": "negatives"},
                "steps": [
                    {"pairs": {}},
                    *({"teach": each} for each in changes.get("teach", [teach])),
                ],
            },
            "triples": {"read": {"phase": "negatives"}, "steps": [{"distil": distil}]},
        }
        for name, phase in phases.items():
            phase["write"] = {"table": self.table(name), "gate": {"max_bad_rows": 0.2}}
        last = list(phases).index(changes.get("last", "triples")) + 1
        return {
            "models": {"tiny": {"path": str(self.encoder)}, "teacher": {"path": str(self.teacher)}},
            "phases": dict(list(phases.items())[:last]),
        }

    def run(self, runner: str, **changes: Any) -> dict[str, Result]:
        pipeline = parse(yaml.safe_dump(self.config(**changes), sort_keys=False))
        results = run_pipeline(pipeline, runner_named(runner, ""), Progress())
        return {result.phase: result for result in results}


def beir(root: Path) -> None:
    files: Mapping[str, bytes] = {
        "corpus.jsonl": lines([*DOCUMENTS, TWIN]),
        "queries.jsonl": lines(QUERIES),
        "qrels/train.tsv": QRELS.encode(),
    }
    write_files(str(root / "beir"), files)
