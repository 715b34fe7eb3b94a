"""Identity is content: fingerprints of operators and models, and the key of a run (DESIGN §4)."""

import json
from dataclasses import is_dataclass
from functools import cache
from hashlib import blake2b
from importlib import metadata
from typing import Any

from operators import model as models
from operators.base import Fitted, Operator, identity_fields
from operators.beside import Beside
from operators.errors import ConfigError
from operators.text.source import Source
from pipelines.spec import Step

_BACKENDS = ("torch", "transformers")


def digest(value: Any) -> str:
    """128-bit hex digest of a value with a stable JSON form; TypeError for any other."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=16).hexdigest()


def recipe(source: Source, steps: tuple[Step, ...]) -> dict[str, Any]:
    """Everything that decides the output of a phase but the source's content, as plain JSON."""
    return {
        "read": {
            name: _plain(getattr(source, name))
            for name in ("id", "text", "separator", "keep", "normalize", "max_text_bytes")
        }
        | {name: getattr(source, name) for name in ("limit", "sample", "seed", "part")}
        | ({"newlines_in_values": True} if source.newlines_in_values else {}),
        "steps": [step_identity(step.operator) for step in steps],
    }


def fingerprints(source: Source, steps: tuple[Step, ...]) -> dict[str, str]:
    """Of the encoding (the steps before any codec), of the codecs, and of the whole recipe."""
    codecs = [step for step in steps if isinstance(step.operator, Fitted)]
    encoding = [step for step in steps if not isinstance(step.operator, Fitted)]
    text = {"separator": source.separator, "normalize": source.normalize}
    return {
        "encoding": digest([text, *(step_identity(step.operator) for step in encoding)]),
        "codec": digest([step_identity(step.operator) for step in codecs]) if codecs else "",
        "recipe": digest(recipe(source, steps)),
    }


def step_identity(operator: Operator) -> dict[str, Any]:
    """Name, version and output-changing fields of an operator, its model by content.

    Of a model's prompts only those of the operator's `role` or `roles` count.
    """
    fields = {name: _plain(value) for name, value in identity_fields(operator).items()}
    if isinstance(fields.get("model"), dict):
        fields["model"] = _with_prompts_of(_roles(operator), fields["model"])
    _forget_places(fields)
    identity = {"operator": operator.name, "version": operator.version, **fields}
    if operator.loads_model:
        identity["backend"] = _backend(str(fields.get("backend") or "torch"))
    return identity


def check_backend(operator: Operator) -> None:
    """ConfigError where what computes an operator's vectors or logits is not installed."""
    if operator.loads_model:
        _backend(str(getattr(operator, "backend", None) or "torch"))


def run_key(recipe_fingerprint: str, snapshot: str, parent: int, nonce: str = "") -> str:
    """The key of a run: same recipe, same source, same parent version, same key."""
    return digest([recipe_fingerprint, snapshot, parent, nonce])


def code_version() -> str:
    """The installed version of corpusmill, or `source` when run from a checkout."""
    try:
        return metadata.version("corpusmill")
    except metadata.PackageNotFoundError:
        return "source"


def _roles(operator: Any) -> frozenset[str]:
    """The roles whose prompts reach the operator's model: its own, or those it reads."""
    return frozenset(getattr(operator, "roles", ())) | {getattr(operator, "role", "")}


def _with_prompts_of(roles: frozenset[str], identity: dict[str, Any]) -> dict[str, Any]:
    kept = {f"prompt {role}" for role in roles}
    prompts = {name for name in identity if name.startswith("prompt ")} - kept
    return {name: value for name, value in identity.items() if name not in prompts}


@cache
def _backend(engine: str) -> dict[str, str]:
    """Major and minor version of what computes a vector; a patch release keeps the vectors.

    Of `auto`, which is not decided yet, those of torch. ConfigError where it is not installed.
    """
    engine = "torch" if engine == "auto" else engine
    names = _BACKENDS if engine in _BACKENDS else (*_BACKENDS, engine)
    try:
        return {name: ".".join(metadata.version(name).split(".")[:2]) for name in names}
    except metadata.PackageNotFoundError as error:
        problem = f"backend {engine} is not installed: install corpusmill's extra {engine}"
        raise ConfigError((problem,)) from error


def _forget_places(fields: dict[str, Any]) -> dict[str, Any]:
    """Leave of an artefact's URI the name, which is its digest."""
    if "artefact" in fields:
        fields["artefact"] = fields["artefact"].rpartition("/")[2]
    return fields


def _plain(value: Any) -> Any:
    if isinstance(value, models.Model):
        return models.identity(value)
    if isinstance(value, Beside):
        return value.snapshot or [value.uri, value.phase, value.version]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return _forget_places({k: _plain(v) for k, v in identity_fields(value).items()})
    raise TypeError(f"a field of type {type(value).__name__} has no stable identity")
