"""Every export is loaded by the library it is for, and takes one training step."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_models import build_bert
from tests.training_tables import Collection, exported

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

SCORES = {f"d{n}": 0.9 - n / 100 for n in range(40)}
LOGITS = {f"d{n}": 4 - n / 5 for n in range(40)}


@pytest.fixture(scope="module")
def tables(tmp_path_factory) -> dict[str, str]:
    """A table of negatives and one of triples for each target."""
    collection = Collection(str(tmp_path_factory.mktemp("in")))
    rows = [(f"q{n}", [f"d{n}"], [f"d{n + 8 + k}" for k in range(3)]) for n in range(8)]
    mined = collection.mined(*rows, scores=SCORES)
    made = {kind: collection.triples(mined, kind, LOGITS) for kind in ("margin-mse", "softmax")}
    return {"negatives": collection.negatives(mined), **made}


def export(uri: str, folder: Path, form: str, *options: str) -> Path:
    assert exported([uri, "--format", form, "--out", str(folder), *options]) == 0
    return folder


def loaded(folder: Path, tmp_path: Path, kind: str = "parquet", name: str = "train") -> Any:
    from datasets import load_dataset

    suffix = "parquet" if kind == "parquet" else "jsonl"
    file = str(folder / f"{name}.{suffix}")
    return load_dataset(kind, data_files=file, split="train", cache_dir=str(tmp_path / "cache"))


def arguments(kind: Any, tmp_path: Path) -> Any:
    return kind(
        output_dir=str(tmp_path / "trained"),
        max_steps=1,
        per_device_train_batch_size=4,
        learning_rate=0.1,
        report_to="none",
        use_cpu=True,
        save_strategy="no",
        disable_tqdm=True,
    )


def trained(model: Any, trainer: Any) -> None:
    """One step, that has a finite loss and moves the weights."""
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    loss = trainer.train().training_loss
    assert loss == loss
    assert abs(loss) < float("inf")
    assert any((weight != before[name]).any() for name, weight in model.named_parameters())


@pytest.mark.parametrize(
    ("table", "form", "options", "loss"),
    [
        ("negatives", "triplet", (), "TripletLoss"),
        ("negatives", "triplet", (), "MultipleNegativesRankingLoss"),
        ("negatives", "n-tuple", (), "MultipleNegativesRankingLoss"),
        ("negatives", "n-tuple-scores", (), "MarginMSELoss"),
        ("margin-mse", "n-tuple-scores", (), "MarginMSELoss"),
        ("margin-mse", "triplet", ("--labels", "scores"), "MarginMSELoss"),
        ("softmax", "n-tuple-scores", ("--labels", "log-targets"), "DistillKLDivLoss"),
        ("negatives", "labeled-pair", (), "CosineSimilarityLoss"),
        ("softmax", "labeled-pair", (), "CoSENTLoss"),
    ],
)
def test_a_bi_encoder_takes_a_step(tables, tmp_path, table, form, options, loss) -> None:
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer import losses

    data = loaded(export(tables[table], tmp_path / "out", form, *options), tmp_path)
    model = SentenceTransformer(str(build_bert(tmp_path / "model")), device="cpu")
    trainer = SentenceTransformerTrainer(
        model=model,
        args=arguments(SentenceTransformerTrainingArguments, tmp_path),
        train_dataset=data,
        loss=getattr(losses, loss)(model),
    )
    trained(model, trainer)


@pytest.mark.parametrize(
    ("table", "form", "loss"),
    [
        ("negatives", "labeled-list", "LambdaLoss"),
        ("softmax", "labeled-list", "LambdaLoss"),
        ("softmax", "labeled-list", "ListNetLoss"),
        ("negatives", "labeled-pair", "BinaryCrossEntropyLoss"),
        ("margin-mse", "n-tuple-scores", "MarginMSELoss"),
    ],
)
def test_a_cross_encoder_takes_a_step(tables, tmp_path, table, form, loss) -> None:
    from sentence_transformers.cross_encoder import (
        CrossEncoder,
        CrossEncoderTrainer,
        CrossEncoderTrainingArguments,
        losses,
    )

    data = loaded(export(tables[table], tmp_path / "out", form), tmp_path)
    folder = build_bert(tmp_path / "model")
    for extra in ("modules.json", "config_sentence_transformers.json"):
        (folder / extra).unlink()
    model = CrossEncoder(str(folder), num_labels=1, device="cpu")
    trainer = CrossEncoderTrainer(
        model=model,
        args=arguments(CrossEncoderTrainingArguments, tmp_path),
        train_dataset=data,
        loss=getattr(losses, loss)(model),
    )
    trained(model, trainer)


def test_a_colbert_of_pylate_takes_a_step(tables, tmp_path) -> None:
    pytest.importorskip("pylate", reason="pylate is missing")
    import torch
    from pylate import losses, models, utils
    from sentence_transformers.models import Transformer

    folder = export(tables["margin-mse"], tmp_path / "out", "pylate")
    train, queries, documents = (
        loaded(folder, tmp_path, name=name) for name in ("train", "queries", "documents")
    )
    process = utils.KDProcessing(queries=queries, documents=documents)
    train.set_transform(process.transform)
    model = models.ColBERT(
        modules=[Transformer(str(build_bert(tmp_path / "model")))],
        device="cpu",
        embedding_size=16,
        query_length=16,
        document_length=32,
    )
    features = [train[place] for place in range(4)]
    assert features[0]["query"] == "what is query 0"
    assert features[0]["documents"][0] == "the passage 0 says so"
    assert features[0]["scores"] == pytest.approx([4, 2.4, 2.2, 2])
    batch = utils.ColBERTCollator(tokenize_fn=model.tokenize)(features)
    asked, given = (columns_of(batch, prefix) for prefix in ("query_", "documents_"))
    loss = losses.Distillation(model)([asked, given], batch["label"])
    step(loss, torch.optim.SGD(model.parameters(), lr=0.1), model)


def columns_of(batch: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {key.removeprefix(prefix): batch[key] for key in batch if key.startswith(prefix)}


def step(loss: Any, optimizer: Any, model: Any) -> None:
    before = [weight.detach().clone() for weight in model.parameters()]
    assert loss.isfinite()
    loss.backward()
    optimizer.step()
    moved = [(a != b).any() for a, b in zip(before, model.parameters(), strict=True)]
    assert any(moved)


def test_flagembeddings_group_of_a_query_and_its_passages_takes_a_step(tables, tmp_path) -> None:
    """As its AbsDataset reads a line: a positive, negatives, a KL divergence over their scores."""
    folder = export(tables["softmax"], tmp_path / "out", "flagembedding")
    data = loaded(folder, tmp_path, kind="json")
    assert data.column_names == ["query", "pos", "neg", "pos_scores", "neg_scores"]
    groups = [
        (row["query"], row["pos"][:1] + row["neg"], row["pos_scores"][:1] + row["neg_scores"])
        for row in data
    ]
    divergence(tmp_path, groups)


def test_tevatrons_group_of_a_query_and_its_passages_takes_a_step(tables, tmp_path) -> None:
    """As its DistilTrainDataset reads a line: passages with their scores."""
    folder = export(tables["softmax"], tmp_path / "out", "tevatron")
    data = loaded(folder, tmp_path, kind="json")
    assert data.column_names == ["query_id", "query", "positive_passages", "negative_passages"]
    groups = []
    for row in data:
        passages = row["positive_passages"][:1] + row["negative_passages"]
        assert all(set(passage) == {"docid", "text", "score"} for passage in passages)
        texts, scores = ([each[key] for each in passages] for key in ("text", "score"))
        groups.append((row["query"], texts, scores))
    divergence(tmp_path, groups)


def divergence(tmp_path: Path, groups: list[tuple[str, list[str], list[float]]]) -> None:
    """One step of listwise distillation, written out."""
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(build_bert(tmp_path / "model")), device="cpu")
    model.train()
    queries, documents, scores = zip(*groups, strict=True)
    texts = [*queries, *(text for each in documents for text in each)]
    vectors = model(model.preprocess(texts))["sentence_embedding"]
    asked, given = vectors[: len(queries)], vectors[len(queries) :]
    bounds = [0]
    for each in documents:
        bounds.append(bounds[-1] + len(each))
    losses = [
        torch.nn.functional.kl_div(
            torch.log_softmax(given[start:stop] @ query / 0.05, 0),
            torch.softmax(torch.tensor(score), 0),
            reduction="sum",
        )
        for query, (start, stop), score in zip(asked, pairwise(bounds), scores, strict=True)
    ]
    step(torch.stack(losses).mean(), torch.optim.SGD(model.parameters(), lr=0.1), model)


def test_the_lines_are_plain_json_in_utf8(tables, tmp_path) -> None:
    folder = export(tables["negatives"], tmp_path / "out", "flagembedding")
    (first, *_) = (folder / "train.jsonl").read_bytes().splitlines()
    assert json.loads(first)["neg"][0] == "the passage 8 says so"
