"""A pool with a range waits for the nodes of its least workers, and for no more."""

from typing import Any

import pytest

from operators.base import Resources
from operators.encode.encode import Encode
from operators.errors import PreflightError
from operators.model import Model
from pipelines.spec import Step


def encode(workers: Any) -> Step:
    return Step(Encode(model=Model("some/model")), Resources(workers=workers, cpus=0.5))


@pytest.mark.ray
def test_on_ray_a_range_whose_least_workers_fit_is_let_in_at_once(ray_started):
    from cluster.growth import grown

    with grown([encode([1, 900])], patience=0):
        pass


@pytest.mark.ray
def test_on_ray_a_range_whose_least_workers_never_fit_is_refused_after_the_wait(ray_started):
    from cluster.growth import grown

    refused = pytest.raises(
        PreflightError, match="after 1 s of waiting for nodes: the pools do not"
    )
    with refused, grown([encode([900, 901])], patience=1):
        pytest.fail("a pool of 900 workers was let in")
