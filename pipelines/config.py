"""From YAML to a pipeline: every mistake at once, nothing started (STYLE rule 8)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from operators.base import Operator, Resources, Searches
from operators.beside import besides
from operators.errors import ConfigError
from operators.model import Model
from operators.redaction import secret_in
from operators.registry import OPERATORS
from operators.storage.uri import absolute
from operators.text.source import Source
from pipelines.mistakes import Mistakes, did_you_mean, short
from pipelines.raw import change, parsed, secret_keys
from pipelines.spec import Budget, Gate, Phase, Pipeline, Step, Write

_TOP = ("models", "phases", "budget")
_PHASE = ("read", "steps", "write")
_NO_SECRETS = "credentials come from the environment"


def load(path: str, overrides: Sequence[str] = ()) -> Pipeline:
    """Read a config file and apply `key=value` overrides; ConfigError with every mistake."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError((f"{path}: cannot be read: {error}",)) from error
    return parse(text, source=path, overrides=overrides)


def parse(text: str, source: str = "config", overrides: Sequence[str] = ()) -> Pipeline:
    """Build the pipeline a YAML text describes; ConfigError with every mistake."""
    mistakes = Mistakes(source)
    raw = _read(text, overrides, mistakes)
    pipeline = _pipeline(raw, mistakes) if raw else None
    if pipeline is None or mistakes.sentences:
        raise ConfigError(tuple(mistakes.sentences))
    return pipeline


def _read(text: str, overrides: Sequence[str], mistakes: Mistakes) -> dict[str, Any]:
    """The config's data with its overrides; empty, and a mistake remembered, if it has none."""
    for said in sorted({secret_in(each) for each in (text, *overrides)} - {""}):
        mistakes.add("", f"{said}; {_NO_SECRETS}")
    try:
        raw = parsed(text)
    except ValueError as error:
        mistakes.add("", f"not valid YAML: {error}")
        return {}
    if not isinstance(raw, dict) or not raw:
        mistakes.add("", f"expected a mapping with phases, found {short(raw)}")
        return {}
    for override in overrides:
        try:
            change(raw, override)
        except ValueError as error:
            mistakes.add(f"--set {override}", str(error))
    for key in secret_keys(raw):
        mistakes.add("", f"{key!r} is the name of a secret; {_NO_SECRETS}")
    return raw


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
        phase = _phase(str(name), values, (models, earlier), mistakes)
        if phase is not None:
            phases.append(phase)
    _check_tables(phases, mistakes)
    budget = mistakes.build("budget", Budget, raw.get("budget") or {})
    return Pipeline(tuple(phases), budget or Budget())


def _located(model: Model | None) -> Model | None:
    """A local folder made absolute, so that workers in other folders find it."""
    if model is None or not Path(model.path).is_dir():
        return model
    return replace(model, path=absolute(model.path))


def _phase(
    name: str, raw: Any, declared: tuple[dict[str, Model | None], list[str]], mistakes: Mistakes
) -> Phase | None:
    """A phase; `declared` are the models, and the names of the phases before it."""
    where = f"phase {name}"
    if not isinstance(raw, dict):
        mistakes.add(where, f"expected a mapping with read, steps and write, found {short(raw)}")
        return None
    values: Mapping[str, Any] = raw
    mistakes.keys(where, values, _PHASE)
    for key in ("read", "write"):
        if key not in values:
            mistakes.add(where, f"needs '{key}'")
    read = mistakes.build(f"{where}, read", Source, values["read"]) if "read" in values else None
    if read is not None:
        _check_source(f"{where}, read", read, declared[1], mistakes)
    write = _write(f"{where}, write", values["write"], mistakes) if "write" in values else None
    steps = _steps(where, values.get("steps") or [], declared, mistakes)
    if read is None or write is None:
        return None
    return Phase(name, read, steps, write)


