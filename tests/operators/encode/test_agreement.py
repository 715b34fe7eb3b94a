"""Real models give the vectors that sentence-transformers and transformers give."""

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from operators.arrays import to_matrix
from operators.base import Resources
from operators.encode.encode import Encode
from operators.model import Model, resolve
from operators.text.tokenizer import Tokenize

ROOT = Path(__file__).parents[3]
DOCUMENTS = 1000


@pytest.fixture(scope="session")
def scifact() -> list[str]:
    """The first documents of SciFact, title and text."""
    data = Path(os.environ.get("CORPUSMILL_DATA") or ROOT.parent / "shared" / "data")
    corpus = data / "scifact" / "corpus.jsonl"
    if not corpus.is_file():
        pytest.skip("no SciFact: CORPUSMILL_DATA names no folder that has it")
    with corpus.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line, _ in zip(lines, range(DOCUMENTS), strict=False)]
    return [f"{row['title']} {row['text']}" for row in rows]


def ours(model: Model, texts: list[str], **fields: object) -> np.ndarray:
    step = Encode(model, **fields)
    table = pa.table({"id": [str(place) for place in range(len(texts))], "text": texts})
    with Tokenize(model).open() as tokenize, step.open(Resources(device="cpu")) as encode:
        out = encode(tokenize(table))
    assert "error" not in out.column_names
    return to_matrix(out["embedding"], resolve(model).dim)


def cosines(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    return np.sum(found.astype(np.float64) * wanted, axis=1) / lengths


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize(("name", "length", "count"), [("minilm", 32, 1000), ("mpnet", 32, 150)])
def test_vectors_of_scifact_equal_sentence_transformers(name, length, count, scifact, request):
    from sentence_transformers import SentenceTransformer

    folder = request.getfixturevalue(name)
    texts = scifact[:count]
    found = ours(Model(str(folder), max_length=length), texts)
    peer = SentenceTransformer(str(folder), device="cpu")
    peer.max_seq_length = length
    wanted = peer.encode(texts)
    assert len(found) == count
    assert cosines(found, wanted).min() >= 0.99999


@pytest.mark.slow
def test_bf16_vectors_of_scifact_stay_near_float32_on_either_backend(
    minilm, scifact, tmp_path, monkeypatch
):
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path))
    texts = scifact[:40]
    exact = ours(Model(str(minilm)), texts)
    for backend in ("torch", "openvino"):
        found = ours(Model(str(minilm)), texts, precision="bf16", backend=backend)
        assert cosines(found, exact).min() >= 0.9998


def plain_loop(folder: Path, texts: list[str]) -> dict[str, np.ndarray]:
    """One text at a time through transformers, pooled in float32: last and wmean."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    network = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows: dict[str, list[np.ndarray]] = {"last": [], "wmean": []}
    for text in texts:
        words = tokenizer(text, truncation=True, max_length=64, return_tensors="pt")
        with torch.inference_mode():
            states = network(**words)[0][0]
        weights = torch.arange(1.0, len(states) + 1)
        rows["last"].append(states[-1].numpy())
        rows["wmean"].append(((states * weights[:, None]).sum(0) / weights.sum()).numpy())
    return {pooling: np.stack(vectors) for pooling, vectors in rows.items()}


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_a_decoder_equals_a_plain_loop(gemma, scifact):
    texts = [*scifact[:5], *(text[:60] for text in scifact[5:20])]
    model = Model(str(gemma), max_length=64)
    assert resolve(model).is_decoder
    for pooling, wanted in plain_loop(gemma, texts).items():
        assert cosines(ours(model, texts, pooling=pooling), wanted).min() >= 0.99999
