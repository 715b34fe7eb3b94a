"""Every strategy, source, teacher and scheme: YAML through Ray gives what one process gives.

A new kind has no case here, and fails a test until it has one.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import pytest
import yaml

from cluster.execute import run_pipeline
from cluster.progress import Progress
from cluster.runner import Runner
from operators.encode.strategies import AnyStrategy
from operators.mine.mine import Mine
from operators.quantize.registry import SCHEMES
from operators.storage.table import Table
from operators.teach.registry import TEACHERS
from pipelines.config import parse
from tests.pipeline_builders import equal_tables, lines, rows_of, write_files
from tests.tiny_heads import build_colbert, build_confident, build_nv_embed
from tests.tiny_models import (
    build_bert,
    build_classifier,
    build_language_model,
    build_llama,
    build_qwen3,
    build_uni_encoder,
)
from tests.windowed_models import build_gemma3, build_mistral, build_modernbert

Runners = Callable[[str], Runner]
RUNNERS = ("local", "ray")
PASSAGES = {"late-passages": {"model": "tiny", "tokens": 16, "overlap": 4}}


class Case(NamedTuple):
    """A tiny model by its builder, and what a config says of the strategy."""

    build: Callable[[Path], Path]
    strategy: dict[str, Any] = {}  # noqa: RUF012 - never changed
    encode: dict[str, Any] = {}  # noqa: RUF012 - never changed
    read: dict[str, Any] = {"tokenize": {"model": "tiny"}}  # noqa: RUF012 - never changed


STRATEGIES = {
    "2dmse": Case(build_modernbert, {"layers": 1, "dims": 24}),
    "colbert-xm": Case(build_colbert, {"languages": {"uk": "de_DE"}, "share": 0.7}),
    "dupmae": Case(build_confident, {"top_k": 20}, {"pooling": "cls", "normalize": False}),
    "gem": Case(build_gemma3, {"tokens": 2, "pool": "concat"}),
    "jrt-repeat": Case(build_qwen3),
    "late-chunking": Case(build_bert, {"window": 48}, {}, PASSAGES),
    "nv-embed": Case(build_nv_embed),
    "pooled": Case(build_bert),
    "prefix-lm": Case(build_mistral, {"prefix": 3}),
    "rcnn-pool": Case(build_bert),
    "splade": Case(build_confident, {"top_k": 20}),
    "static-l0": Case(build_bert, {"states": "first", "sif": 1e-3}),
    "token-prepending": Case(
        build_llama, {"prompts": ["a: <PST> {text} is:"], "stop": 2, "out": -1}
    ),
    "ullme": Case(build_llama, {}, {"pooling": "mean"}),
}
SHORT = {"2dmse", "colbert-xm", "dupmae", "gem", "splade", "static-l0", "token-prepending"}
"""Those that differ most in what they do; the others take as long again."""
CELLS = {"kind": "ivf", "lists": 4, "effort": 4}
SOURCES: dict[str, Any] = {
    "dense": [
        {"vectors": {"phase": "documents"}, "name": "exact"},
        {"vectors": {"phase": "documents"}, "name": "graph", "approximate": {"kind": "hnsw"}},
        {"vectors": {"phase": "documents"}, "name": "cells", "approximate": CELLS},
    ],
    "lexical": [{"vectors": {"phase": "documents"}, "dense": 1.0}],
    "late": [{"vectors": {"phase": "tokens"}, "queries": {"phase": "asked"}}],
    "bm25": {},
    "inbook": {},
}
NO_SOURCE = {"qrels", "depth", "fusion", "rules", "selection", "audit", "scores", "teacher"}
SET_BY_PLAN = {"documents", "queries", "judgments", "texts"}
ASK = {"template": "{text} {query}:", "answers": ["the", "of"]}
TEACHES: dict[str, dict[str, Any]] = {
    "cross-encoder": {"model": "cross"},
    "bi-encoder": {"model": "bert"},
    "query-likelihood": {"model": "lm", "template": "{text} {query}"},
    "answer-likelihood": {"model": "lm", "answer": "a", "template": "{text} {query}: {answer}"},
    "yes-no": {"model": "lm", **ASK},
    "uni-encoder": {"model": "uni", "layout": "square"},
    "maxsim": {"model": "colbert", "language": "en_XX"},
}
QUANTIZED: dict[str, dict[str, Any]] = {
    "fp16": {},
    "fp8": {},
    "int8": {"keep_embedding": True},
    "int8-dim": {},
    "binary": {"center": "median"},
    "rabitq": {"dims": 24},
    "pq": {"blocks": 4},
    "opq": {"blocks": 4},
    "rvq": {"stages": 2},
    "residual-codec": {"nbits": 4},
    "truncate": {"dims": 12},
}
MODELS = {
    "both": build_confident,
    "cross": build_classifier,
    "bert": build_bert,
    "lm": build_language_model,
    "uni": build_uni_encoder,
    "colbert": build_colbert,
}


def done(runner: Runners, by: str, **config: Any) -> None:
    """The phases of a config, run by the runner of that name."""
    text = yaml.safe_dump(config, sort_keys=False)
    run_pipeline(parse(text), runner(by), Progress(quiet=True))


def test_every_kind_has_a_case() -> None:
    kinds = {
        each.__dataclass_fields__["kind"].default for each in get_args(get_args(AnyStrategy)[0])
    }
    assert set(STRATEGIES) == kinds
    assert set(TEACHES) == set(TEACHERS)
    assert set(QUANTIZED) == set(SCHEMES)
    assert set(SOURCES) == {field.name for field in fields(Mine)} - NO_SOURCE - SET_BY_PLAN


@pytest.mark.ray
@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=[] if kind in SHORT else pytest.mark.long) for kind in STRATEGIES],
)
def test_a_strategy_commits_the_same_rows(kind, tmp_path, runner_called) -> None:
    case = STRATEGIES[kind]
    spoken = ("en", "de", "uk")
    rows = [
        {
            "id": f"d{n:02d}",
            "text": "The fox ran on. " * (n % 4) + f"Row {n}.",
            "lang": spoken[n % 3],
        }
        for n in range(10)
    ]
    docs = write_files(f"{tmp_path}/docs", {"a.jsonl": lines(rows[:6]), "b.jsonl": lines(rows[6:])})
    encode = {"model": "tiny", **case.encode, "strategy": {"kind": kind, **case.strategy}}
    phase = {
        "read": {"uri": docs, "keep": ["lang"], "unit_bytes": 500},
        "steps": [case.read, {"encode": encode}],
    }
    models = {"tiny": {"path": str(case.build(tmp_path / "model"))}}
    tables = {by: f"{tmp_path}/{by}" for by in RUNNERS}
    for by, table in tables.items():
        done(
            runner_called, by, models=models, phases={"rows": {**phase, "write": {"table": table}}}
        )
    assert equal_tables(tables["local"], tables["ray"])
    found = rows_of(tables["ray"])
    named = "parent_id" if kind == "late-chunking" else "id"
    assert set(found[named].to_pylist()) == {row["id"] for row in rows}
    assert len(Table(tables["ray"]).files(0)) > 1


@dataclass(frozen=True)
class World:
    """Models, and tables of documents and queries with every kind of vector, made locally."""

    root: Path
    runner: Runners

    def table(self, name: str) -> str:
        return str(self.root / name)

    def run(self, by: str, phases: dict[str, Any]) -> None:
        models = {name: {"path": str(self.root / "models" / name)} for name in MODELS}
        for name, phase in phases.items():
            phase["write"] = {"table": self.table(name)}
        done(self.runner, by, models=models, phases=phases)

    def on_both(self, name: str, read: str, *steps: dict[str, Any]) -> tuple[str, str]:
        """The tables that both runners make of the rows of a table."""
        made = [f"{by}-{name}" for by in RUNNERS]
        for by, table in zip(RUNNERS, made, strict=True):
            self.run(by, {table: {"read": {"uri": self.table(read)}, "steps": list(steps)}})
        return self.table(made[0]), self.table(made[1])


@pytest.fixture(scope="module")
def world(tmp_path_factory, runner_called) -> World:
    root = tmp_path_factory.mktemp("kinds")
    words = ("amber", "basalt", "cobalt", "delta", "ember", "fjord")
    documents = [
        {
            "id": f"d{n:02d}",
            "parent_id": f"p{n // 3}",
            "text": f"{words[n % 6]} {words[n // 10]} {n}",
        }
        for n in range(60)
    ]
    queries = [{"id": f"q{n}", "text": f"{words[n % 6]} {n}", "a": f"of {n}"} for n in range(12)]
    judged = "query-id\tcorpus-id\tscore\n" + "".join(f"q{n}\td{n:02d}\t1\n" for n in range(12))
    files = {"docs.jsonl": lines(documents), "queries.jsonl": lines(queries)}
    write_files(f"{root}/in", {**files, "qrels.tsv": judged.encode()})
    for name, build in MODELS.items():
        build(root / "models" / name)
    both = {"model": "both", "pooling": "cls", "strategy": {"kind": "dupmae", "top_k": 40}}
    late = {"kind": "colbert-xm", "language": "en_XX"}
    passages = {"uri": f"{root}/in/docs.jsonl", "keep": ["parent_id"], "unit_bytes": 1500}
    asking = {"uri": f"{root}/in/queries.jsonl"}
    phases = {
        name: {
            "read": read,
            "steps": [{"tokenize": {"model": encode["model"]}}, {"encode": encode}],
        }
        for name, read, encode in (
            ("documents", passages, both),
            ("queries", asking, both),
            ("tokens", passages, {"model": "colbert", "strategy": late}),
            ("asked", asking, {"model": "colbert", "strategy": {**late, "role": "query"}}),
        )
    }
    world = World(root, runner_called)
    world.run("local", phases)
    return world


def mine_step(world: World) -> dict[str, Any]:
    told = yaml.safe_load(yaml.safe_dump(SOURCES).replace("phase: ", f"uri: {world.root}/"))
    chosen = {"negatives": 4, "range_max": 12}
    mine = {"qrels": {"uri": f"{world.root}/in/qrels.tsv"}, "selection": chosen, **told}
    return {"mine": mine, "resources": {"workers": 2, "cpus": 0.5}}


@pytest.mark.ray
def test_every_source_of_mining_proposes_the_same(world) -> None:
    local, ray = (
        rows_of(table) for table in world.on_both("negatives", "queries", mine_step(world))
    )
    assert ray.equals(local)
    named = {name for row in ray["sources"].to_pylist() for each in row for name in each.split("+")}
    assert named == {"exact", "graph", "cells", "lexical", "late", "bm25", "inbook"}


@pytest.mark.ray
def test_every_teacher_says_the_same_of_a_pair(world) -> None:
    world.run(
        "local", {"mined": {"read": {"uri": world.table("queries")}, "steps": [mine_step(world)]}}
    )
    each = [
        {"teach": {"teacher": teacher, **told}, "resources": {"cpus": 0.25}}
        for teacher, told in TEACHES.items()
    ]
    local, ray = (
        rows_of(table) for table in world.on_both("scores", "mined", {"pairs": {}}, *each)
    )
    assert local.drop_columns(["logit"]).equals(ray.drop_columns(["logit"]))
    assert len(set(ray["teacher"].to_pylist())) == len(TEACHES)
    np.testing.assert_allclose(local["logit"], ray["logit"], atol=1e-5)


@pytest.mark.ray
def test_a_head_learns_the_same_from_scores_and_says_the_same(world) -> None:
    mined = {"read": {"uri": world.table("queries")}, "steps": [mine_step(world)]}
    teach = {"teach": {"teacher": "bi-encoder", "model": "bert"}}
    scored = {"read": {"phase": "mined-again"}, "steps": [{"pairs": {}}, teach]}
    world.run("local", {"mined-again": mined, "known": scored})
    tables = {"scores": "known", "queries": "queries", "documents": "documents"}
    told = {name: {"uri": world.table(table)} for name, table in tables.items()}
    dse = {"dse": {**told, "hidden": 16, "epochs": 5}}
    local, ray = (
        rows_of(table) for table in world.on_both("head", "mined-again", {"pairs": {}}, dse)
    )
    assert local.drop_columns(["logit"]).equals(ray.drop_columns(["logit"]))
    np.testing.assert_allclose(local["logit"], ray["logit"], atol=1e-3)


@pytest.mark.ray
def test_every_scheme_commits_the_same_codes(world) -> None:
    steps = {
        f"codes-{name}": ("documents", {"quantize": {"scheme": name, **told}})
        for name, told in QUANTIZED.items()
    }
    steps["token-codes"] = ("tokens", {"quantize-tokens": {"nbits": 2}})
    for by in RUNNERS:
        phases = {
            f"{by}-{name}": {"read": {"uri": world.table(read)}, "steps": [step]}
            for name, (read, step) in steps.items()
        }
        world.run(by, phases)
    for name in steps:
        assert equal_tables(world.table(f"local-{name}"), world.table(f"ray-{name}")), name
