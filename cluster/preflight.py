"""What a run asks of a cluster must fit before anything starts (DESIGN §5)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from operators.base import Resources, Searches
from operators.errors import PreflightError
from pipelines.spec import Step

_KINDS = (("CPUs", "CPU", 1.0), ("GPUs", "GPU", 0.0), ("bytes", "memory", 0.0))
"""Name for a reader, Ray's name, and what stays free of it to read and write."""


@dataclass(frozen=True)
class Node:
    """What a living node of the cluster offers."""

    resources: Mapping[str, float]
    labels: Mapping[str, str] = field(default_factory=dict)


def check_fit(steps: Sequence[Step], nodes: Sequence[Node]) -> None:
    """PreflightError with the sum that does not fit, or the worker that fits no node.

    One CPU stays free to read and write. A pool with a range counts its least workers.
    """
    models = [step for step in steps if step.operator.loads_model]
    for step in models:
        _check_worker(step, nodes)
    for labels in _selectors(models):
        chosen = [step for step in models if labels in (None, step.resources.label_selector)]
        matching = [node for node in nodes if matches(labels or {}, node.labels)]
        _check_sum(chosen, matching, labels)


def matches(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether a node's labels satisfy a selector: `v`, `!v`, `in(v,w)` or `!in(v,w)` for a key."""
    return all(_matches(wanted, labels.get(key)) for key, wanted in selector.items())


def needs(on: Resources) -> dict[str, float]:
    """What one worker takes, by Ray's names."""
    return {"CPU": on.cpus, "GPU": on.gpus, "memory": float(on.memory)}


def _matches(wanted: str, value: str | None) -> bool:
    plain = wanted.removeprefix("!")
    listed = plain.removeprefix("in(").removesuffix(")") if plain.startswith("in(") else plain
    among = value in [each.strip() for each in listed.split(",")]
    return among != wanted.startswith("!")


def _selectors(models: Sequence[Step]) -> list[Mapping[str, str] | None]:
    """None for the whole cluster, then each set of labels that a step asks for."""
    found: list[Mapping[str, str] | None] = [None]
    for step in models:
        labels = step.resources.label_selector
        if labels and labels not in found:
            found.append(labels)
    return found


def _check_worker(step: Step, nodes: Sequence[Node]) -> None:
    """One worker must fit one node whole, however much the cluster has in all."""
    on, asked = step.resources, needs(step.resources)
    fitting = [node for node in nodes if matches(on.label_selector, node.labels)]
    if on.label_selector and not fitting:
        raise PreflightError(
            f"{step.operator.name}: no node has the labels {_labels(on.label_selector)}; label "
            "nodes so (ray start --labels) or change label_selector under 'resources'"
        )
    if not any(all(node.resources.get(k, 0) >= v for k, v in asked.items()) for node in fitting):
        for name, key, _ in _KINDS:
            most = max((node.resources.get(key, 0.0) for node in fitting), default=0.0)
            if asked[key] > most and any(node.resources.get(key) for node in fitting):
                raise PreflightError(
                    f"one {step.operator.name} worker asks for {asked[key]:.12g} {name}, and the "
                    f"largest node has {most:.12g}; lower {name.lower()} under 'resources'"
                )


def _check_sum(
    models: Sequence[Step], nodes: Sequence[Node], labels: Mapping[str, str] | None
) -> None:
    for name, key, free in _KINDS:
        spare = 0.0 if labels else free
        have = sum(node.resources.get(key, 0.0) for node in nodes)
        needed = sum(_workers(step) * needs(step.resources)[key] for step in models) + spare
        if needed > have and needed > 0:
            parts = [_told(step, key) for step in models if needs(step.resources)[key]]
            if spare:
                parts.append(f"{spare:g} to read and write")
            where = f"nodes labelled {_labels(labels)} have" if labels else "the cluster has"
            raise PreflightError(
                f"the pools do not fit: {' + '.join(parts)} = {needed:.12g} {name}, "
                f"and {where} {have:.12g}; lower workers or {name.lower()} "
                "under 'resources', or add nodes (workers: [least, most] asks a cluster for them)"
            )


def _told(step: Step, key: str) -> str:
    workers = _workers(step)
    plural = "" if workers == 1 else "s"
    return f"{workers} {step.operator.name} worker{plural} × {needs(step.resources)[key]:.12g}"


def _workers(step: Step) -> int:
    """A search has one more worker than parts of its index."""
    return step.resources.least + isinstance(step.operator, Searches)


def _labels(selector: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in selector.items())
