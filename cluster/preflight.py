"""What a run asks of a cluster must fit before anything starts (DESIGN §5)."""

from collections.abc import Mapping, Sequence

from operators.base import Searches
from operators.errors import PreflightError
from pipelines.spec import Step


def check_fit(steps: Sequence[Step], have: Mapping[str, float]) -> None:
    """PreflightError with the sum that does not fit; one CPU stays free to read and write."""
    models = [step for step in steps if step.operator.loads_model]
    for kind, key, spare in (("CPUs", "CPU", 1.0), ("GPUs", "GPU", 0.0), ("bytes", "memory", 0.0)):
        asked = [(step, _workers(step) * _per_worker(step, key)) for step in models]
        needed = sum(amount for _, amount in asked) + spare
        if needed > have.get(key, 0.0) and needed > 0:
            parts = [_told(step, key) for step in models if _per_worker(step, key)]
            if spare:
                parts.append(f"{spare:g} to read and write")
            raise PreflightError(
                f"the pools do not fit: {' + '.join(parts)} = {needed:.12g} {kind}, "
                f"and the cluster has {have.get(key, 0.0):.12g}; lower workers or {kind.lower()} "
                "under 'resources', or add nodes"
            )


def _told(step: Step, key: str) -> str:
    workers = _workers(step)
    plural = "" if workers == 1 else "s"
    return f"{workers} {step.operator.name} worker{plural} × {_per_worker(step, key):.12g}"


def _workers(step: Step) -> int:
    """A search has one more worker than parts of its index."""
    return step.resources.workers + isinstance(step.operator, Searches)


def _per_worker(step: Step, key: str) -> float:
    return {
        "CPU": step.resources.cpus,
        "GPU": step.resources.gpus,
        "memory": float(step.resources.memory),
    }[key]
