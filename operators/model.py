"""A model as a config names it: found, read and identified without loading its weights."""

import json
from dataclasses import dataclass as plain
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from operators import digest, families, hub, modules, presets
from operators.base import STRICT
from operators.errors import ModelError
from operators.instruction import Instruction
from operators.wrapped import unwrapped

Role = Literal["passage", "query"]

_ROLE_NAMES = {"query": ("query",), "passage": ("document", "passage", "corpus")}
_NO_MATTER = frozenset(
    {
        "_name_or_path",
        "architectures",
        "dtype",
        "gradient_checkpointing",
        "name_or_path",
        "torch_dtype",
        "transformers_version",
        "use_cache",
    }
)
"""Keys of config.json that change no state of no layer."""


@dataclass(frozen=True, config=STRICT)
class Model:
    """A model of the `models:` section: a local folder, else a name on the model hub."""

    path: Annotated[str, Field(min_length=1)]
    """A folder, a preset such as ettin-encoder-17m, or a hub's name."""
    revision: str = ""
    """Branch, tag or commit on the hub; a local folder has none."""
    max_length: Annotated[int, Field(ge=0)] = 0
    """Tokens a text may have, special tokens included; 0 is what the model says."""
    prompts: dict[str, str] | None = None
    """Text put before a passage or query, by role; instead of the model's own."""
    family: families.Kind | None = None
    """What the model must be, or it is refused; None takes any, and what its preset says."""
    instruction: Instruction | None = None
    """Task and examples before a query; instead of a prompt. Passages never get it."""
    ending: str = ""
    """A token of the model that every row ends with, such as </s>; put there where its tokenizer
    puts none."""

    @model_validator(mode="after")
    def _one_prompt_for_queries(self) -> "Model":
        if self.instruction and "query" in (self.prompts or {}):
            raise ValueError("prompts has one for a query, and instruction as well; keep one")
        return self


@plain(frozen=True)
class Folder:
    """What a model's folder says, read from its JSON files."""

    path: Path
    weights: tuple[Path, ...]
    tokenizer: Path
    revision: str
    model_type: str
    architecture: str
    config: dict[str, Any]
    is_decoder: bool
    """Its attention looks only back."""
    width: int
    """Values in the state of one token."""
    dim: int
    """Values in a vector, after the folder's own pooling and dense layers."""
    max_length: int
    lower_case: bool
    truncation_side: Literal["left", "right"]
    padding_side: Literal["left", "right"]
    modules: modules.Modules
    prompts: dict[str, str]
    default_prompt: str
    ending: str
    """A token that every row ends with, whatever the tokenizer puts there; "" for none."""


def resolve(model: Model) -> Folder:
    """Find the model and read its folder; ModelError says in one sentence why it cannot be used."""
    known = presets.preset(model.path)
    root, revision = hub.locate(known.path if known else model.path, model.revision)
    parts = modules.read_modules(root, model.path)
    weights = _weights(parts.transformer, model.path)
    config = modules.read_json(parts.transformer / "config.json", model.path)
    config, parts = unwrapped(config, parts)
    words = modules.read_json(_beside(parts.transformer, root, "tokenizer_config.json"), model.path)
    sentence = _sentence_config(parts.transformer, model.path)
    stated = modules.read_json(root / "config_sentence_transformers.json", model.path)
    _refuse_remote_code(model.path, config, words)
    _check_kind(model.path, families.kind(config), model.family or (known and known.kind))
    width = _width(config, model.path)
    joined = len(parts.pooling.modes) if parts.pooling else 1
    prompts = {name: text or "" for name, text in (stated.get("prompts") or {}).items()}
    return Folder(
        path=parts.transformer,
        weights=weights,
        tokenizer=_tokenizer(parts.transformer, root, model.path),
        revision=revision,
        model_type=str(config.get("model_type", "")),
        architecture=families.architecture(config),
        config=config,
        is_decoder=families.is_decoder(config),
        width=width,
        dim=modules.output_dim(width * joined, parts.head, model.path),
        max_length=_max_length(
            model, config, sentence.get("max_seq_length"), words.get("model_max_length")
        ),
        lower_case=bool(sentence.get("do_lower_case", False)),
        truncation_side="left" if words.get("truncation_side") == "left" else "right",
        padding_side="left" if words.get("padding_side") == "left" else "right",
        modules=parts,
        prompts=prompts,
        default_prompt=str(stated.get("default_prompt_name") or ""),
        ending=model.ending,
    )


