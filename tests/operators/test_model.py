"""A model is found, read and identified without loading its weights."""

import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from operators.errors import ModelError
from operators.model import Model, identity, pinned, prompt_of, resolve
from tests.tiny_models import BUILDERS, build_bert, edit_json, old_spelling


@pytest.fixture
def folder(tmp_path):
    return build_bert(tmp_path / "model", dense=8, prompts={"query": "q: ", "document": "d: "})


def test_a_folder_says_what_it_is(folder):
    found = resolve(Model(str(folder)))
    assert (found.model_type, found.architecture) == ("bert", "BertModel")
    assert (found.width, found.dim, found.max_length) == (32, 8, 64)
    assert not found.is_decoder
    assert not found.lower_case
    assert (found.truncation_side, found.padding_side, found.revision) == ("right", "right", "")
    assert found.weights == (folder / "model.safetensors",)


@pytest.mark.parametrize("kind", BUILDERS)
def test_every_architecture_has_its_width_length_and_direction(kind, tmp_path):
    found = resolve(Model(str(BUILDERS[kind](tmp_path / kind))))
    assert (found.width, found.max_length) == (32, 64)
    assert found.is_decoder == (kind in {"gpt2", "llama", "qwen3"})


def test_the_declared_length_wins_over_the_folders(folder):
    assert resolve(Model(str(folder), max_length=16)).max_length == 16
    edit_json(folder / "sentence_bert_config.json", max_seq_length=48, do_lower_case=True)
    assert resolve(Model(str(folder))).max_length == 48
    assert resolve(Model(str(folder))).lower_case
    (folder / "sentence_bert_config.json").unlink()
    edit_json(folder / "tokenizer_config.json", model_max_length=40)
    assert resolve(Model(str(folder))).max_length == 40
    edit_json(folder / "tokenizer_config.json", model_max_length=10**30)
    assert resolve(Model(str(folder))).max_length == 64


def test_a_length_beyond_the_positions_is_refused(folder):
    with pytest.raises(ModelError, match="cannot see 65 tokens; its positions end at 64"):
        resolve(Model(str(folder), max_length=65))


@pytest.mark.parametrize(
    ("own", "stated", "default", "role", "prompt"),
    [
        (None, {"query": "q: ", "document": "d: "}, None, "query", "q: "),
        (None, {"query": "q: ", "document": "d: "}, None, "passage", "d: "),
        (None, {"passage": "p: "}, None, "passage", "p: "),
        (None, {"query": "q: "}, None, "passage", ""),
        (None, {"all": "a: "}, "all", "passage", "a: "),
        (None, {"all": "a: ", "document": ""}, "all", "passage", ""),
        (None, {"document": None}, None, "passage", ""),
        ({"passage": "mine: "}, {"document": "d: "}, None, "passage", "mine: "),
        ({"document": "mine: "}, {"document": "d: "}, None, "passage", "mine: "),
        ({"query": ""}, {"query": "q: "}, None, "query", ""),
        ({"passage": "mine: "}, {"query": "q: "}, None, "query", "q: "),
    ],
)
def test_the_configs_prompt_wins_then_the_roles_then_the_default(
    folder, own, stated, default, role, prompt
):
    edit_json(
        folder / "config_sentence_transformers.json", prompts=stated, default_prompt_name=default
    )
    model = Model(str(folder), prompts=own)
    assert prompt_of(model, resolve(model), role) == prompt


def test_a_moved_or_renamed_folder_is_the_same_model(folder, tmp_path):
    before = identity(Model(str(folder)))
    moved = tmp_path / "elsewhere" / "other-name"
    shutil.copytree(folder, moved)
    edit_json(moved / "config.json", _name_or_path="x", transformers_version="0", dtype="bfloat16")
    assert identity(Model(str(moved))) == before


def test_the_old_spelling_of_a_folder_is_the_same_model(folder):
    before = identity(Model(str(folder)))
    old_spelling(folder)
    assert identity(Model(str(folder))) == before


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: flip(folder / "model.safetensors"),
        lambda folder: flip(folder / "2_Dense" / "model.safetensors"),
        lambda folder: edit_json(folder / "config.json", layer_norm_eps=1e-6),
        lambda folder: edit_json(folder / "tokenizer.json", version="1.1"),
        lambda folder: edit_json(folder / "tokenizer_config.json", truncation_side="left"),
        lambda folder: edit_json(folder / "1_Pooling" / "config.json", pooling_mode="cls"),
        lambda folder: edit_json(folder / "sentence_bert_config.json", max_seq_length=32),
        lambda folder: edit_json(folder / "config_sentence_transformers.json", prompts={}),
    ],
    ids=["weights", "dense", "config", "tokenizer", "side", "pooling", "length", "prompts"],
)
def test_what_changes_a_vector_changes_the_identity(folder, change):
    before = identity(Model(str(folder)))
    change(folder)
    assert identity(Model(str(folder))) != before


def test_what_a_config_declares_changes_the_identity(folder):
    models = [
        Model(str(folder)),
        Model(str(folder), max_length=16),
        Model(str(folder), prompts={"query": "other: "}),
    ]
    assert len({tuple(sorted(identity(model).items())) for model in models}) == 3


def test_the_weights_of_an_index_all_count(folder):
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    shutil.copy(
        folder / "2_Dense" / "model.safetensors", folder / "model-00002-of-00002.safetensors"
    )
    parts = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    edit_json(folder / "model.safetensors.index.json", weight_map=parts)
    before = identity(Model(str(folder)))
    flip(folder / "model-00002-of-00002.safetensors")
    assert identity(Model(str(folder))) != before
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(
        ModelError, match=r"weight file model-00002-of-00002.safetensors is missing"
    ):
        resolve(Model(str(folder)))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: (f / "config.json").unlink(), "has no config.json"),
        (lambda f: (f / "config.json").write_text("{"), "config.json is not valid JSON"),
        (lambda f: (f / "config.json").write_text("[]"), "config.json should hold a JSON object"),
        (lambda f: edit_json(f / "config.json", hidden_size=None), "no hidden_size"),
        (lambda f: edit_json(f / "config.json", auto_map={"AutoModel": "m.M"}), "never run here"),
        (lambda f: (f / "tokenizer.json").unlink(), "AutoTokenizer.from_pretrained"),
        (lambda f: (f / "model.safetensors").unlink(), "has no safetensors weights"),
        (
            lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
            r"only pytorch_model.bin, a pickle",
        ),
    ],
)
def test_a_folder_that_cannot_be_used_gets_one_sentence(folder, damage, said):
    damage(folder)
    with pytest.raises(ModelError, match=said) as caught:
        resolve(Model(str(folder)))
    assert "\n" not in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_pinned_local_model_is_itself(folder):
    model = Model(str(folder), max_length=16, prompts={"query": "q"})
    assert pinned(model) == model


@pytest.mark.parametrize("fields", [{"path": ""}, {"path": "m", "max_length": -1}, {"pat": "m"}])
def test_a_misspelt_declaration_is_refused(fields):
    with pytest.raises(ValidationError):
        Model(**fields)


def test_reading_a_model_imports_neither_torch_nor_transformers(folder):
    code = (
        "import sys; from operators.model import Model, identity; "
        f"identity(Model({str(folder)!r})); "
        "print({'torch', 'transformers', 'ray', 'huggingface_hub'} & set(sys.modules))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
