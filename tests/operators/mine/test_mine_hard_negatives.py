"""The same settings give the negatives of `sentence_transformers.util.mine_hard_negatives`."""

from collections import defaultdict

import numpy as np
import pytest

from operators.mine.rules import rule
from operators.mine.selection import Selection
from tests.mined import mined, pairs, simple

pytestmark = pytest.mark.slow  # sentence-transformers and datasets take seconds to import

QUERIES, DOCUMENTS, DIM = 24, 160, 16
SETTINGS = [
    {"num_negatives": 4},
    {"num_negatives": 4, "range_min": 3},
    {"num_negatives": 4, "range_min": 3, "range_max": 25, "relative_margin": 0.1},
    {"num_negatives": 5, "relative_margin": 0.05},
    {"num_negatives": 5, "relative_margin": 0.4, "range_max": 60},
    {"num_negatives": 5, "absolute_margin": 0.2},
    {"num_negatives": 5, "absolute_margin": 0.1, "relative_margin": 0.2, "range_max": 40},
    {"num_negatives": 3, "max_score": 0.3},
    {"num_negatives": 6, "min_score": 0.45},
    {"num_negatives": 3, "max_score": 0.4, "min_score": 0.2, "range_min": 2},
]
RULES = {
    "absolute_margin": ("absolute-margin", "margin"),
    "relative_margin": ("relative-margin", "margin"),
    "max_score": ("max-score", "limit"),
    "min_score": ("min-score", "limit"),
}


@pytest.fixture(scope="module")
def vectors():
    """Unit vectors of queries and documents; the positives, one to three a query, are near."""
    rng = np.random.default_rng(5)
    made = rng.normal(size=(QUERIES + DOCUMENTS, DIM)).astype(np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    queries, documents = made[:QUERIES], made[QUERIES:]
    scores = queries @ documents.T
    own = [
        np.argsort(-scores[query])[rng.integers(0, 30, 1 + query % 3)] for query in range(QUERIES)
    ]
    return queries, documents, [sorted(set(map(int, rows))) for rows in own]


@pytest.fixture(scope="module")
def model(vectors):
    """A real sentence-transformers model that gives each text, one word, the vector chosen."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit

    names = [*(f"q{row}" for row in range(QUERIES)), *(f"d{row}" for row in range(DOCUMENTS))]
    vocabulary = {name: number for number, name in enumerate(names)} | {"[UNK]": len(names)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    weights = np.concatenate([*vectors[:2], np.zeros((1, DIM), np.float32)])
    return SentenceTransformer(
        modules=[StaticEmbedding(tokenizer, embedding_weights=weights)], device="cpu"
    )


def theirs(model, positives, settings) -> dict[str, set[str]]:
    from datasets import Dataset
    from sentence_transformers.util import mine_hard_negatives

    rows = [(f"q{query}", f"d{row}") for query, own in enumerate(positives) for row in own]
    asked, answers = map(list, zip(*rows, strict=True))
    found = mine_hard_negatives(
        Dataset.from_dict({"query": asked, "answer": answers}),
        model,
        corpus=[f"d{row}" for row in range(DOCUMENTS)],
        output_format="labeled-list",
        verbose=False,
        **settings,
    )
    negatives: dict[str, set[str]] = defaultdict(set)
    for row in found:
        labelled = zip(row["answer"], row["labels"], strict=True)
        negatives[row["query"]] |= {text for text, label in labelled if not label}
    return negatives


def ours(vectors, settings) -> dict[str, list[str]]:
    queries, documents, positives = vectors
    selection = Selection(
        negatives=settings["num_negatives"],
        range_min=settings.get("range_min", 0),
        range_max=settings.get("range_max", 0),
    )
    scores = queries @ documents.T
    own = [(query, row, scores[query, row]) for query, rows in enumerate(positives) for row in rows]
    case = simple(scores, pairs(*own), depth=selection.depth(max(map(len, positives))))
    rules = [
        rule(name, {option: settings[key]})
        for key, (name, option) in RULES.items()
        if key in settings
    ]
    return mined(case, rules, selection)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_each_query_gets_the_same_negatives(model, vectors, settings) -> None:
    expected = theirs(model, vectors[2], settings)
    found = ours(vectors, settings)
    assert sum(map(len, expected.values())) > 20
    assert {name: set(ids) for name, ids in found.items() if ids} == dict(expected)