def prompts_of(model: Model, folder: Folder, role: Role) -> tuple[str, ...]:
    """The text before every row of `role`; where it has examples, also with fewer, at last none."""
    if role == "query" and model.instruction is not None:
        return model.instruction.prompts()
    return (prompt_of(model, folder, role),)


def prompt_of(model: Model, folder: Folder, role: Role) -> str:
    """The text before every row of `role`: the config's, else the folder's, else none."""
    for prompts, names in (
        (model.prompts or {}, (role, *_ROLE_NAMES[role])),
        (folder.prompts, (*_ROLE_NAMES[role], folder.default_prompt)),
    ):
        for name in names:
            if name in prompts:
                return prompts[name]
    return ""


def pinned(model: Model) -> Model:
    """The same model at the commit it has now, so that every worker loads the same files."""
    folder = resolve(model)
    return replace(model, revision=folder.revision)


def identity(model: Model) -> dict[str, str]:
    """What the model is, by content: equal wherever its folder lies and whatever it is called."""
    folder = resolve(model)
    matters = {key: value for key, value in folder.config.items() if key not in _NO_MATTER}
    return {
        **{f"weights {file.name}": digest.of_file(file) for file in folder.weights},
        "tokenizer": digest.of_file(folder.tokenizer),
        "attention": "causal" if folder.is_decoder else "both ways",
        "config": digest.of_json(matters),
        **modules.identity(folder.modules),
        "max_length": str(folder.max_length),
        "truncation": folder.truncation_side,
        "lower_case": str(folder.lower_case),
        "prompt passage": _told(prompts_of(model, folder, "passage")),
        "prompt query": _told(prompts_of(model, folder, "query")),
        **({"ending": model.ending} if model.ending else {}),
    }


def _told(prompts: tuple[str, ...]) -> str:
    return prompts[0] if len(prompts) == 1 else json.dumps(prompts, ensure_ascii=False)


def _beside(transformer: Path, root: Path, name: str) -> Path:
    return transformer / name if (transformer / name).is_file() else root / name


def _sentence_config(transformer: Path, model: str) -> dict[str, Any]:
    found = sorted(transformer.glob("sentence_*_config.json"))
    return modules.read_json(found[0], model) if found else {}


def _refuse_remote_code(model: str, *configs: dict[str, Any]) -> None:
    if any(config.get("auto_map") for config in configs):
        raise ModelError(
            model,
            "needs Python code of its own (auto_map), which is never run here; "
            "take a version whose architecture transformers knows",
        )


def _check_kind(model: str, found: families.Kind, wanted: families.Kind | None) -> None:
    if wanted and found != wanted:
        raise ModelError(
            model,
            f"its config.json is that of the family {found}, and {wanted} was asked for; name "
            f"another model, or say family: {found}",
        )


def _weights(folder: Path, model: str) -> tuple[Path, ...]:
    if not (folder / "config.json").is_file():
        raise ModelError(model, "has no config.json: not a folder that transformers can load")
    whole = folder / "model.safetensors"
    if whole.is_file():
        return (whole,)
    index = modules.read_json(folder / "model.safetensors.index.json", model)
    names = sorted(set(index.get("weight_map", {}).values()))
    files = tuple(modules.below(folder, str(name), model) for name in names)
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise ModelError(model, f"its weight file {missing[0]} is missing")
    if not files:
        pickles = sorted(file.name for file in folder.glob("*.bin"))
        only = f", only {pickles[0]}, a pickle that could run code" if pickles else ""
        raise ModelError(
            model,
            f"has no safetensors weights{only}; "
            "load it once with transformers where you trust it, and save_pretrained",
        )
    return files


def _tokenizer(transformer: Path, root: Path, model: str) -> Path:
    found = _beside(transformer, root, "tokenizer.json")
    if not found.is_file():
        raise ModelError(
            model,
            "has no tokenizer.json; make one with "
            "AutoTokenizer.from_pretrained(folder).save_pretrained(folder)",
        )
    return found


def _width(config: dict[str, Any], model: str) -> int:
    width = families.width(config)
    if not width:
        raise ModelError(model, "its config.json has no hidden_size")
    return width


def _max_length(model: Model, config: dict[str, Any], *stated: object) -> int:
    table = families.positions(config)
    if config.get("model_type") in families.TABLE_POSITIONS and 0 < table < model.max_length:
        raise ModelError(
            model.path, f"cannot see {model.max_length} tokens; its positions end at {table}"
        )
    return model.max_length or families.stated_length(config, *stated)
