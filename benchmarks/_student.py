"""A small student: MiniLM cut to three layers, trained on n-tuples, and ranked on SciFact test."""

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from datasets import Dataset  # type: ignore[import-untyped]
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import (
    DistillKLDivLoss,
    MultipleNegativesRankingLoss,
)
from sentence_transformers.util import pairwise_cos_sim
from transformers import set_seed

from benchmarks._scifact import Judged
from operators.mine.quality import judgments, ndcg

LAYERS = (0, 2, 5)
SCALE = 20.0
"""Of the cosines in both losses, as MultipleNegativesRankingLoss has it by default."""

PerQuery = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Training:
    """How every arm trains, alike but for its data and loss."""

    length: int = 128
    epochs: int = 1
    batch: int = 16
    rate: float = 1e-4
    bf16: bool = True


def student(model: Path, length: int) -> SentenceTransformer:
    """MiniLM with three of its layers."""
    made = SentenceTransformer(str(model), device="cpu")
    made.max_seq_length = length
    body: Any = made[0].auto_model
    body.encoder.layer = torch.nn.ModuleList([body.encoder.layer[each] for each in LAYERS])
    body.config.num_hidden_layers = len(LAYERS)
    return made


class Both(torch.nn.Module):
    """The ranking loss over the batch plus the divergence from the teachers over each list."""

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__()
        self.model = model
        self.ranking = MultipleNegativesRankingLoss(model, scale=SCALE)
        self.distilled = distilled(model)

    def forward(self, sentence_features: Iterable[Any], labels: torch.Tensor) -> torch.Tensor:
        vectors = [self.model(each)["sentence_embedding"] for each in sentence_features]
        ranked: torch.Tensor = self.ranking.compute_loss_from_embeddings(vectors, labels)
        near: torch.Tensor = self.distilled.compute_loss_from_embeddings(vectors, labels)
        return ranked + near


def distilled(model: SentenceTransformer) -> DistillKLDivLoss:
    """Divergence of the student's softmax over a list from the teachers', both at temperature 1."""

    def scaled(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return SCALE * pairwise_cos_sim(one, other)

    return DistillKLDivLoss(model, similarity_fct=scaled, temperature=1.0)


LOSSES: dict[str, Any] = {
    "ranking": lambda model: MultipleNegativesRankingLoss(model, scale=SCALE),
    "divergence": distilled,
    "ranking + divergence": Both,
}


def trained(
    model: Path, rows: pa.Table, loss: str, how: Training, seed: int
) -> SentenceTransformer:
    """The student after training on the rows; the seed fixes weights, order and dropout."""
    set_seed(seed)
    torch.use_deterministic_algorithms(True)
    made = student(model, how.length)
    columns = {name: rows[name].to_pylist() for name in rows.column_names}
    data = Dataset.from_dict({("label" if n == "scores" else n): v for n, v in columns.items()})
    with tempfile.TemporaryDirectory() as folder:
        arguments = SentenceTransformerTrainingArguments(
            output_dir=folder,
            num_train_epochs=how.epochs,
            per_device_train_batch_size=how.batch,
            learning_rate=how.rate,
            warmup_steps=0.1,
            seed=seed,
            data_seed=seed,
            bf16=how.bf16,
            use_cpu=True,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            batch_sampler="no_duplicates",
        )
        trainer = SentenceTransformerTrainer(
            model=made, args=arguments, train_dataset=data, loss=LOSSES[loss](made)
        )
        trainer.train()
    return made.eval()


def scored(model: SentenceTransformer, judged: Judged) -> PerQuery:
    """nDCG@10 of every test query."""
    asked = pa.compute.is_in(judged.queries["id"], judged.test["query_id"].combine_chunks())
    queries = judged.queries.filter(asked)
    documents = encoded(model, list(map(str, judged.documents["text"])))
    scores = encoded(model, list(map(str, queries["text"]))) @ documents.T
    ranking = np.argsort(-scores, axis=1, kind="stable")[:, :10].astype(np.int64)
    return ndcg(ranking, judgments(judged.test, queries["id"], judged.documents["id"]), 10)


def encoded(model: SentenceTransformer, texts: list[str]) -> npt.NDArray[np.float32]:
    """Unit vectors, computed under bf16 autocast."""
    with torch.autocast("cpu", torch.bfloat16):
        vectors = model.encode(
            texts, batch_size=64, show_progress_bar=False, convert_to_tensor=True
        )
    return np.asarray(torch.nn.functional.normalize(vectors.float(), dim=1).cpu())


def p_value(one: PerQuery, other: PerQuery, rounds: int = 20_000) -> float:
    """Two-sided p of a paired permutation test: signs of the differences flipped at random."""
    apart = one - other
    rng = np.random.default_rng(0)
    seen = abs(apart.sum())
    hits = 0
    for _ in range(rounds // 1000):
        signs = rng.choice(np.array([-1.0, 1.0]), (1000, len(apart)))
        hits += int(np.count_nonzero(np.abs(signs @ apart) >= seen - 1e-12))
    return (hits + 1) / (rounds // 1000 * 1000 + 1)
