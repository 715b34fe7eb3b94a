"""From YAML to a pipeline: every mistake at once, nothing started (STYLE rule 8)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from operators.base import Operator, Resources
from operators.errors import ConfigError
from operators.model import Model
from operators.registry import OPERATORS
from operators.storage.uri import absolute
from operators.text.source import Source
from pipelines.mistakes import Mistakes, did_you_mean, short
from pipelines.spec import Budget, Gate, Phase, Pipeline, Step, Write

_SECRET = re.compile(r"://[^/@\s]+:[^/@\s]+@")
_TOP = ("models", "phases", "budget")
_PHASE = ("read", "steps", "write")


def load(path: str, overrides: Sequence[str] = ()) -> Pipeline:
    """Read a config file and apply `key=value` overrides; ConfigError with every mistake."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError((f"{path}: cannot be read: {error}",)) from error
    return parse(text, source=path, overrides=overrides)


def parse(text: str, source: str = "config", overrides: Sequence[str] = ()) -> Pipeline:
    """Build the pipeline a YAML text describes; ConfigError with every mistake."""
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError((f"{source}: not valid YAML: {error}",)) from error
    if not isinstance(raw, dict):
        raise ConfigError((f"{source}: expected a mapping with phases, found {short(raw)}",))
    mistakes = Mistakes(source)
    for override in overrides:
        _override(raw, override, mistakes)
    if found := _SECRET.search(text):
        mistakes.add(
            "", f"a secret in a URI ({found[0][:8]}...); credentials come from the environment"
        )
    pipeline = _pipeline(raw, mistakes)
    if mistakes.sentences:
        raise ConfigError(tuple(mistakes.sentences))
    return pipeline


def _pipeline(raw: dict[str, Any], mistakes: Mistakes) -> Pipeline:
    mistakes.keys("", raw, _TOP)
    models = {
        name: _located(mistakes.build(f"model {name}", Model, values))
        for name, values in _mapping(raw.get("models") or {}, "models", mistakes).items()
    }
    phases: list[Phase] = []
    declared = _mapping(raw.get("phases") or {}, "phases", mistakes)
    if not declared:
        mistakes.add("", "needs at least one phase under 'phases'")
    for name, values in declared.items():
        earlier = list(declared)[: list(declared).index(name)]
        phase = _phase(str(name), values, models, mistakes)
        if phase is not None:
            _check_source(phase, earlier, mistakes)
            phases.append(phase)
    budget = mistakes.build("budget", Budget, raw.get("budget") or {})
    return Pipeline(tuple(phases), budget or Budget())


def _located(model: Model | None) -> Model | None:
    """A local folder made absolute, so that workers in other folders find it."""
    if model is None or not Path(model.path).is_dir():
        return model
    return replace(model, path=absolute(model.path))


def _phase(
    name: str, raw: Any, models: dict[str, Model | None], mistakes: Mistakes
) -> Phase | None:
    where = f"phase {name}"
    values = _mapping(raw, where, mistakes)
    mistakes.keys(where, values, _PHASE)
    for key in ("read", "write"):
        if key not in values:
            mistakes.add(where, f"needs '{key}'")
    read = mistakes.build(f"{where}, read", Source, values["read"]) if "read" in values else None
    write = _write(f"{where}, write", values["write"], mistakes) if "write" in values else None
    steps = values.get("steps") or []
    if not isinstance(steps, list):
        mistakes.add(where, f"'steps' is a list of operators, found {short(steps)}")
        steps = []
    built = [
        _step(f"{where}, step {number}", step, models, mistakes)
        for number, step in enumerate(steps, 1)
    ]
    if read is None or write is None:
        return None
    return Phase(name, read, tuple(step for step in built if step is not None), write)


def _write(where: str, raw: Any, mistakes: Mistakes) -> Write | None:
    values = dict(_mapping(raw, where, mistakes))
    if "gate" in values:
        values["gate"] = mistakes.build(f"{where}, gate", Gate, values["gate"]) or Gate()
    write = mistakes.build(where, Write, values)
    return None if write is None else Write(**{**write.__dict__, "table": absolute(write.table)})


def _step(where: str, raw: Any, models: dict[str, Model | None], mistakes: Mistakes) -> Step | None:
    values = _mapping(raw, where, mistakes)
    names = [key for key in values if key != "resources"]
    if len(names) != 1:
        mistakes.add(where, f"names one operator, found {names or 'none'}")
        return None
    name = names[0]
    if name not in OPERATORS:
        mistakes.add(where, f"no operator {name!r}{did_you_mean(name, OPERATORS)}")
        return None
    fields = dict(_mapping(values[name] or {}, f"{where}, {name}", mistakes))
    if isinstance(fields.get("model"), str):
        fields["model"] = _model(f"{where}, {name}", fields["model"], models, mistakes)
        if fields["model"] is None:
            return None
    operator: Operator | None = mistakes.build(f"{where}, {name}", OPERATORS[name], fields)
    resources = mistakes.build(f"{where}, resources", Resources, values.get("resources") or {})
    return None if operator is None or resources is None else Step(operator, resources)


def _model(
    where: str, name: str, models: dict[str, Model | None], mistakes: Mistakes
) -> Model | None:
    if name not in models:
        mistakes.add(where, f"no model {name!r} under 'models'{did_you_mean(name, models)}")
    return models.get(name)


def _check_source(phase: Phase, earlier: list[str], mistakes: Mistakes) -> None:
    where = f"phase {phase.name}, read"
    if bool(phase.read.uri) == bool(phase.read.phase):
        mistakes.add(where, "needs either 'uri' or 'phase'")
    if phase.read.phase and phase.read.phase not in earlier:
        mistakes.add(
            where, f"no earlier phase {phase.read.phase!r}{did_you_mean(phase.read.phase, earlier)}"
        )


def _mapping(raw: Any, where: str, mistakes: Mistakes) -> Mapping[str, Any]:
    if isinstance(raw, dict):
        return raw
    mistakes.add(where, f"expected a mapping, found {short(raw)}")
    return {}


def _override(raw: dict[str, Any], override: str, mistakes: Mistakes) -> None:
    """Set `phases.vectors.steps.0.tokenize.max_length=128` in the raw config."""
    path, equals, value = override.partition("=")
    *parents, last = path.split(".")
    place: Any = raw
    try:
        for key in parents:
            place = place[int(key)] if isinstance(place, list) else place.setdefault(key, {})
        place[int(last) if isinstance(place, list) else last] = yaml.safe_load(value)
    except (AttributeError, IndexError, TypeError, ValueError, yaml.YAMLError):
        equals = ""
    if not equals:
        mistakes.add(f"--set {override}", "expected path.to.key=value with a path the config has")
