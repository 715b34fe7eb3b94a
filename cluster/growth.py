"""Pools with a range on a cluster that grows: ask for the nodes, wait for the least of them."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ray

from cluster import logs
from cluster.preflight import Node, check_fit, needs
from operators.errors import PreflightError
from pipelines.spec import Step

_LOOK = 1.0
"""Seconds between two looks at the nodes."""


@contextmanager
def grown(
    steps: Sequence[Step], patience: float, later: Sequence[Sequence[Step]] = ()
) -> Iterator[None]:
    """Hold the cluster at a size that fits the pools; PreflightError when it does not get there.

    Ray Data's own pools do not make a cluster grow once they have their least workers, so the most
    are asked of the autoscaler beforehand, and given back at the end. Fixed pools ask for nothing.
    No patience means a cluster that never grows. Phases `later` must fit as well, up to the first
    that makes the cluster grow: what it will be then, nothing tells.
    """
    for each in (steps, *later):
        if patience and _ranges(each):
            break
        check_fit(each, nodes())
    if not (patience and _ranges(steps)):
        yield
        return
    from ray.autoscaler.sdk import request_resources

    bundles, labels = _bundles(steps)
    request_resources(bundles=bundles, bundle_label_selectors=labels)
    try:
        _wait_to_fit(steps, patience)
        yield
    finally:
        request_resources(bundles=[])


def nodes() -> list[Node]:
    """The living nodes, as Ray tells of them."""
    found: Any = ray.nodes()  # type: ignore[no-untyped-call]
    return [Node(node["Resources"], node["Labels"]) for node in found if node["Alive"]]


def _ranges(steps: Sequence[Step]) -> bool:
    """Whether one of the pools has a range of workers."""
    return any(
        step.operator.loads_model and step.resources.least < step.resources.most for step in steps
    )


def _bundles(steps: Sequence[Step]) -> tuple[list[dict[str, float]], list[dict[str, str]]]:
    """What the largest pools take, and one CPU to read and write; with the labels of each."""
    models = [step for step in steps if step.operator.loads_model]
    every = [step.resources for step in models for _ in range(step.resources.most)]
    asked = [{key: value for key, value in needs(on).items() if value} for on in every]
    return [*asked, {"CPU": 1.0}], [*(dict(on.label_selector) for on in every), {}]


def _wait_to_fit(steps: Sequence[Step], patience: float) -> None:
    deadline, told = time.monotonic() + patience, False
    while True:
        try:
            check_fit(steps, nodes())
        except PreflightError as error:
            if time.monotonic() > deadline:
                raise PreflightError(
                    f"after {patience:,.0f} s of waiting for nodes: {error}"
                ) from error
            if not told:
                logs.say(f"waiting for nodes, {patience:,.0f} s at most: {error}", {})
                told = True
            time.sleep(_LOOK)
        else:
            return
