"""What follows the transformer in a sentence-transformers folder: pooling, dense, normalize."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from operators import digest
from operators.errors import ModelError

_POOLINGS = {
    "cls": "cls",
    "max": "max",
    "mean": "mean",
    "mean_sqrt_len_tokens": "mean_sqrt",
    "weightedmean": "wmean",
    "lasttoken": "last",
}
_OLD_POOLING_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt",
    "pooling_mode_weightedmean_tokens": "wmean",
    "pooling_mode_lasttoken": "last",
}
_SENTENCE = "sentence_embedding"


@dataclass(frozen=True)
class Pooling:
    """Token states to one vector; several modes are joined end to end."""

    modes: tuple[str, ...]
    include_prompt: bool = True


@dataclass(frozen=True)
class Dense:
    """A linear layer with an activation, by the name of its torch class."""

    weights: Path
    inputs: int
    outputs: int
    bias: bool = True
    activation: str = "Tanh"
    residual: bool = False


@dataclass(frozen=True)
class Normalize:
    """Scale to length one."""


@dataclass(frozen=True)
class Modules:
    """A folder's modules; `pooling` is None where the folder is a bare transformer."""

    transformer: Path
    pooling: Pooling | None = None
    head: tuple[Dense | Normalize, ...] = ()
    declared: bool = False
    """Whether the folder has a modules.json."""


def read_json(path: Path, model: str) -> dict[str, Any]:
    """The object in a JSON file, {} where there is none; ModelError when it is not JSON."""
    value = _parse(path, model) if path.is_file() else {}
    if not isinstance(value, dict):
        raise ModelError(model, f"{path.name} should hold a JSON object")
    return value


def below(folder: Path, name: str, model: str) -> Path:
    """A file that a model's own JSON names; ModelError where that is outside of its folder."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise ModelError(model, f"names {name!r}, which is outside of its folder")
    return folder / name


def read_modules(folder: Path, model: str) -> Modules:
    """Read modules.json in its old and new spellings; ModelError names what is not supported."""
    listing = folder / "modules.json"
    if not listing.is_file():
        return Modules(folder)
    entries = sorted(_parse(listing, model), key=lambda entry: int(entry["idx"]))
    kinds = [_kind(entry, model) for entry in entries]
    if not kinds or kinds[0] != "Transformer":
        raise ModelError(model, f"its first module should be a Transformer, not {kinds[:1]}")
    pooling: Pooling | None = None
    head: list[Dense | Normalize] = []
    for kind, entry in zip(kinds[1:], entries[1:], strict=True):
        place = below(folder, str(entry["path"]), model)
        config = read_json(place / "config.json", model)
        if kind == "Pooling" and pooling is None and not head:
            pooling = _pooling(config, model)
        elif kind == "Dense" and pooling is not None:
            head.append(_dense(place, config, model))
        elif kind == "Normalize" and pooling is not None:
            _check_input(config, kind, model)
            head.append(Normalize())
        elif kind != "Dropout":  # which does nothing outside training
            raise ModelError(model, f"module {entry['type']} is not supported where it stands")
    transformer = below(folder, str(entries[0]["path"]), model)
    return Modules(transformer, pooling, tuple(head), declared=True)


def output_dim(width: int, head: tuple[Dense | Normalize, ...], model: str) -> int:
    """Values of a vector that enters the head with `width`; ModelError where they do not fit."""
    for module in head:
        if isinstance(module, Dense):
            if module.inputs != width:
                raise ModelError(model, f"a Dense module takes {module.inputs} values, not {width}")
            width = module.outputs
    return width


def identity(modules: Modules) -> dict[str, str]:
    """Digests of everything after the transformer that changes a vector."""
    found: dict[str, str] = {}
    if modules.pooling is not None:
        found["pooling"] = digest.of_json([modules.pooling.modes, modules.pooling.include_prompt])
    for place, module in enumerate(modules.head, start=1):
        if isinstance(module, Dense):
            recipe = [module.activation, module.bias, module.residual]
            found[f"head {place} dense"] = digest.of_json(recipe)
            found[f"head {place} weights"] = digest.of_file(module.weights)
        else:
            found[f"head {place} normalize"] = "l2"
    return found


def _parse(path: Path, model: str) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise ModelError(model, f"{path.name} is not valid JSON ({error})") from error


def _kind(entry: dict[str, Any], model: str) -> str:
    package, _, kind = str(entry["type"]).rpartition(".")
    if package.partition(".")[0] != "sentence_transformers":
        raise ModelError(
            model, f"module {entry['type']} is code of its own, which is never run; not supported"
        )
    return kind


def _pooling(config: dict[str, Any], model: str) -> Pooling:
    named = config.get("pooling_mode")
    if named is None:
        modes = tuple(mode for key, mode in _OLD_POOLING_KEYS.items() if config.get(key))
        return Pooling(modes or ("mean",), bool(config.get("include_prompt", True)))
    names = [named] if isinstance(named, str) else list(named)
    unknown = [name for name in names if name not in _POOLINGS]
    if unknown:
        raise ModelError(model, f"pooling mode {unknown[0]!r} is not known")
    modes = tuple(_POOLINGS[name] for name in names)
    return Pooling(modes, bool(config.get("include_prompt", True)))


def _dense(place: Path, config: dict[str, Any], model: str) -> Dense:
    _check_input(config, "Dense", model)
    weights = place / "model.safetensors"
    if not weights.is_file():
        raise ModelError(
            model, f"module {place.name} has no model.safetensors (pickles are refused)"
        )
    return Dense(
        weights,
        int(config["in_features"]),
        int(config["out_features"]),
        bool(config.get("bias", True)),
        str(config.get("activation_function", "Tanh")).rpartition(".")[2],
        bool(config.get("use_residual", False)),
    )


def _check_input(config: dict[str, Any], kind: str, model: str) -> None:
    for key in ("module_input_name", "module_output_name"):
        if config.get(key) not in (None, _SENTENCE):
            raise ModelError(model, f"module {kind} works on {config[key]}, not on {_SENTENCE}")
