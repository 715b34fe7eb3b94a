"""What belongs to an embedding's identity, once changed under the same name, embeds all anew."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.execute import run_pipeline
from cluster.local import LocalRunner
from cluster.progress import Progress
from operators.storage.table import Table
from tests.pipeline_builders import (
    built,
    good_rows,
    lineage_of,
    lines,
    rows_of,
    vectors_phase,
    write_files,
)
from tests.tiny_models import build_bert

QUIET = Progress(quiet=True)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with documents, a model called `model`, and the vectors that it made."""
    folder = tmp_path_factory.mktemp("identity")
    build_bert(folder / "model")
    write_files(f"{folder}/docs", {"a.jsonl": lines(good_rows(0, 12))})
    phase = vectors_phase(f"{folder}/docs", f"{folder}/vectors")
    run_pipeline(built(folder / "model", vectors=phase), LocalRunner(), QUIET)
    return folder


def rebuilt(model: Path, **fields: object) -> None:
    shutil.rmtree(model)
    build_bert(model, **fields)


def other_tokenizer(model: Path) -> None:
    path = model / "tokenizer.json"
    told = json.loads(path.read_text())
    vocabulary = told["model"]["vocab"]
    letters = [word for word in vocabulary if len(word) == 1 and word.isalpha()]
    one, two = letters[:2]
    vocabulary[one], vocabulary[two] = vocabulary[two], vocabulary[one]
    path.write_text(json.dumps(told))


MODELS: dict[str, Callable[[Path], None]] = {
    "weights": lambda model: rebuilt(model, seed=1),
    "tokenizer": other_tokenizer,
    "prompt": lambda model: rebuilt(model, prompts={"passage": "text: "}),
    "max_length": lambda model: rebuilt(model, max_length=16),
}
SETTINGS = {
    "pooling": {"encode": {"pooling": "cls"}},
    "precision": {"encode": {"precision": "bf16"}},
    "normalize": {"encode": {"normalize": False}},
    "read.normalize": {"read": {"normalize": "NFC"}},
}


@pytest.mark.parametrize("change", [*MODELS, *SETTINGS])
def test_all_is_embedded_anew_the_reason_is_told_and_the_old_version_stays(
    embedded, tmp_path, change
):
    folder = tmp_path / "copy"
    shutil.copytree(embedded, folder)
    phase = vectors_phase(f"{folder}/docs", f"{folder}/vectors", **SETTINGS.get(change, {}))
    if change in MODELS:
        MODELS[change](folder / "model")
    before = rows_of(str(embedded / "vectors"))
    (result,) = run_pipeline(built(folder / "model", vectors=phase), LocalRunner(), QUIET)
    assert result.version == 1
    assert result.counts is not None
    assert result.counts.tokens > 0
    changes = lineage_of(result.table)["changes"]
    assert (changes["reused"], changes["files_kept"]) == (0, 0)
    assert rows_of(result.table, 0).equals(before)
    assert len(rows_of(result.table)) == len(before)
    assert Table(result.table).version() == 1


def test_the_same_folder_elsewhere_is_no_change(embedded, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(embedded, folder)
    phase = vectors_phase(f"{folder}/docs", f"{folder}/vectors")
    (result,) = run_pipeline(built(folder / "model", vectors=phase), LocalRunner(), QUIET)
    assert result.counts is None