def _steps(
    where: str, raw: Any, declared: tuple[dict[str, Model | None], list[str]], mistakes: Mistakes
) -> tuple[Step, ...]:
    models, earlier = declared
    if not isinstance(raw, list):
        mistakes.add(where, f"'steps' is a list of operators, found {short(raw)}")
        return ()
    steps = []
    for number, values in enumerate(raw, 1):
        step = _step(f"{where}, step {number}", values, models, mistakes)
        if step is not None:
            _check_besides(f"{where}, step {number}", step.operator, earlier, mistakes)
            steps.append(step)
    return tuple(steps)


def _write(where: str, raw: Any, mistakes: Mistakes) -> Write | None:
    values = dict(_mapping(raw, where, mistakes))
    if "gate" in values:
        values["gate"] = mistakes.build(f"{where}, gate", Gate, values["gate"]) or Gate()
    write = mistakes.build(where, Write, values)
    return None if write is None else Write(**{**write.__dict__, "table": absolute(write.table)})


def _step(where: str, raw: Any, models: dict[str, Model | None], mistakes: Mistakes) -> Step | None:
    if not isinstance(raw, dict):
        mistakes.add(where, f"expected {{operator: {{its fields}}}}, found {short(raw)}")
        return None
    names = [key for key in raw if key != "resources"]
    if len(names) != 1:
        mistakes.add(where, f"names one operator, found {names or 'none'}")
        return None
    name = names[0]
    resources = mistakes.build(f"{where}, resources", Resources, raw.get("resources") or {})
    if name not in OPERATORS:
        mistakes.add(where, f"no operator {name!r}{did_you_mean(name, OPERATORS)}")
        return None
    fields = dict(_mapping(raw[name] or {}, f"{where}, {name}", mistakes))
    if isinstance(fields.get("model"), str):
        fields["model"] = _model(f"{where}, {name}", fields["model"], models, mistakes)
    operator: Operator | None = mistakes.build(f"{where}, {name}", OPERATORS[name], fields)
    if isinstance(operator, Searches) and resources and resources.least != resources.most:
        mistakes.add(f"{where}, resources", "an index has a fixed number of workers, not a range")
    return None if operator is None or resources is None else Step(operator, resources)


def _model(where: str, name: str, models: dict[str, Model | None], mistakes: Mistakes) -> Model:
    """The model of that name; where there is none, any, so that the other fields are checked."""
    if name not in models:
        mistakes.add(where, f"no model {name!r} under 'models'{did_you_mean(name, models)}")
    return models.get(name) or Model(name)


def _check_source(where: str, read: Source, earlier: list[str], mistakes: Mistakes) -> None:
    if bool(read.uri) == bool(read.phase):
        mistakes.add(where, "needs either 'uri' or 'phase'")
    if read.phase and read.phase not in earlier:
        mistakes.add(where, f"no earlier phase {read.phase!r}{did_you_mean(read.phase, earlier)}")


def _check_besides(where: str, operator: Operator, earlier: list[str], mistakes: Mistakes) -> None:
    for beside in besides(operator):
        if beside.uri and beside.phase:
            mistakes.add(where, f"names both uri {beside.uri} and phase {beside.phase!r}")
        elif beside.phase and beside.phase not in earlier:
            hint = did_you_mean(beside.phase, earlier)
            mistakes.add(where, f"no earlier phase {beside.phase!r}{hint}")


def _check_tables(phases: Sequence[Phase], mistakes: Mistakes) -> None:
    """Each phase has a table of its own and does not read what it writes."""
    writers: dict[str, str] = {}
    for phase in phases:
        table = phase.write.table
        if table in writers:
            mistakes.add(f"phase {phase.name}, write", f"phase {writers[table]} writes {table} too")
        writers.setdefault(table, phase.name)
        if phase.read.uri and absolute(phase.read.uri) == table:
            mistakes.add(f"phase {phase.name}", f"reads the table it writes, {table}")


def _mapping(raw: Any, where: str, mistakes: Mistakes) -> Mapping[str, Any]:
    if isinstance(raw, dict):
        return raw
    mistakes.add(where, f"expected a mapping, found {short(raw)}")
    return {}
